"""Stages that need longer than their time, or than GitHub's hour: whatever has moved goes on, and is not begun again."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from billiard.exceptions import TimeLimitExceeded
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import task_failure
from django.db import OperationalError
from django.utils.timezone import now

from demo.github.server import StandIn
from etl_tasks import here, ledger, pipeline, stages, sweeper, tasks
from etl_tasks.errors import LONGEST_WAIT_SECONDS, RetriableError
from etl_tasks.loaders.log_store import open_log_store
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.sources.github import client
from tests.etl_tasks.test_stages import lines

pytestmark = pytest.mark.django_db
STAGES = {"extract": tasks.extract, "transform": tasks.transform, "load": tasks.load}


@pytest.fixture(autouse=True)
def nothing_known_of_the_budget() -> Iterator[None]:
    client._budgets.clear()
    yield
    client._budgets.clear()


@pytest.fixture
def logs(billing: Source, tmp_path: Path) -> Source:
    """A source of two pages."""
    open_log_store().ensure_schema()
    file = tmp_path / "app.log"
    file.write_text(lines(0, 30).replace("line", "x" * 50_000))
    return Source.objects.create(name=f"logs-{tmp_path.name}", service=billing.service, kind="logs", path=str(file), log_format="json")


def turn(run: ETLRun, *, retries: int = 0) -> str:
    """One stage as a worker runs it: the state of its task."""
    run.refresh_from_db()
    return str(STAGES[run.stage].apply([run.pk], retries=retries).state)


def interrupting(point: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The error at each passage of a point, as the soft limit strikes anywhere, until it is told to stop."""

    def at(name: str) -> None:
        if name == point:
            raise error

    monkeypatch.setattr(stages, "crash_point", at)
    return lambda: monkeypatch.setattr(stages, "crash_point", lambda name: None)


def bring_to(run: ETLRun, stage: str) -> None:
    while run.stage != stage:
        here.run_stage_here(run.pk, run.stage)
        run.refresh_from_db()


def send_again(run: ETLRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "send", lambda run: None)
    with time_machine.travel(now() + timedelta(seconds=1)):
        assert sweeper.resend_lost() == 1
    run.refresh_from_db()


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded(), OperationalError("away"), RetriableError("away")], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("point", ["extract.after_page_commit", "transform.after_batch", "load.after_sql", "load.after_mark", "load.before_finish"])
def test_a_stage_that_moved_before_it_was_stopped_goes_on(
    billing: Source, logs: Source, github: StandIn, monkeypatch: pytest.MonkeyPatch, settings: Any, point: str, error: Exception
) -> None:
    """Only pages and clean pages were counted, so that a load could not go on."""
    settings.GITHUB_PAGE_SIZE = 25
    run = ledger.open_run(billing if point == "load.after_sql" else logs, trigger="shell")
    assert run
    bring_to(run, point.partition(".")[0])
    stop = interrupting(point, error, monkeypatch)
    # As the last of the retries that an error has; the soft limit has none.
    assert turn(run, retries=tasks.load.max_retries) == "IGNORED"
    run.refresh_from_db()
    assert (run.status, run.owner, run.error) == ("postponed", "", "")
    stop()
    with time_machine.travel(now() + timedelta(hours=1)):
        send_again(run, monkeypatch)
        while run.status in ETLRun.ACTIVE:
            turn(run)
            run.refresh_from_db()
    assert run.status == "success"
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize("point", ["extract.before_page_commit", "transform.before_batch", "load.after_log_store"])
def test_a_stage_that_has_not_moved_fails(logs: Source, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    run = ledger.open_run(logs, trigger="shell")
    assert run
    bring_to(run, point.partition(".")[0])
    interrupting(point, SoftTimeLimitExceeded(), monkeypatch)
    assert turn(run) == "FAILURE"
    run.refresh_from_db()
    assert run.status == "failed"
    assert "SoftTimeLimitExceeded" in DeadLetter.objects.get().error


@pytest.mark.parametrize(("steps", "status"), [(1, "postponed"), (0, "failed")])
def test_a_child_that_the_hard_limit_kills_goes_on_if_it_had_moved(logs: Source, steps: int, status: str) -> None:
    """Told twice, as Celery does."""
    opened = ledger.open_run(logs, trigger="shell")
    assert opened
    run = ledger.claim(opened.pk, "extract", "the task")
    for _ in range(steps):
        with ledger.mine(run):
            pass
    for _ in range(2):
        task_failure.send(sender=tasks.extract, task_id="the task", exception=TimeLimitExceeded(660), args=[run.pk])
    run.refresh_from_db()
    assert run.status == status
    assert DeadLetter.objects.count() == (status == "failed")


def test_a_wait_that_no_limit_has_is_a_day_at_most(billing: Source, github: StandIn) -> None:
    """As where a reset is named in milliseconds."""
    github.faults = {"status": 429, "retry_after": 10**30}
    run = ledger.open_run(billing, trigger="shell")
    assert run
    assert turn(run) == "IGNORED"
    run.refresh_from_db()
    assert run.status == "postponed"
    assert run.lease_until < now() + timedelta(seconds=LONGEST_WAIT_SECONDS + 1)
