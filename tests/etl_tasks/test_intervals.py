"""A source with an interval also runs between the nights: when, how often, and what the nights and the morning's report see of it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from dora_metrics.alerts import critical_alert
from etl_tasks import beat_tasks, dead_letters, heartbeats, intervals, ledger, overdue_sources, pipeline, sweeper
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.night_report import report_last_night
from github_stand_in.server import StandIn
from tests.etl_tasks.sources.github.nights import spent

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 11, 26, 1, tzinfo=UTC)
NOON = NIGHT + timedelta(hours=11)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def often(billing: Source) -> Source:
    """A source that runs every 15 minutes, with a successful run of last night, which was due at NIGHT."""
    Source.objects.filter(pk=billing.pk).update(every_minutes=15, created_at=NIGHT - 10 * DAY)
    billing.refresh_from_db()
    ran(billing, NIGHT, trigger="beat", logical_date=NIGHT.date())
    return billing


@pytest.fixture
def alerts() -> Iterator[list[str]]:
    heard: list[str] = []

    def hear(sender: Any, message: str, **_: object) -> None:
        heard.append(message)

    critical_alert.connect(hear)
    yield heard
    critical_alert.disconnect(hear)


def begun(source: Source, at: datetime, *, trigger: str = "interval", **fields: Any) -> ETLRun:
    with time_machine.travel(at, tick=False):
        run = ledger.open_run(source, trigger=trigger, **fields)
        assert run
        return ledger.claim(run.pk, "extract", "worker")


def ran(source: Source, at: datetime, *, status: str = "success", takes: timedelta = MINUTE, **fields: Any) -> ETLRun:
    run = begun(source, at, **fields)
    with time_machine.travel(at + takes, tick=False):
        if status == "failed":
            assert dead_letters.bury_stage(run.pk, "extract", "GitHub answered HTTP 502")
        else:
            assert ledger.close(run.pk, status)
    return run


def started_at(moment: datetime) -> list[ETLRun]:
    """Take the sweep's step at this moment, and return the runs that it has started."""
    known = set(ETLRun.objects.values_list("pk", flat=True))
    with time_machine.travel(moment, tick=False):
        sweeper.open_runs_between_nights()
    return list(ETLRun.objects.exclude(pk__in=known))


def is_due(moment: datetime) -> bool:
    return bool(intervals.due_sources(moment))


# --- when it is due -------------------------------------------------------------------------------------------------


def test_a_run_begins_one_interval_after_the_last_began_and_is_sent(
    often: Source, github: StandIn, sent_runs: Callable[[], list[int]], django_capture_on_commit_callbacks: Any
) -> None:
    assert started_at(NIGHT + 14 * MINUTE) == []
    with django_capture_on_commit_callbacks(execute=True):
        [run] = started_at(NIGHT + 15 * MINUTE)
    assert (run.trigger, run.logical_date, run.status, sent_runs()) == ("interval", None, "queued", [run.pk])
    assert started_at(NIGHT + 45 * MINUTE) == []  # it is still active


def test_a_source_without_an_interval_runs_at_night_only(often: Source) -> None:
    Source.objects.update(every_minutes=None)
    assert started_at(NOON) == []


def test_a_run_by_hand_counts_as_the_last_run(often: Source) -> None:
    ran(often, NOON - 5 * MINUTE, trigger="admin")
    assert not is_due(NOON)
    assert is_due(NOON + 10 * MINUTE)


def test_a_new_source_runs_one_interval_after_it_was_added(often: Source) -> None:
    ETLRun.objects.all().delete()
    Source.objects.update(created_at=NOON)
    assert not is_due(NOON + 14 * MINUTE)
    assert is_due(NOON + 15 * MINUTE)


def test_after_a_day_without_beat_one_run_is_due_and_not_96(often: Source) -> None:
    ran(often, NIGHT + DAY, trigger="beat", logical_date=(NIGHT + DAY).date())
    PeriodicTask.objects.all().update(enabled=False)
    [run] = started_at(NIGHT + 2 * DAY)
    ledger.close(run.pk, "success")
    assert started_at(NIGHT + 2 * DAY + MINUTE) == []


def test_a_run_longer_than_the_interval_is_not_overtaken_and_the_next_follows_it(often: Source) -> None:
    run = begun(often, NOON)
    assert started_at(NOON + HOUR) == []
    ledger.close(run.pk, "success")
    assert len(started_at(NOON + HOUR)) == 1


def test_a_run_that_waits_for_githubs_budget_stays_the_only_one(often: Source) -> None:
    ledger.postpone(begun(often, NOON), NOON + 50 * MINUTE)
    assert [started_at(NOON + minutes * MINUTE) for minutes in range(1, 60)] == [[]] * 59
    assert ETLRun.objects.filter(trigger="interval").count() == 1


@pytest.mark.parametrize("change", [{"is_enabled": False}, {"deletion_began_at": NIGHT}])
def test_a_disabled_or_deleted_source_does_not_run(often: Source, change: dict[str, Any]) -> None:
    Source.objects.update(**change)
    assert started_at(NOON) == []


def test_a_backfill_is_left_alone(often: Source) -> None:
    begun(often, NOON - HOUR, trigger="command", options={"until": "2026-01-01T00:00:00+00:00"})
    assert started_at(NOON) == []


def test_every_minute_is_every_minute_although_the_sweep_comes_a_little_early(often: Source) -> None:
    Source.objects.update(every_minutes=1)
    for minutes in range(60, 65):
        [run] = started_at(NIGHT + timedelta(minutes=minutes, seconds=-0.2 * (minutes % 2)))
        ledger.close(run.pk, "success")


def test_an_interval_is_a_span_of_time_also_where_a_clock_hour_occurs_twice(often: Source, settings: Settings) -> None:
    settings.ETL_TIME_ZONE = "Europe/Madrid"
    before = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)  # 02:50 in Madrid, ten minutes before 03:00 becomes 02:00
    ETLRun.objects.update(logical_date="2026-10-25")
    run = ran(often, before)
    ETLRun.objects.filter(pk=run.pk).update(created_at=before)
    assert not is_due(before + 14 * MINUTE)
    assert is_due(before + 15 * MINUTE)


def test_a_clock_that_was_set_back_does_not_stop_the_runs(often: Source) -> None:
    ran(often, NOON + 30 * DAY)
    assert len(started_at(NOON)) == 1


def test_a_clock_a_little_behind_that_of_another_host_causes_no_second_run(often: Source) -> None:
    ran(often, NOON + MINUTE)
    assert not is_due(NOON)


# --- while it fails -------------------------------------------------------------------------------------------------


def test_while_a_source_fails_the_runs_become_rare_and_the_alert_is_one(
    often: Source, alerts: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    begins = []
    for minutes in range(5, 23 * 60, 5):
        moment = NIGHT + minutes * MINUTE
        if not is_due(moment):
            continue
        begins.append(minutes)
        with django_capture_on_commit_callbacks(execute=True):
            ran(often, moment, status="failed", takes=timedelta(seconds=1))
    assert begins == [15, 30, 60, 120, 240, 480, 960]
    assert len(alerts) == 1
    assert DeadLetter.objects.get().attempts == len(begins)


def test_after_a_success_the_interval_is_the_old_one_again_and_the_next_failure_is_told(
    often: Source, alerts: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        ran(often, NOON, status="failed")
        good = ran(often, NOON + 12 * HOUR)
        dead_letters.close_stage_letters(good, *ledger.STAGES)
        assert is_due(NOON + 12 * HOUR + 15 * MINUTE)
        ran(often, NOON + 12 * HOUR + 15 * MINUTE, status="failed")
    assert len(alerts) == 2


def test_a_night_that_fails_is_always_told(often: Source, alerts: list[str], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        ran(often, NOON, status="failed")
        ran(often, NIGHT + DAY, status="failed", trigger="beat", logical_date=(NIGHT + DAY).date())
    assert len(alerts) == 2


# --- the night --------------------------------------------------------------------------------------------------------


def test_the_night_goes_first(often: Source, django_capture_on_commit_callbacks: Any) -> None:
    tonight = NIGHT + DAY
    run = begun(often, tonight - 2 * MINUTE)
    with time_machine.travel(tonight, tick=False):
        assert beat_tasks.nightly() == []  # the source is busy
    ledger.close(run.pk, "success")
    assert started_at(tonight + 20 * MINUTE) == []  # the run between the nights is due, too, but waits
    with time_machine.travel(tonight + 20 * MINUTE, tick=False):
        assert sweeper.open_missing_night() == 1
    night = ETLRun.objects.latest("pk")
    assert (night.trigger, night.logical_date) == ("beat", tonight.date())


def test_a_source_added_after_the_night_does_not_wait_for_it(often: Source) -> None:
    ETLRun.objects.all().delete()
    Source.objects.update(created_at=NOON - HOUR)
    assert len(started_at(NOON)) == 1


def test_a_schedule_that_cannot_be_used_does_not_stop_the_runs_between(often: Source) -> None:
    PeriodicTask.objects.get(task="etl.nightly").crontab.delete()
    assert len(started_at(NOON)) == 1


def test_many_due_sources_share_one_survey(often: Source, github: StandIn) -> None:
    Source.objects.bulk_create(
        Source(name=f"s{n}", service=often.service, kind="github", repository="acme/billing", every_minutes=15) for n in range(9)
    )
    Source.objects.update(created_at=NIGHT - DAY)
    for source in Source.objects.exclude(pk=often.pk):
        ran(source, NIGHT, trigger="beat", logical_date=NIGHT.date())
    assert len(started_at(NOON)) == 10
    assert spent(github)["points"] == 1


# --- last night, and what needs a person -------------------------------------------------------------------------------


def outcome(moment: datetime) -> tuple[str, int | None]:
    [found] = report_last_night(moment).outcomes
    return found.state, found.run_id


def test_a_failure_between_the_nights_is_not_one_of_last_night(often: Source) -> None:
    night = ETLRun.objects.get()
    ran(often, NOON, status="failed")
    assert outcome(NOON + 5 * MINUTE) == ("succeeded", night.pk)
    begun(often, NOON + HOUR)
    report = report_last_night(NOON + HOUR + MINUTE)
    assert (report.succeeded, report.needs_a_person) == (1, ["billing: 1 open dead letter: `dead_letters list --source billing`"])


def test_a_success_between_the_nights_makes_up_for_a_failed_night(often: Source) -> None:
    ETLRun.objects.all().delete()
    night = ran(often, NIGHT, status="failed", trigger="beat", logical_date=NIGHT.date())
    ran(often, NIGHT + HOUR, status="failed")
    assert outcome(NOON) == ("failed", night.pk)
    good = ran(often, NIGHT + 2 * HOUR)
    assert outcome(NOON) == ("succeeded", good.pk)


def test_a_night_that_waits_for_an_active_run_is_not_missing(often: Source) -> None:
    run = begun(often, NIGHT + DAY - HOUR)
    assert outcome(NIGHT + DAY + HOUR) == ("under way", run.pk)
    with time_machine.travel(NIGHT + DAY - HOUR, tick=False):
        ledger.postpone(run, NIGHT + DAY + 2 * HOUR)
    report = report_last_night(NIGHT + DAY + HOUR)
    assert (report.outcomes[0].state, report.needs_a_person) == ("postponed", [])


def test_many_runs_between_the_nights_cost_the_report_no_further_queries(often: Source) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            report_last_night(NOON)
        return len(queries)

    few = count()
    ETLRun.objects.bulk_create(
        ETLRun(pipeline="billing", source=often, trigger="interval", status="success", lease_until=NOON, options={"news": {}}) for _ in range(50)
    )
    ETLRun.objects.filter(trigger="interval").update(created_at=NOON)
    assert count() <= few


def test_runs_that_do_not_begin_need_a_person_once_the_sweeper_had_its_time(often: Source) -> None:
    assert report_last_night(NIGHT + 24 * MINUTE).needs_a_person == []
    assert report_last_night(NIGHT + 26 * MINUTE).needs_a_person == [
        "billing: its run of 2026-11-26 01:15 UTC has not begun: check that beat and a worker run"
    ]
    begun(often, NIGHT + 26 * MINUTE)
    assert report_last_night(NIGHT + 27 * MINUTE).needs_a_person == []


def test_a_run_that_is_late_only_because_its_interval_is_new_needs_nobody(often: Source) -> None:
    heartbeats.mark_seen([heartbeats.SWEEP], NOON - MINUTE)
    assert report_last_night(NOON).needs_a_person == []
    assert report_last_night(NOON + 10 * MINUTE).needs_a_person != []  # the sweep has stopped


def test_a_success_between_the_nights_is_a_success_for_the_search_of_overdue_sources(often: Source) -> None:
    assert list(overdue_sources.overdue_sources(NIGHT + 30 * HOUR))
    ran(often, NIGHT + 20 * HOUR)
    assert not list(overdue_sources.overdue_sources(NIGHT + 30 * HOUR))


# --- what people see and set ------------------------------------------------------------------------------------------


def status(moment: datetime, *words: str) -> str:
    out = StringIO()
    with time_machine.travel(moment, tick=False), suppress(CommandError):
        call_command("etl_status", *words, stdout=out)
    return out.getvalue()


def test_the_status_says_when_each_source_is_due_next(often: Source) -> None:
    assert "billing (github, every 15 minutes)\n" in status(NIGHT + 5 * MINUTE)
    assert "; next run due 2026-11-26 01:15:00 UTC\n" in status(NIGHT + 5 * MINUTE)
    assert "; next run was due 2026-11-26 01:15:00 UTC\n" in status(NIGHT + 20 * MINUTE)
    assert '"next_run_due_at": "2026-11-26T01:15:00+00:00"' in status(NIGHT + 5 * MINUTE, "--json")
    Source.objects.update(every_minutes=None)
    assert "; next run due 2026-11-27 01:00:00 UTC\n" in status(NIGHT + 5 * MINUTE)
    Source.objects.update(every_minutes=15)
    begun(often, NOON)
    assert "next run" not in status(NOON)


def test_the_night_may_be_due_before_the_interval_is_over(often: Source) -> None:
    Source.objects.update(every_minutes=12 * 60)
    ran(often, NIGHT + 20 * HOUR)
    assert "; next run due 2026-11-27 01:00:00 UTC\n" in status(NIGHT + 21 * HOUR)


@pytest.mark.parametrize(
    ("minutes", "words"), [(None, "every night"), (1, "every minute"), (15, "every 15 minutes"), (60, "every hour"), (120, "every 2 hours")]
)
def test_an_interval_has_words(minutes: int | None, words: str) -> None:
    assert intervals.describe_interval(minutes) == words


def test_the_commands_set_the_interval_and_take_it_back(often: Source, tmp_path: Any, settings: Settings) -> None:
    settings.LOG_ROOTS = [str(tmp_path)]
    out = StringIO()
    github = ("add_service", "billing", "--repository", "acme/billing")
    logs = ("add_log_source", "calls", "--service", "billing", "--path", str(tmp_path / "calls.log"), "--format", "json")
    for words, name in ((github, "billing"), (logs, "calls")):
        for option, minutes in ((["--every", "1h"], 60), ([], 60), (["--every", "nightly"], None)):
            call_command(*words, *option, stdout=out)
            assert Source.objects.get(name=name).every_minutes == minutes
    assert "source billing reads acme/billing every hour\n" in out.getvalue()
    assert "read every night\n" in out.getvalue()


@pytest.mark.parametrize("text", ["15", "0m", "1d", "-5m", "15 m", "m", "15minutes", "", "1.5h", "99999m"])
def test_an_interval_that_cannot_be_read_is_refused(often: Source, text: str) -> None:
    with pytest.raises(CommandError, match="write it as 15m, 1h or nightly"):
        call_command("add_service", "billing", "--repository", "acme/billing", f"--every={text}")


def test_an_interval_has_a_floor_for_each_kind_and_a_ceiling(often: Source, tmp_path: Any, settings: Settings) -> None:
    settings.LOG_ROOTS = [str(tmp_path)]
    logs = Source(name="calls", service=often.service, kind="logs", path=str(tmp_path / "a.log"), log_format="json")
    for source, wrong, right in ((often, (0, 1, 4, 1441), (5, 1440, None)), (logs, (0, 1441), (1, 15, None))):
        for minutes in right:
            source.every_minutes = minutes
            source.full_clean()
        for minutes in wrong:
            source.every_minutes = minutes
            with pytest.raises(ValidationError) as caught:
                source.full_clean()
            assert "every_minutes" in caught.value.message_dict


def test_a_run_that_a_person_asks_for_is_refused_while_one_is_active(often: Source) -> None:
    begun(often, NOON)
    with pytest.raises(pipeline.SourceBusy):
        pipeline.run_source("billing")
