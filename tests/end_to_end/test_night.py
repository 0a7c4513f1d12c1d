"""Nightly runs with real beat and worker processes. Whatever process is killed, the tables end up equal to GitHub's data."""

import os
import signal
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.conf import settings
from django.db.models import F
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from etl_tasks import pipeline
from etl_tasks.models import DeadLetter, ETLRun, Source
from github_stand_in.worlds.world import World
from log_store.opening import open_log_store
from log_store.store import LogQuery
from tests.conftest import END
from tests.end_to_end.conftest import Stack
from tests.etl_tasks.test_stages import lines
from tests.etl_tasks.unforeseen import ERRORS
from tests.tables import assert_equal_to_truth, facts
from tests.tcp_proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def every_second(name: str) -> None:
    """Schedule the periodic task every second, as a user can in the admin."""
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
    entry = PeriodicTask.objects.get(name=name)
    entry.crontab, entry.interval = None, second
    entry.save()


def write_long_lines(stack: Stack, count: int) -> None:
    """Write lines of a kilobyte to the log: more of them than one commit takes."""
    with stack.logs.open("w") as file:
        for first in range(0, count, 1000):
            file.write(lines(first, first + 1000).replace("line", f"{'x' * 1000} line"))


def a_day_passes() -> None:
    for run in ETLRun.objects.exclude(logical_date=None).order_by("logical_date"):
        ETLRun.objects.filter(pk=run.pk).update(logical_date=run.logical_date - timedelta(days=1))


def stored_lines(source: Source | None = None, *, limit: int = 10_000) -> list[str]:
    source = source or Source.objects.get(kind="logs")
    events = open_log_store().read(LogQuery(source.name, END - timedelta(days=2), END), limit=limit).events
    return sorted(event.message for event in events)


def test_beat_runs_three_nights_and_only_what_is_new_is_added(stack: Stack, world: World) -> None:
    stack.github.clock = END - timedelta(days=1)
    stack.logs.write_text(lines(0, 200))
    every_second("etl nightly")
    with stack.running("worker", "beat"):
        stack.wait_for_end(2)
        assert_equal_to_truth(world, END - timedelta(days=1))
        assert stored_lines() == sorted(f"line {i}" for i in range(200))

        stack.github.clock = END
        with stack.logs.open("a") as file:
            file.write(lines(200, 250))
        a_day_passes()
        stack.wait_for_end(4)
        assert_equal_to_truth(world, END, has_runs=False)
        assert stored_lines() == sorted(f"line {i}" for i in range(250))
        before = facts()

        a_day_passes()
        stack.wait_for_end(6)
        assert facts() == before
        assert stored_lines() == sorted(f"line {i}" for i in range(250))
    assert set(ETLRun.objects.values_list("status", "trigger")) == {("success", "beat")}
    added = list(ETLRun.objects.order_by("pk").values_list("loaded", flat=True))
    assert sum(added[:2]) > 500
    assert 50 < sum(added[2:4]) < 100
    assert sum(added[4:]) == 0
    assert TaskResult.objects.filter(task_name="etl.load", status="SUCCESS").exists()
    assert not DeadLetter.objects.exists()


def an_hour_passes() -> None:
    ETLRun.objects.update(created_at=F("created_at") - timedelta(hours=1))


def test_beat_runs_sources_between_the_nights_and_the_quiet_runs_go(stack: Stack, world: World) -> None:
    stack.github.clock = END - timedelta(days=1)
    stack.logs.write_text(lines(0, 100))
    Source.objects.filter(kind="logs").update(every_minutes=1)
    Source.objects.filter(kind="github").update(every_minutes=5)
    between = ETLRun.objects.filter(trigger="interval", status="success")
    quiet = between.filter(is_quiet=True)
    with stack.running("worker", "beat"):
        stack.wait_for_end(2)  # of the night that is missing or, before tonight's hour, of the interval
        later = between.exclude(pk__in=list(ETLRun.objects.values_list("pk", flat=True)))

        stack.github.clock = END
        with stack.logs.open("a") as file:
            file.write(lines(100, 150))
        an_hour_passes()
        stack.wait(lambda: set(later.filter(loaded__gt=0).values_list("source__kind", flat=True)) == {"github", "logs"}, "both ran again")
        assert_equal_to_truth(world, END, has_runs=False)
        assert stored_lines() == sorted(f"line {i}" for i in range(150))

        an_hour_passes()
        stack.wait(lambda: quiet.count() == 2, "both ran and found nothing new")
        former = set(quiet.values_list("pk", flat=True))
        before = facts()
        an_hour_passes()
        stack.wait(lambda: quiet.count() == 2 and not former & set(quiet.values_list("pk", flat=True)), "later runs have replaced the quiet ones")
        assert facts() == before
    assert not ETLRun.objects.exclude(status="success").exists()
    assert not DeadLetter.objects.exists()


def test_sources_that_fail_in_unforeseen_ways_end_as_failed_runs_and_their_neighbours_go_on(stack: Stack, world: World) -> None:
    stack.logs.write_text(lines(0, 100))
    service = Source.objects.get(name="billing").service
    for number, error in enumerate(ERRORS):
        Source.objects.create(name=f"odd {number}", service=service, kind="rough", path="/x", options={"raises": error}, overdue_alerted_at=END)
    pipeline.run_all()
    with stack.running("worker", ETL_ADAPTERS="rough=tests.end_to_end.rough_source.RoughSource") as started:
        stack.wait_for_end(len(ERRORS) + 2)
        assert started["worker"].poll() is None
    failed = ETLRun.objects.exclude(source__kind__in=["github", "logs"])
    assert set(failed.values_list("status", "stage", "attempt")) == {("failed", "extract", 1)}
    assert set(ETLRun.objects.filter(source__kind__in=["github", "logs"]).values_list("status", flat=True)) == {"success"}
    assert_equal_to_truth(world, END)
    assert stored_lines() == sorted(f"line {i}" for i in range(100))
    assert sorted(DeadLetter.objects.values_list("run", flat=True)) == sorted(failed.values_list("pk", flat=True))
    log = (stack.folder / "worker.log").read_text(errors="replace")
    assert log.count("critical_alert") == len(ERRORS)
    assert "WorkerLostError" not in log


@pytest.mark.chaos
def test_a_worker_killed_between_two_pages_goes_on_behind_the_last_one(stack: Stack, world: World) -> None:
    """The worker gets SIGKILL in the middle of several lists. The next worker does not request a page again that the killed one had staged."""
    stack.logs.write_text(lines(0, 10))
    stack.github.latency_seconds = 0.1
    run = pipeline.run_source("billing")
    with stack.running("worker", GITHUB_PAGE_SIZE="10") as started:
        stack.wait(lambda: run.pages.count() >= 8, "eight pages staged")
        os.killpg(started["worker"].pid, signal.SIGKILL)
    before = run.pages.count()
    half_read = {one.stream: one.resume.get("after") for one in run.progress.filter(is_done=False)}
    assert any(half_read.values()), "no list was cut in the middle"
    stack.github.latency_seconds = 0
    with stack.running("worker", "beat", GITHUB_PAGE_SIZE="10"):
        stack.wait_for(run)

    assert (run.status, run.error) == ("success", "")
    assert run.pages.count() > before
    assert run.extracted == run.loaded + run.skipped
    assert run.pages.values("sha256").distinct().count() == run.pages.count(), "a page was staged twice"
    assert_equal_to_truth(world, END)
    assert not DeadLetter.objects.exists()


def test_github_away_is_retried_by_celery_then_buried_and_the_alert_is_one(stack: Stack) -> None:
    stack.github.faults = {"outage": True}
    run = pipeline.run_source("billing")
    with stack.running("worker"):
        stack.wait_for(run)
    assert (run.status, run.stage, run.attempt) == ("failed", "extract", 4)
    letter = DeadLetter.objects.get()
    assert (letter.kind, letter.stage, letter.error) == ("stage", "extract", "GitHub answered HTTP 502")
    assert (stack.folder / "worker.log").read_text().count("critical_alert") == 1


def test_githubs_waiting_time_is_obeyed(stack: Stack, world: World) -> None:
    stack.github.faults = {"status": 429, "retry_after": 2, "times": 1}
    run = pipeline.run_source("billing")
    with stack.running("worker"):
        stack.wait_for(run)
    assert run.status == "success"
    assert run.duration_seconds is not None
    assert run.duration_seconds >= 2
    assert_equal_to_truth(world, END)


def test_a_lost_message_is_sent_again_by_the_sweeper(stack: Stack, world: World) -> None:
    from etl_tasks import ledger

    # This only creates the run. The message that tells a worker to start it is not sent.
    run = ledger.open_run(Source.objects.get(name="billing"), trigger="shell")
    assert run
    with stack.running("worker", "beat"):
        stack.wait_for(run)
    assert run.status == "success"
    assert_equal_to_truth(world, END)


def test_a_load_beyond_its_time_goes_on_turn_by_turn_until_it_is_done(stack: Stack) -> None:
    """A task of the load stage may take two seconds. The log is too large for that, so several tasks load it, one after the other."""
    write_long_lines(stack, 60_000)
    run = pipeline.run_source(Source.objects.get(kind="logs").name)
    with stack.running("worker", "beat", ETL_STAGE_SOFT_LIMIT_SECONDS="2"):
        stack.wait_for(run)
    assert (run.status, run.error, run.loaded) == ("success", "", 60_000)
    assert TaskResult.objects.filter(task_name="etl.load", status="POSTPONED").exists(), "it was never stopped"
    assert len(set(stored_lines(limit=100_000))) == 60_000
    assert not DeadLetter.objects.exists()


def test_an_odd_answer_to_the_survey_leaves_the_logs_their_night_and_is_told_once(stack: Stack) -> None:
    stack.logs.write_text(lines(0, 50))
    stack.github.faults = {"instead": "Survey", "answer": "<html>the company's proxy</html>"}
    every_second("etl nightly")
    with stack.running("worker", "beat", ETL_STAGE_RETRIES="1"):
        stack.wait_for_end(2)
    assert dict(ETLRun.objects.values_list("source__kind", "status")) == {"github": "failed", "logs": "success"}
    assert stored_lines() == sorted(f"line {i}" for i in range(50))
    assert (stack.folder / "worker.log").read_text().count("critical_alert") == 1


def test_flower_shows_the_worker_and_the_three_stages_to_who_knows_the_password(stack: Stack) -> None:
    address = f"http://127.0.0.1:{stack.flower_port}"
    operator = ("operator", "secret")

    def flower(path: str) -> dict[str, Any]:
        with suppress(requests.RequestException):
            answer = requests.get(f"{address}{path}", auth=operator, timeout=5)
            return dict(answer.json()) if answer.ok else {}
        return {}

    with stack.running("worker", "flower", FLOWER_BASIC_AUTH=":".join(operator)):
        stack.wait(lambda: bool(flower("/workers?json=1").get("data")), "Flower shows a worker")
        stack.wait_for(pipeline.run_source("billing"))
        stages = {"etl.extract", "etl.transform", "etl.load"}
        stack.wait(
            lambda: {task["name"] for task in flower("/api/tasks").values() if task["state"] == "SUCCESS"} >= stages,
            "Flower shows the stages",
        )
        assert requests.get(f"{address}/workers", timeout=5).status_code == 401
        [worker] = flower("/workers?json=1")["data"]
    assert worker["hostname"].startswith("celery@")
    assert worker["status"] is True


@pytest.mark.skipif(not settings.CASSANDRA_CONTACT_POINTS, reason="no Cassandra: see the line at the end")
def test_cassandra_away_during_load_and_back_loses_no_event(stack: Stack) -> None:
    stack.logs.write_text(lines(0, 300))
    run = pipeline.run_source(Source.objects.get(kind="logs").name)
    with Proxy(settings.CASSANDRA_PORT) as cassandra:
        cassandra.cut()
        with stack.running("worker", CASSANDRA_PORT=str(cassandra.port)):
            stack.wait(lambda: "retry: Retry in" in (stack.folder / "worker.log").read_text(), "load retried")
            assert ETLRun.objects.get(pk=run.pk).stage == "load"
            cassandra.open()
            stack.wait_for(run)
    assert (run.status, run.loaded) == ("success", 300)
    assert stored_lines() == sorted(f"line {i}" for i in range(300))
