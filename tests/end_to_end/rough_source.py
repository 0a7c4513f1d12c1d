"""A source that leads a worker to the crash points to which an ordinary night does not lead it, or that fails in an unforeseen way."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils.timezone import now

from etl_tasks import beat_tasks, dead_letters, pipeline, replay, replay_tasks
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import DeadLetter, Heartbeat, Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.adapter import Adapter, Check, Job, Page
from tests.etl_tasks.unforeseen import ERRORS


class RoughSource(Adapter):
    def check(self, source: Source) -> Check:
        """Do in the worker what `source.options` says: workers check a source when somebody asks for it."""
        ACTIONS[source.options["do"]](source)
        return Check(can_be_read=True, sentences=[])

    def pages(self, job: Job) -> Iterator[Page]:
        """Yield one page without records, but first ask for every kind of wait whose crash points have not killed a worker yet."""
        if name := job.source.options.get("raises"):
            raise ERRORS[name]()
        yield Page(stream="progress", url="", body=b"", record_count=0, fetched_at=now(), cursor={})
        if is_due("ledger.extend_lease"):
            raise RetriableError("try again soon", retry_after=0.1)
        if is_due("ledger.postpone"):
            raise RetriableError("try again later", retry_after=0.1, postpone=True)
        if is_due("ledger.release"):
            raise RetriableError("away")
        if Path(job.source.path).exists():
            raise FatalError("refused")
        if "issues" not in job.progress:
            yield Page(stream="issues", url="", body=b"no records", record_count=0, fetched_at=now(), cursor={}, is_done=True)

    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        return "issue"

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        return iter(())


def is_due(name: str) -> bool:
    """Return whether a worker has still to be killed before or after what has this name."""
    points = {f"{name}.before", f"{name}.after"} & set(os.environ.get("ETL_CRASH_AT", "").split(","))
    return any(not (Path(os.environ["ETL_CRASH_FOLDER"]) / f"crashed-{point}").exists() for point in points)


def recompute(source: Source) -> None:
    pipeline.send_recompute(source.service)


def replay_here(source: Source) -> None:
    replay.replay_letter(DeadLetter.objects.get(source=source, kind="stage"), by="test")


def discard(source: Source) -> None:
    for letter in DeadLetter.objects.filter(key__startswith="unreadable:"):
        dead_letters.discard_alike(letter, by="test")


def replay_without_time(source: Source) -> None:
    """Replay as if the time of the task were over at once, so that it sends another message."""
    former, replay_tasks.TURN_S = replay_tasks.TURN_S, -1.0
    try:
        for letter in DeadLetter.objects.filter(state="open", kind="record")[:1]:
            replay_tasks.replay_alike(letter.pk, "test")
    finally:
        replay_tasks.TURN_S = former


def prune_without_time(_source: Source) -> None:
    """Prune as if the time of the task were over after the first batch."""
    Heartbeat.objects.update_or_create(name="a queue of the past", defaults={"seen_at": now() - timedelta(days=1000)})
    former, beat_tasks.TURN_S = beat_tasks.TURN_S, -1.0
    try:
        beat_tasks.prune()
    finally:
        beat_tasks.TURN_S = former


ACTIONS: Mapping[str, Callable[[Source], None]] = {
    "recompute": recompute,
    "replay here": replay_here,
    "discard": discard,
    "replay without time": replay_without_time,
    "prune without time": prune_without_time,
}
