"""The sweeper starts missed nights, sends runs again whose message or worker was lost, and alerts about sources without a recent success."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask

from dora_metrics.alerts import critical_alert, warning_alert
from dora_metrics.models import AlertRule
from etl_tasks import beat_tasks, inline, ledger, overdue_sources, sweeper
from etl_tasks.loaders import facts
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.stages import _move_cursors
from github_stand_in.server import StandIn

pytestmark = pytest.mark.django_db
FIRST_STEPS = [step for step in sweeper.STEPS if step[1] in (sweeper.mark_sweep, sweeper.resend_lost)]
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)


@pytest.fixture
def alerts() -> Any:
    heard: list[str] = []

    def hear(sender: Any, message: str, **_: object) -> None:
        heard.append(message)

    critical_alert.connect(hear)
    yield heard
    critical_alert.disconnect(hear)


def lapsed(source: Source, **fields: Any) -> ETLRun:
    run = ledger.open_run(source, trigger="shell")
    assert run
    ETLRun.objects.filter(pk=run.pk).update(lease_until=now() - timedelta(seconds=1), **fields)
    return run


def test_a_run_whose_lease_ran_out_is_sent_again(billing: Source, sent_runs: Callable[[], list[int]]) -> None:
    run = lapsed(billing)

    assert sweeper.resend_lost() == 1
    assert sent_runs() == [run.pk]
    assert sweeper.resend_lost() == 0


def test_a_run_whose_messages_were_lost_waits_one_grace_each_time_as_long_as_its_queue_is_empty(
    billing: Source, sent_runs: Callable[[], list[int]]
) -> None:
    run = lapsed(billing)
    moment = now()
    for _ in range(4):
        with time_machine.travel(moment, tick=False):
            assert sweeper.resend_lost() + sweeper.resend_lost_messages() == 1
            assert sent_runs() == [run.pk]  # takes the message out of the queue, as if it were lost
        with time_machine.travel(moment + 0.9 * ledger.grace_period(), tick=False):
            assert sweeper.resend_lost() + sweeper.resend_lost_messages() == 0
        moment += ledger.grace_period() + timedelta(seconds=1)


def test_a_run_whose_messages_wait_in_a_long_queue_is_sent_again_less_and_less_often(billing: Source, sent_messages: Any) -> None:
    lapsed(billing)
    moment, sent_at = now(), []
    for second in range(60):
        with time_machine.travel(moment + timedelta(seconds=second), tick=False):
            if sweeper.resend_lost() + sweeper.resend_lost_messages():
                sent_at.append(second)
    assert [round((after - before) / ledger.grace_period().seconds) for before, after in pairwise(sent_at)] == [1, 2, 4, 8]


def test_a_run_that_was_lost_too_often_is_buried_and_told(
    billing: Source, sent_runs: Callable[[], list[int]], alerts: list[str], settings, django_capture_on_commit_callbacks
) -> None:
    run = lapsed(billing, resends=settings.ETL_MAX_RESENDS)
    with django_capture_on_commit_callbacks(execute=True):
        sweeper.resend_lost()

    run.refresh_from_db()
    assert (run.status, sent_runs()) == ("failed", [])
    assert DeadLetter.objects.get().kind == "stage"
    assert alerts == [f"billing: extract failed, run {run.pk}"]


def test_a_source_without_a_good_run_is_told_of_once_an_episode(billing: Source, alerts: list[str], settings) -> None:
    Source.objects.update(created_at=now() - timedelta(hours=settings.ETL_OVERDUE_HOURS + 1))
    overdue_sources.alert_overdue()
    overdue_sources.alert_overdue()

    assert alerts == [f"billing: no successful run for {settings.ETL_OVERDUE_HOURS} hours"]


def test_many_sources_without_a_good_run_are_one_alert(billing: Source, alerts: list[str], settings) -> None:
    for number in range(25):
        Source.objects.create(name=f"logs-{number:02}", service=billing.service, kind="logs", path="/x", log_format="json")
    Source.objects.update(created_at=now() - timedelta(hours=settings.ETL_OVERDUE_HOURS + 1))
    overdue_sources.alert_overdue()

    [alert] = alerts
    assert alert.startswith("billing, logs-00, ")
    assert alert.endswith("logs-18 and 6 more: no successful run for 26 hours")


def test_a_rule_in_the_admin_says_after_how_long_a_silent_source_is_told_of(billing: Source, alerts: list[str], settings) -> None:
    rule = AlertRule.objects.create(name="silent", kind="no_success", level="critical", threshold=6)
    Source.objects.update(created_at=now() - timedelta(hours=7))
    overdue_sources.alert_overdue()
    assert alerts == ["billing: no successful run for 6 hours"]

    Source.objects.update(overdue_alerted_at=None)
    AlertRule.objects.create(name="but not billing", kind="no_success", level="critical", threshold=48, service=billing.service)
    overdue_sources.alert_overdue()
    assert len(alerts) == 1
    # A disabled rule has no effect.
    AlertRule.objects.exclude(pk=rule.pk).update(threshold=1, is_enabled=False)
    overdue_sources.alert_overdue()
    assert alerts[1:] == ["billing: no successful run for 6 hours"]


def test_the_end_of_a_silence_is_told_once(billing: Source, github: StandIn, settings, django_capture_on_commit_callbacks) -> None:
    heard: list[str] = []

    def hear(sender: Any, message: str, **_: object) -> None:
        heard.append(message)

    warning_alert.connect(hear)
    Source.objects.update(overdue_alerted_at=now())
    for _ in range(2):
        run = ledger.open_run(billing, trigger="shell")
        assert run
        with django_capture_on_commit_callbacks(execute=True):
            inline.run_remaining_stages(run.pk)
    warning_alert.disconnect(hear)
    assert heard == ["billing: over: a run has succeeded again"]


def test_a_good_run_lately_is_no_alert(billing: Source, alerts: list[str], settings) -> None:
    Source.objects.update(created_at=now() - timedelta(hours=settings.ETL_OVERDUE_HOURS + 1))
    run = lapsed(billing)
    ledger.close(run.pk, ETLRun.Status.SUCCESS)
    overdue_sources.alert_overdue()

    assert alerts == []


def test_a_night_that_beat_missed_is_started_once(
    billing: Source, github: StandIn, sent_runs: Callable[[], list[int]], django_capture_on_commit_callbacks: Any
) -> None:

    Source.objects.update(created_at=NOON - timedelta(days=3))
    with time_machine.travel(NOON, tick=False), django_capture_on_commit_callbacks(execute=True):
        assert sweeper.open_missing_night() == 1
        assert sweeper.open_missing_night() == 0

    run = ETLRun.objects.get()
    assert (str(run.logical_date), sent_runs()) == ("2026-03-20", [run.pk])
    assert run.options["news"]["repository"]["name"] == "acme/billing"


def test_of_the_sweeps_that_waited_while_all_children_were_busy_the_first_one_does_the_work(
    billing: Source, sent_runs: Callable[[], list[int]], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of their messages expires, because a busy worker takes one of them between two stages: it must not be one that does nothing."""
    assert PeriodicTask.objects.get(task="etl.sweep").expires is None
    monkeypatch.setattr(sweeper, "STEPS", FIRST_STEPS)
    settings.ETL_SWEEP_SECONDS = 3600
    moment = now()
    lapsed(billing)
    sent = []
    for minutes in (0, 1, 25, 60):
        with time_machine.travel(moment + timedelta(minutes=minutes)):
            ETLRun.objects.update(lease_until=now() - timedelta(seconds=1))
            sent.append(beat_tasks.sweep())
    assert sent == [1, 0, 0, 1]


def test_a_clock_that_was_set_back_stops_no_sweep(billing: Source, sent_runs: Callable[[], list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "STEPS", FIRST_STEPS)
    with time_machine.travel(now() + timedelta(hours=1)):
        beat_tasks.sweep()
    lapsed(billing)
    assert beat_tasks.sweep() == 1


def test_an_older_version_never_overwrites_a_newer_one(billing: Source) -> None:
    def issue(day: int, title: str) -> dict[str, Any]:
        moment = f"2026-03-{day:02}T00:00:00+00:00"
        return {"number": 1, "external_id": 1, "title": title, "state": "open", "created_at": moment, "version_at": moment}

    for day, title, written in ((5, "newer", 1), (4, "older", 0), (5, "newer", 0), (6, "newest", 1)):
        done = facts.upsert("issue", [issue(day, title)], repository=billing.ensure_facts_repository(), run_id=1, page_id=1)
        assert done.written == written


def test_a_late_run_does_not_move_a_cursor_back(billing: Source) -> None:
    run = lapsed(billing)
    billing.cursors.create(stream="issues", position={"newest": "after"}, version=3)
    run.progress.create(stream="issues", cursor={"newest": "before"}, began_at_version=2, is_done=True)
    _move_cursors(run)

    assert billing.cursors.get().position == {"newest": "after"}
