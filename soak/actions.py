"""What beat and people do while everything breaks: nights, runs, backfills, replays, discards, and messages that come twice and out of order."""

import random
from collections.abc import Callable
from datetime import date, timedelta

from django.db.models import QuerySet

from etl_tasks import beat_tasks, dead_letters, ledger, pipeline, replay, sweeper, tasks
from etl_tasks.models import DeadLetter, ETLRun, Source
from github_stand_in.server import StandIn
from soak.worlds import BEGIN, END, ODD_LOG_SERVICE, log_source_of

FIRST_NIGHT = date(2020, 1, 1)
ODD_LOG = log_source_of(ODD_LOG_SERVICE)
BY = "soak"
MOST_REPLAYED = 5


class Actions:
    """`do(what, seed)` does one of the actions. Its text says what came of it. It may raise anything while a server is away."""

    def __init__(self, github: StandIn) -> None:
        self.github = github
        self.nights = 0
        self._kinds: dict[str, Callable[[random.Random], str]] = {
            "night": self._night,
            "run": lambda rng: self._run(rng),
            "full run": lambda rng: self._run(rng, is_full=True),
            "backfill": lambda rng: self._run(rng, since=BEGIN, until=BEGIN + timedelta(days=rng.randint(5, 20))),
            "cancel": self._cancel,
            "replay stage": self._replay_stage,
            "replay record": self._replay_record,
            "mend and replay": self._mend_and_replay,
            "discard": self._discard,
            "messages twice": self._messages_twice,
            "second beat": self._second_beat,
            "second sweeper": lambda rng: f"acted {sweeper.sweep()} times",
        }

    def do(self, what: str, seed: int) -> str:
        return self._kinds[what](random.Random(seed))

    def _night(self, rng: random.Random) -> str:
        """Let a day pass: the runs of tonight become those of an earlier night, and GitHub's clock goes on. Beat then starts tonight's runs."""
        self.nights += 1
        ETLRun.objects.filter(logical_date=pipeline.local_today()).update(logical_date=FIRST_NIGHT + timedelta(days=self.nights))
        self.github.clock = max(self.github.clock, min(self.github.clock + timedelta(days=1), END))
        return f"night {self.nights}"

    def _run(self, rng: random.Random, **options: object) -> str:
        name = rng.choice(list(Source.objects.values_list("name", flat=True)))
        try:
            run = pipeline.run_source(name, **options)  # type: ignore[arg-type]
        except pipeline.SourceBusy:
            return f"{name} is busy"
        return f"{name}, run {run.pk}"

    def _cancel(self, rng: random.Random) -> str:
        active = list(ETLRun.objects.filter(status__in=ETLRun.ACTIVE).values_list("pk", flat=True))
        if not active:
            return "nothing is active"
        run = rng.choice(active)
        return f"run {run}" if ledger.cancel(run, by=BY) else f"run {run} had ended"

    def _replay_stage(self, rng: random.Random) -> str:
        return _each(_open().filter(kind=DeadLetter.Kind.STAGE), rng, replay.resend_stage)

    def _replay_record(self, rng: random.Random) -> str:
        return _each(_open().exclude(kind=DeadLetter.Kind.STAGE), rng, lambda letter: replay.replay_letter(letter, by=BY))

    def _mend_and_replay(self, rng: random.Random) -> str:
        """Change a setting so that bad lines are kept, replay some letters, and change it back."""
        Source.objects.filter(name=ODD_LOG).update(is_strict=False)
        try:
            letters = _open().filter(source__name=ODD_LOG).exclude(kind=DeadLetter.Kind.STAGE)
            return _each(letters, rng, lambda letter: replay.replay_letter(letter, by=BY))
        finally:
            Source.objects.filter(name=ODD_LOG).update(is_strict=True)

    def _discard(self, rng: random.Random) -> str:
        return _each(_open(), rng, lambda letter: dead_letters.discard(letter, by=BY), most=1)

    def _messages_twice(self, rng: random.Random) -> str:
        """Send the messages of some runs twice, the stages in a random order, whatever the runs are doing."""
        runs = list(ETLRun.objects.order_by("-pk")[:8])
        for run in rng.sample(runs, min(3, len(runs))):
            for task in rng.sample([tasks.extract, tasks.transform, tasks.load] * 2, 6):
                task.delay(run.pk)
            pipeline.send(run)
        return f"of {min(3, len(runs))} runs"

    def _second_beat(self, rng: random.Random) -> str:
        for _ in range(2):
            beat_tasks.nightly.delay()
            beat_tasks.sweep.delay()
        return ""


def _open() -> QuerySet[DeadLetter]:
    return DeadLetter.objects.filter(state=DeadLetter.State.OPEN).select_related("source__service", "run__source", "page")


def _each(letters: QuerySet[DeadLetter], rng: random.Random, act: Callable[[DeadLetter], None], *, most: int = MOST_REPLAYED) -> str:
    """Do it to some of the letters, and return how many of them agreed."""
    found = list(letters.order_by("pk").values_list("pk", flat=True))
    done = 0
    for pk in rng.sample(found, min(most, len(found))):
        try:
            act(letters.get(pk=pk))
        except (replay.ReplayFailed, dead_letters.NotOpen, DeadLetter.DoesNotExist):
            continue
        done += 1
    return f"{done} of {min(most, len(found))} letters"
