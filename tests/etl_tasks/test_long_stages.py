"""Stages that exceed their time limit or GitHub's hourly budget. A stage that made progress continues later and does not restart."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from billiard.exceptions import TimeLimitExceeded
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import task_failure, task_retry
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError, connection
from django.utils.timezone import now

from dora_metrics.models import Service
from etl_tasks import inline, ledger, replay, sweeper, tasks
from etl_tasks.errors import LONGEST_WAIT_SECONDS, RetriableError
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.sources.adapter import Job, Page
from etl_tasks.sources.github import client
from github_stand_in.budget import Budget
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from log_store.opening import open_log_store
from tests.conftest import END
from tests.etl_tasks import test_commands
from tests.etl_tasks.conftest import replace_crash_point
from tests.etl_tasks.sources.failing import FailingSource
from tests.etl_tasks.sources.github.nights import spent
from tests.etl_tasks.test_stages import lines
from tests.tables import assert_equal_to_truth

pytestmark = pytest.mark.django_db
STAGES = {"extract": tasks.extract, "transform": tasks.transform, "load": tasks.load}


@pytest.fixture(autouse=True)
def nothing_known_of_the_budget() -> Iterator[None]:
    client._rate_limits.clear()
    yield
    client._rate_limits.clear()


@pytest.fixture
def logs(billing: Source, tmp_path: Path) -> Source:
    """A log source with two pages."""
    open_log_store().ensure_schema()
    file = tmp_path / "app.log"
    file.write_text(lines(0, 30).replace("line", "x" * 50_000))
    return Source.objects.create(name=f"logs-{tmp_path.name}", service=billing.service, kind="logs", path=str(file), log_format="json")


def turn(run: ETLRun, *, retries: int = 0) -> str:
    """Run the next stage as a worker does. Return the state of its task."""
    run.refresh_from_db()
    return str(STAGES[run.stage].apply([run.pk], retries=retries).state)


def interrupting(point: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Raise `error` whenever a stage passes the crash point (a named place in its code). Return a function that stops this."""

    def at(name: str) -> None:
        if name == point:
            raise error

    # The real crash_point kills the process, so this one raises.
    replace_crash_point(monkeypatch, at)
    return lambda: replace_crash_point(monkeypatch, lambda name: None)


def bring_to(run: ETLRun, stage: str) -> None:
    while run.stage != stage:
        inline.run_stage(run.pk, run.stage)
        run.refresh_from_db()


def send_again(run: ETLRun, sent_runs: Callable[[], list[int]]) -> None:
    with time_machine.travel(now() + timedelta(seconds=1)):
        assert sweeper.resend_lost() == 1
    assert sent_runs() == [run.pk]
    run.refresh_from_db()


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded(), OperationalError("away"), RetriableError("away")], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("point", ["extract.page.after", "transform.page.after", "load.facts.after", "load.log_events.after", "load.end.before"])
def test_a_stage_that_moved_before_it_was_stopped_goes_on(
    billing: Source,
    logs: Source,
    github: StandIn,
    sent_runs: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    point: str,
    error: Exception,
) -> None:
    """Formerly only staged and clean pages counted as progress, so a load could not continue."""
    settings.GITHUB_PAGE_SIZE = 25
    run = ledger.open_run(billing if point == "load.facts.after" else logs, trigger="shell")
    assert run
    bring_to(run, point.partition(".")[0])
    stop = interrupting(point, error, monkeypatch)
    # No further retry: a retriable error has used up its retries here, and the soft time limit is never retried.
    assert turn(run, retries=tasks.load.max_retries) == "IGNORED"
    run.refresh_from_db()
    assert (run.status, run.owner, run.error) == ("postponed", "", "")
    stop()
    with time_machine.travel(now() + timedelta(hours=1)):
        send_again(run, sent_runs)
        while run.status in ETLRun.ACTIVE:
            turn(run)
            run.refresh_from_db()
    assert run.status == "success"
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize(("point", "next_retry"), [("load.log_events.after", 1), ("load.log_events.before", tasks.load.max_retries)])
def test_only_failures_in_a_row_without_progress_use_up_the_retries(
    logs: Source, monkeypatch: pytest.MonkeyPatch, point: str, next_retry: int
) -> None:
    """The attempt before the last one fails, after or before it has loaded a page. Formerly the next attempt was always the last one."""
    run = ledger.open_run(logs, trigger="shell")
    assert run
    bring_to(run, "load")
    sent: list[int] = []

    def hear(reason: Any, **_: object) -> None:
        sent.append(reason.sig.options["retries"])

    interrupting(point, OperationalError("away"), monkeypatch)
    task_retry.connect(hear)
    try:
        turn(run, retries=tasks.load.max_retries - 1)
    finally:
        task_retry.disconnect(hear)
    assert sent[0] == next_retry


class InterruptedQuery(FailingSource):
    """A source whose stage is stopped while MySQL executes a statement: the result of the statement is never read."""

    def pages(self, job: Job) -> Iterator[Page]:
        yield from super().pages(job)
        connection.connection.query("SELECT 1")
        raise SoftTimeLimitExceeded


@pytest.mark.skipif(connection.vendor != "mysql", reason="only MySQL refuses a statement while a result is unread")
@pytest.mark.django_db(transaction=True)
def test_a_stage_that_is_stopped_in_the_middle_of_a_query_goes_on(billing: Source, settings: Any) -> None:
    settings.ETL_ADAPTERS = {"github": f"{__name__}.{InterruptedQuery.__name__}"}
    run = ledger.open_run(billing, trigger="shell")
    assert run
    assert turn(run) == "IGNORED"
    run.refresh_from_db()
    assert (run.status, run.error) == ("postponed", "")


def test_a_stage_goes_on_if_closing_the_interrupted_statement_fails_too(logs: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django closes the cursor of an interrupted statement. MySQL then refuses that, and its error hides the time limit."""
    out_of_sync = ProgrammingError(2014, "Commands out of sync; you can't run this command now")
    out_of_sync.__context__ = SoftTimeLimitExceeded()
    run = ledger.open_run(logs, trigger="shell")
    assert run
    interrupting("extract.page.after", out_of_sync, monkeypatch)
    assert turn(run) == "IGNORED"
    run.refresh_from_db()
    assert (run.status, run.owner, run.error) == ("postponed", "", "")


@pytest.mark.parametrize("point", ["extract.page.before", "transform.page.before", "load.log_store.after"])
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
    """Celery reports the failure twice."""
    opened = ledger.open_run(logs, trigger="shell")
    assert opened
    run = ledger.claim(opened.pk, "extract", "the task")
    for _ in range(steps):
        with ledger.guarded_transaction(run, "test"):
            pass
    for _ in range(2):
        task_failure.send(sender=tasks.extract, task_id="the task", exception=TimeLimitExceeded(660), args=[run.pk], kwargs={})
    run.refresh_from_db()
    assert run.status == status
    assert DeadLetter.objects.count() == (status == "failed")


def test_a_wait_that_no_limit_has_is_a_day_at_most(billing: Source, github: StandIn) -> None:
    """A server may, for example, give the reset time in milliseconds."""
    github.faults = {"status": 429, "retry_after": 10**30}
    run = ledger.open_run(billing, trigger="shell")
    assert run
    assert turn(run) == "IGNORED"
    run.refresh_from_db()
    assert run.status == "postponed"
    assert run.lease_until < now() + timedelta(seconds=LONGEST_WAIT_SECONDS + 1)


# --- without a broker -------------------------------------------------------------------------------------------------


@pytest.fixture
def spent_hour(github: StandIn, settings: Any) -> StandIn:
    """The rest of GitHub's hourly budget is too small for a first collection."""
    settings.GITHUB_PAGE_SIZE = 10
    github.budget = Budget(limit=30, reset_seconds=3600)
    return github


def test_etl_extract_postpones_a_collection_that_is_larger_than_the_hour_and_goes_on_in_the_next(
    billing: Source, logs: Source, spent_hour: StandIn, world: World, capsys: Any
) -> None:
    """Formerly such a run became a dead letter, and each night began again with the first page."""
    call_command("etl_extract")
    said = capsys.readouterr().out
    until, reason, rest = (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", r"\(.*points of this hour are left.*\)", "the next etl_extract after that goes on")
    assert re.search(f"^billing: postponed until {until} {reason}: {rest}", said, re.M)
    assert re.search(r"run \d+ billing: postponed until .* UTC \(extract\)", said)
    assert not DeadLetter.objects.exists()
    run = billing.runs.get()
    staged = run.pages.count()
    assert staged
    for command in ("etl_transform", "etl_load"):
        call_command(command)
    assert logs.runs.get().status == "success"

    capsys.readouterr()
    spent(spent_hour)
    call_command("etl_extract", "--source", "billing")
    call_command("etl_extract", "--run", str(run.pk))
    assert capsys.readouterr().out.count("billing: postponed until") == 2
    assert not spent(spent_hour)

    spent_hour.budget.reset()
    spent_hour.budget.limit = 5000
    client._rate_limits.clear()
    with time_machine.travel(now() + timedelta(seconds=3700)):
        call_command("etl_extract", "--source", "billing")
        run.refresh_from_db()
        assert (run.stage, run.status) == ("transform", "running")
        assert list(run.pages.order_by("number").values_list("number", flat=True)) == list(range(1, run.pages.count() + 1))
        assert run.pages.values("sha256").distinct().count() == run.pages.count() > staged
        for command in ("etl_transform", "etl_load"):
            call_command(command)
    assert billing.runs.get().status == "success"
    assert_equal_to_truth(world, END)


def test_a_replay_that_meets_the_end_of_the_hour_is_postponed_too(billing: Source, spent_hour: StandIn) -> None:
    spent_hour.faults = {"outage": True}
    with pytest.raises(CommandError):
        call_command("etl_extract")
    spent_hour.faults = {}
    letter = DeadLetter.objects.get()
    with pytest.raises(replay.ReplayFailed, match=r"is postponed until .*its good end closes the letter"):
        replay.replay_letter(letter, by="test")
    run = billing.runs.get()
    assert run.status == "postponed"
    spent_hour.budget.limit = 5000
    client._rate_limits.clear()
    with time_machine.travel(now() + timedelta(seconds=3700)):
        for command in ("etl_extract", "etl_transform", "etl_load"):
            call_command(command)
    letter.refresh_from_db()
    assert letter.state == "replayed"


def test_a_source_that_gets_no_further_fails_although_a_smaller_page_was_learned(billing: Source, github: StandIn) -> None:
    """A lasting outage must not look like progress: the run would be handed back each night, without a letter and an alert."""
    call_command("etl_extract")
    for command in ("etl_transform", "etl_load"):
        call_command(command)
    github.clock, github.faults = END + timedelta(days=1), {"outage": "PullRequests", "status": 502}
    calls = 0
    while not DeadLetter.objects.exists():
        with pytest.raises(CommandError):
            call_command("etl_extract", "--source", "billing")
        calls += 1
        assert calls <= 2, "the run was handed back again"
    assert ETLRun.objects.latest("pk").status == "failed"


def test_a_command_waits_itself_for_a_time_that_is_near(billing: Source, github: StandIn, world: World, capsys: Any) -> None:
    github.faults = {"status": 429, "retry_after": 1, "times": 2}
    call_command("etl_extract")
    assert "postponed" not in capsys.readouterr().out
    assert billing.runs.get().stage == "transform"


def test_a_command_that_is_told_to_wait_again_and_again_postpones(billing: Source, github: StandIn, settings: Any) -> None:
    github.faults = {"status": 429, "retry_after": 0}
    call_command("etl_extract")
    assert github.counts["requests"] == settings.ETL_STAGE_RETRIES + 1
    assert billing.runs.get().status == "postponed"


@pytest.mark.slow
def test_cron_finishes_in_the_next_call_what_the_hour_was_too_short_for(world: World, tmp_path: Path) -> None:
    """Run scripts/run_etl_pipeline.sh as cron does: each command is a separate process."""
    with StandIn({"acme/billing": world}, clock=END) as github:
        env = {"GITHUB_API_URL": github.url, "GITHUB_PAGE_SIZE": "10", "GITHUB_TOKEN": "a-token"}
        for words in (["migrate", "--verbosity", "0"], ["add_service", "billing", "--repository", "acme/billing"]):
            assert test_commands.manage(tmp_path, *words, **env).returncode == 0
        github.budget = Budget(limit=30, reset_seconds=3600)
        first = test_commands.pipeline(tmp_path, **env)
        assert (first.returncode, "billing: postponed until" in first.stdout) == (0, True), first.stderr
        github.budget = Budget(limit=5000, reset_seconds=3600)
        with closing(sqlite3.connect(tmp_path / "callcentersite.sqlite3")) as database, database:
            database.execute("UPDATE etl_tasks_etlrun SET lease_until = '2026-03-20 02:00:00'")  # in the past, as if the hour were over
        second = test_commands.pipeline(tmp_path, **env)
    assert second.returncode == 0, second.stderr
    assert re.search(r"run 1 billing: success", second.stdout)


def test_the_runs_of_other_services_go_on_beside_a_postponed_one(spent_hour: StandIn, billing: Source, tmp_path: Path) -> None:
    call_command("etl_extract")
    other = tmp_path / "other.log"
    other.write_text(lines(0, 5))
    open_log_store().ensure_schema()
    Source.objects.create(
        name=f"other-{tmp_path.name}", service=Service.objects.create(name="other"), kind="logs", path=str(other), log_format="json"
    )
    for command in ("etl_extract", "etl_transform", "etl_load"):
        call_command(command)
    assert set(ETLRun.objects.values_list("source__kind", "status")) == {("github", "postponed"), ("logs", "success")}


def test_a_stage_that_celery_cancels_as_the_worker_ends_keeps_its_lease(billing: Source) -> None:
    run = ledger.open_run(billing, trigger="shell")
    assert run
    lease_until = ledger.claim(run.pk, "extract", "a task").lease_until
    request = SimpleNamespace(id="a task", args=(run.pk,), kwargs={})
    answers = task_retry.send(tasks.extract, request=request, einfo=None)  # as celery/worker/request.py sends it
    assert [answer for _, answer in answers if answer is not None] == []
    run.refresh_from_db()
    assert run.lease_until == lease_until
