"""A worker is killed before and after each commit, write and message. The tables end up as if nothing had happened."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from django.utils.timezone import now

from dora_metrics.models import Service
from etl_tasks import beat_tasks, pipeline, replay_tasks, tasks
from etl_tasks.loaders.metrics import recompute_service
from etl_tasks.models import DeadLetter, ETLRun, Fault, Source
from github_stand_in.worlds.world import World
from log_store.opening import open_log_store
from log_store.store import LogQuery
from tests.conftest import END
from tests.end_to_end.conftest import Stack
from tests.end_to_end.test_night import a_day_passes
from tests.etl_tasks.test_crash_points import POINTS
from tests.etl_tasks.test_stages import lines
from tests.tables import assert_equal_to_truth, facts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.chaos,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("crash points"),
]
# With EACH_CRASH_POINT=1, each point has a night of its own, in which the whole worker is killed. That takes about half an hour. Otherwise all
# of them kill children of the same worker.
IS_EACH_ALONE = os.environ.get("EACH_CRASH_POINT") == "1"
PATIENCE_SECONDS = 250


class Crashes:
    """A worker with three children and a beat, which run until every one of the points has killed a process."""

    def __init__(self, stack: Stack, points: list[str]) -> None:
        self._stack, self._points = stack, points
        self._started = ExitStack()
        self._count = 0

    @contextmanager
    def running(self) -> Iterator["Crashes"]:
        self._start()
        try:
            yield self
        finally:  # a worker that is left would take the messages of later tests
            self._started.close()

    def _start(self) -> None:
        env = {
            "ETL_ADAPTERS": "rough=tests.end_to_end.rough_source.RoughSource",
            "ETL_CRASH_AT": ",".join(self._points),
            "ETL_STAGE_RETRIES": "1",
            "ETL_MAX_RESENDS": "10",
            **({} if IS_EACH_ALONE else {"ETL_CRASH_CHILD": "1"}),
        }
        self._processes = self._started.enter_context(self._stack.running("busy-worker", "beat", **env))

    def left(self) -> list[str]:
        return [point for point in self._points if not (self._stack.folder / f"crashed-{point}").exists()]

    def until(self, is_done: Callable[[], bool], what: str, *, act: Callable[[], object] = lambda: None) -> None:
        """Call `act` every two seconds until `is_done`. Restart a worker that was killed."""
        deadline, acts_at = time.monotonic() + PATIENCE_SECONDS, 0.0
        while not is_done():
            if time.monotonic() > deadline:
                self._stack.wait(lambda: False, f"{what}; left: {self.left()}; letters: {list(DeadLetter.objects.values())}", timeout_s=0)
            if time.monotonic() > acts_at:
                act()
                acts_at = time.monotonic() + 2
            time.sleep(0.1)
            if self._processes["busy-worker"].poll() is not None:
                self._started.close()
                self._start()
            self._expire_leases()

    def _expire_leases(self) -> None:
        """After a kill, end the leases at once instead of waiting for their end. Runs that live renew them."""
        count = len(self.left())
        if count != self._count:
            lost = ETLRun.objects.filter(status__in=[ETLRun.Status.QUEUED, ETLRun.Status.RUNNING])
            with suppress(OperationalError):  # a deadlock with a stage: the next call tries again
                lost.update(lease_until=now() - timedelta(seconds=1), resends=0)
                self._count = count


@pytest.mark.parametrize(
    "points", [[point] for point in POINTS] if IS_EACH_ALONE else [POINTS], ids=lambda points: points[0] if len(points) == 1 else "all"
)
def test_a_worker_killed_at_every_point_leaves_the_tables_as_an_undisturbed_one(stack: Stack, world: World, points: list[str]) -> None:
    sources = _sources(stack)
    stack.github.faults = {"null_nodes": True, "unfinished_above": 60}
    with Crashes(stack, points).running() as crashes:
        _night(crashes)
        stack.github.faults = {}
        Source.objects.filter(pk=sources["strict"].pk).update(is_strict=False)
        Source.objects.filter(pk=sources["odd"].pk).update(log_format="json")
        for action in ("replay without time", "prune without time", "discard"):
            _ask(crashes, sources["rough"], action)
        crashes.until(lambda: not _open_letters(), "all letters are replayed", act=_replay_all)
        _refuse_and_replay(stack, crashes, sources["rough"])
        _ask(crashes, sources["rough"], "recompute")
        for _ in range(10):  # a source is settled after some nights
            a_day_passes()
            _night(crashes)
            if not crashes.left():
                break
        crashes.until(lambda: not crashes.left(), "every point has killed a process")
        crashes.until(lambda: not Source.objects.filter(name=sources["doomed"].name).exists(), "the source is deleted")

    assert set(ETLRun.objects.values_list("status", flat=True)) <= {"success", "partial"}
    assert not ETLRun.objects.exclude(active_for=None).exists()
    assert not _open_letters()
    assert not Fault.objects.exists()
    assert_equal_to_truth(world, END, has_runs=False)
    assert facts()["metrics"]
    assert recompute_service(Service.objects.get(name="billing").pk) == 0
    for name, count in (("logs", 100), ("strict", 30), ("odd", 30)):
        events = open_log_store().read(LogQuery(sources[name].name, END - timedelta(days=2), END + timedelta(days=1000)), limit=1000).events
        assert len(events) == count, name
        assert len({event.message for event in events}) == count, name


def _sources(stack: Stack) -> dict[str, Source]:
    """Create a source for each way on which a run can go."""
    service = Service.objects.get(name="billing")
    logs = Source.objects.get(kind="logs")
    Source.objects.filter(pk=logs.pk).update(path=f"{stack.folder}/billing*.log")
    stack.logs.write_text(lines(0, 100))
    (stack.folder / "billing-lost.log").symlink_to(stack.folder / "nowhere")  # cannot be read, and becomes a letter
    (stack.folder / "strict.txt").write_text(lines(0, 29) + "not JSON\n")
    (stack.folder / "odd.txt").write_text(lines(0, 30))

    def source(name: str, *, service: Service = service, **fields: object) -> Source:
        return Source.objects.create(name=f"{name}-{os.urandom(4).hex()}", service=service, overdue_alerted_at=END, **fields)

    return {
        "logs": logs,
        "strict": source("strict", kind="logs", path=f"{stack.folder}/strict.txt", log_format="json", is_strict=True),
        "odd": source("odd", kind="logs", path=f"{stack.folder}/odd.txt", log_format="combined", is_strict=True),
        "rough": source("rough", service=Service.objects.create(name="rough"), kind="rough", path=f"{stack.folder}/refuse"),
        "doomed": source("doomed", kind="logs", path="/x", log_format="json", deletion_began_at=END, is_enabled=False),
    }


def _night(crashes: Crashes) -> None:
    """Start the runs of a night, until each source has one, and wait for their end."""
    enabled = Source.objects.filter(is_enabled=True).count()
    tonight = ETLRun.objects.filter(logical_date=pipeline.local_today())
    crashes.until(lambda: tonight.count() == enabled, "the night has begun", act=beat_tasks.nightly.delay)
    crashes.until(lambda: not ETLRun.objects.filter(status__in=ETLRun.ACTIVE).exists(), "all runs have ended")


def _open_letters() -> bool:
    return DeadLetter.objects.filter(state="open").exists() or ETLRun.objects.filter(status__in=ETLRun.ACTIVE).exists()


def _replay_all() -> None:
    """Ask the worker to replay all letters: one of each cause, because it replays those that have the same cause, too."""
    of_each_cause = {(letter.source_id, letter.kind, letter.error): letter.pk for letter in DeadLetter.objects.filter(state="open")}
    for letter_id in of_each_cause.values():
        replay_tasks.replay_alike.delay(letter_id, "test")


def _ask(crashes: Crashes, rough: Source, action: str) -> None:
    """Let the worker do something until the crash points on the way have killed it."""
    names = {
        "recompute": ("pipeline.send_recompute", "metrics.recompute"),
        "replay without time": ("replay.continue",),
        "prune without time": ("beat_tasks.continue_prune",),
        "discard": ("dead_letters.discard_alike",),
    }[action]
    Source.objects.filter(pk=rough.pk).update(options={"do": action})

    def is_done() -> bool:
        is_left = any(point.startswith(f"{name}.") for point in crashes.left() for name in names)
        has_unreadable = DeadLetter.objects.filter(key__startswith="unreadable:", state="open").exists()
        return not is_left and not (action == "discard" and has_unreadable)

    crashes.until(is_done, action, act=lambda: tasks.check.delay(rough.pk))


def _refuse_and_replay(stack: Stack, crashes: Crashes, rough: Source) -> None:
    """Let a run of the source fail, and replay its letter inside the worker, until that has killed it at each point."""
    refuse = Path(stack.folder / "refuse")
    Source.objects.filter(pk=rough.pk).update(options={"do": "replay here"})
    while any(point.startswith("replay.credit.") for point in crashes.left()):
        refuse.touch()
        run = pipeline.run_source(rough.name)
        crashes.until(lambda: ETLRun.objects.get(pk=run.pk).status == "failed", "the run has failed")  # noqa: B023
        refuse.unlink()
        crashes.until(
            lambda: ETLRun.objects.get(pk=run.pk).status == "success" and not _open_letters(),  # noqa: B023
            "the failed run is replayed",
            act=lambda: tasks.check.delay(rough.pk),
        )
