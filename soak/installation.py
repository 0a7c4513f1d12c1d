"""One soak: set up the installation, do the plan, wait until it is quiet, and check the promises."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from celery import current_app
from django.core.management import call_command
from django.db import connection
from django.db.models import Count
from django.utils.timezone import now
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from dora_metrics.models import Service
from etl_tasks import dead_letters, inline, ledger, pipeline, replay
from etl_tasks.models import DeadLetter, ETLRun, Source
from github_stand_in.server import StandIn
from log_store.opening import open_log_store
from soak import invariants, worlds
from soak.actions import BY, ODD_LOG, Actions
from soak.faults import Faults
from soak.log_files import LogFiles
from soak.plan import GRACE_S, LEASE_S, Step, plan
from soak.processes import Processes
from soak.report import Report
from soak.servers import Servers
from tests.tables import TABLES
from tests.tcp_proxy import Proxy

# After the last fault, every source ends in success within this time, besides twice that of a night without faults: for the work itself, and for
# what a fault has undone.
MAY_TAKE_S = 2 * LEASE_S + GRACE_S
PATIENCE_S = 10 * MAY_TAKE_S  # after this time, a source that has not ended in success is given up
ODD_REPOSITORY = worlds.ODD.partition("/")[2]


class Installation:
    """`with Installation(…) as installation:` sets it up; `soak()` does the plan and returns whether all promises are kept."""

    def __init__(self, folder: Path, servers: Servers, report: Report, *, seed: int, seconds: float, github_proxy: Proxy, github: StandIn) -> None:
        self.folder, self.servers, self.report = folder, servers, report
        self.seed, self.seconds = seed, seconds
        self.github, self.github_proxy = github, github_proxy
        self._exit = ExitStack()

    def __enter__(self) -> "Installation":
        call_command("migrate", verbosity=0)
        open_log_store().ensure_schema()
        self.untouched = {name: self.folder / f"untouched-{name}.log" for name, (_, has_log) in worlds.SERVICES.items() if has_log}
        self.logs = {name: LogFiles(self.folder / f"log-of-{name}", path, self.seed) for name, path in self.untouched.items()}
        worlds.add_services({name: files.pattern for name, files in self.logs.items()})
        second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
        PeriodicTask.objects.filter(task="etl.nightly").update(crontab=None, interval=second)
        # An action must not wait for minutes while Redis is away. The worker and beat keep the settings of the product.
        current_app.conf.task_publish_retry_policy = {"max_retries": 1, "interval_start": 0.2}
        self.processes = self._exit.enter_context(Processes(self.folder / "processes", self.servers.behind_proxies() | self._github_address()))
        self.faults = Faults(self.servers, self.processes, self.github, self.github_proxy)
        self.actions = Actions(self.github)
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _github_address(self) -> dict[str, str]:
        return {
            "GITHUB_API_URL": f"http://127.0.0.1:{self.github_proxy.port}",
            "GITHUB_GRAPHQL_URL": f"http://127.0.0.1:{self.github_proxy.port}/graphql",
        }

    def soak(self) -> None:
        steps = plan(self.seed, seconds=self.seconds)
        self._first_night()
        self.report.say(f"{len(steps)} steps in {self.seconds:.0f} s, of which {sum(step.lane == 'fault' for step in steps)} are faults")
        self._do(steps)
        self.report.say("the last fault is over; every source gets one more run")
        self._converge(time.monotonic())
        self._quiet()
        self._end_all_letters()
        self._collect_undisturbed()
        for sentence in invariants.broken_promises(self.logs):
            self.report.violation(sentence)
        self._replay_twice()

    # --- the plan -----------------------------------------------------------------------------------------------------

    def _first_night(self) -> None:
        """Let every source have its first run without a fault, and measure how long that takes on this machine."""
        _until(lambda: "sweep" in pipeline.served_queues(), PATIENCE_S)
        began = time.monotonic()
        good = ETLRun.objects.filter(status__in=ETLRun.GOOD)
        if not _until(lambda: good.values("source").distinct().count() == Source.objects.count(), PATIENCE_S):
            self.report.violation("the first night did not end in success, without any fault")
        self.night_s = time.monotonic() - began
        self.report.say(f"a night without faults took {self.night_s:.1f} s")

    def _do(self, steps: list[Step]) -> None:
        """Do the steps of each lane at their times. A fault lasts in a thread of its own, so that several last at the same time."""
        began = time.monotonic()
        lasting: list[threading.Thread] = []

        def lane(name: str, work: Callable[[Step], str]) -> None:
            for step in (step for step in steps if step.lane == name):
                time.sleep(max(0.0, began + step.at - time.monotonic()))
                self._step(step, work)
            connection.close()

        def begin_fault(step: Step) -> None:
            lasting.append(threading.Thread(target=self._step, args=(step, self.faults.strike)))
            lasting[-1].start()

        lanes = [threading.Thread(target=lane, args=(name, work)) for name, work in (("action", self._act), ("log", self._log))]
        for one in lanes:
            one.start()
        for step in (step for step in steps if step.lane == "fault"):
            time.sleep(max(0.0, began + step.at - time.monotonic()))
            begin_fault(step)
        for one in (*lanes, *lasting):
            one.join()

    def _step(self, step: Step, work: Callable[[Step], str]) -> None:
        if step.lane == "fault":
            self.report.say(str(step).strip())
        try:
            reason = work(step)
        except Exception as exc:  # noqa: BLE001  while a server is away, an action may fail in any way
            reason = f"{type(exc).__name__}: {str(exc)[:200]}"
            if step.lane == "fault":
                self.report.violation(f"the fault itself failed, {step}: {reason}")
        if reason:
            self.report.say(f"        {step.what} {step.target}: not possible: {reason}")
        self.report.count(step, reason)

    def _act(self, step: Step) -> str:
        try:
            self.report.say(f"        {step.what}: {self.actions.do(step.what, step.seed)}")
        finally:
            connection.close()
        return ""

    def _log(self, step: Step) -> str:
        rng = random.Random(step.seed)
        service = rng.choice(sorted(self.logs))
        files = self.logs[worlds.ODD_LOG_SERVICE if step.what == "poison" else service]
        if step.what in ("write", "poison"):
            files.write(step.what, rng)
            return ""

        def stored() -> set[str]:
            try:
                return invariants.names_stored(service)
            finally:
                connection.close()

        return files.rotate(step.what, stored)

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def _converge(self, began: float) -> None:
        """Wait until a run of every source has ended in success, and report the sources for which that takes too long."""
        _forget_connections()
        over_at = now()
        waiting = set(Source.objects.values_list("name", flat=True))

        def is_done() -> bool:
            for name in sorted(waiting):
                runs = ETLRun.objects.filter(source__name=name)
                if runs.filter(completed_at__gt=over_at, status__in=ETLRun.GOOD, waiting=0).exists():
                    waiting.discard(name)
                elif not runs.filter(status__in=ETLRun.ACTIVE).exists():
                    with suppress(pipeline.SourceBusy):
                        pipeline.run_source(name)
            return not waiting

        allowed_s = MAY_TAKE_S + 2 * self.night_s
        if not _until(is_done, allowed_s, began=began):
            late = {name: list(ETLRun.objects.filter(source__name=name).order_by("-pk").values_list(*_SHOWN_OF_RUNS)[:3]) for name in waiting}
            _until(is_done, PATIENCE_S)
            took = time.monotonic() - began
            self.report.violation(f"not every source ended in success within {allowed_s:.0f} s of the last fault, but after {took:.0f} s: {late}")
        self.report.say(f"every source ended in success {time.monotonic() - began:.1f} s after the last fault; allowed are {allowed_s:.0f} s")

    def _quiet(self) -> None:
        """Stop the schedule, and wait until nothing is active."""
        for entry in PeriodicTask.objects.filter(task="etl.nightly"):
            entry.enabled = False
            entry.save()  # beat notices a saved entry, but no update
        for source_id in Source.objects.values_list("pk", flat=True):  # one by one, because a statement over all rows deadlocks with a stage
            Source.objects.filter(pk=source_id).update(every_minutes=None)
        if not _until(_is_quiet, PATIENCE_S):
            self.report.violation("runs are still active long after the last fault")

    def _end_all_letters(self) -> None:
        """Mend what is in the way of the open letters, collect everything once more, and replay all letters.

        Those of answers that GitHub had spoiled are discarded: their staged copies stay bad, and a later run has read the records.
        """
        Source.objects.filter(name=ODD_LOG).update(is_strict=False)
        runs = [self._last_run(name) for name in Source.objects.values_list("name", flat=True)]
        if not _until(_is_quiet, PATIENCE_S):
            self.report.violation("the last runs have not ended")
        for run in ETLRun.objects.filter(pk__in=runs).exclude(status__in=ETLRun.GOOD):
            self.report.violation(f"the last run of {run.pipeline} is {run.status}: {run.error}")
        replayed, discarded, failed = 0, 0, []
        for letter in _open_letters():
            try:
                replay.replay_letter(letter, by=BY)
                replayed += 1
            except dead_letters.NotOpen:
                continue
            except replay.ReplayFailed as exc:
                if letter.source.kind == "logs" and letter.page:
                    failed.append(f"letter {letter.pk} of {letter.source} cannot be replayed: {exc}")
                else:
                    dead_letters.discard(letter, by=BY)
                    discarded += 1
        for sentence in failed:
            self.report.violation(f"I5: {sentence}")
        self.report.say(f"{replayed} open letters were replayed; {discarded} of answers that GitHub had spoiled were discarded")

    def _last_run(self, name: str) -> int:
        """Start a run of the source. A message that was sent before the schedule stopped may have started one meanwhile; then wait for its end."""
        started: list[int] = []

        def start() -> bool:
            with suppress(pipeline.SourceBusy):
                started.append(pipeline.run_source(name, is_full=name == ODD_REPOSITORY).pk)
            return bool(started)

        _until(start, PATIENCE_S)
        return started[0]

    def _replay_twice(self) -> None:
        """Replay every letter once more. All must refuse, and nothing must change."""
        before = self._everything()
        for letter in DeadLetter.objects.select_related("source", "run", "page"):
            try:
                replay.replay_letter(letter, by=BY)
                self.report.violation(f"I5: letter {letter.pk} was replayed a second time")
            except (dead_letters.NotOpen, replay.ReplayFailed):
                continue
        if self._everything() != before:
            self.report.violation("I5: replaying all letters twice has changed something")

    def _everything(self) -> dict[str, int]:
        return {
            **{f"events of {name}": sum(1 for _ in invariants.names_of_events(name)) for name in self.logs},
            **{f"{model.__name__}": model.objects.count() for model in TABLES},
            "runs": ETLRun.objects.count(),
        }

    def _collect_undisturbed(self) -> None:
        """Collect the same repositories, as they are now, and the logs' untouched copies into services of their own, without any fault."""
        worlds.add_services({name: str(path) for name, path in self.untouched.items()}, prefix=worlds.UNDISTURBED, is_strict=False)
        for source in Source.objects.filter(name__startswith=worlds.UNDISTURBED):
            # A message that was sent before the schedule stopped may have started the run already; then a worker does it.
            if run := ledger.open_run(source, trigger="shell"):
                inline.run_remaining_stages(run.pk)
            _until(_is_quiet, PATIENCE_S)
        by_status = dict(ETLRun.objects.values_list("status").annotate(Count("pk")))
        letters = dict(DeadLetter.objects.values_list("kind").annotate(Count("pk")))
        lines = {name: files.written for name, files in self.logs.items()}
        self.report.say(f"runs {by_status}, letters {letters}, lines {lines}, services {Service.objects.count()}")


_SHOWN_OF_RUNS = ("pk", "status", "stage", "attempt", "resends", "owner", "lease_until", "error")


def _is_quiet() -> bool:
    """Return whether no run is active and no log events wait for the log store, which the sweep loads."""
    return not ETLRun.objects.filter(status__in=ETLRun.ACTIVE).exists() and not ETLRun.with_waiting_events().exists()


def _open_letters() -> list[DeadLetter]:
    return list(DeadLetter.objects.filter(state=DeadLetter.State.OPEN).select_related("source__service", "run__source", "page").order_by("pk"))


def _forget_connections() -> None:
    """Close this thread's connections, because the servers were killed since they were opened."""
    connection.close()
    current_app._pool = current_app.amqp._producer_pool = None


def _until(is_done: Callable[[], bool], seconds: float, *, began: float | None = None) -> bool:
    """Wait until `is_done` returns True. Return whether it did within `seconds`."""
    ends_at = (began or time.monotonic()) + seconds
    while not is_done():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.2)
    return True
