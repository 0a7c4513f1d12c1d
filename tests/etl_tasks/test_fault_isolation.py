"""An unexpected error in one source, answer or step does not stop the others. It is reported once."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils.timezone import now
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from callcentersite.beat_scheduler import Scheduler
from callcentersite.celery import app
from dora_metrics.alerts import critical_alert, warning_alert
from dora_metrics.models import AlertRule, Service
from etl_tasks import beat_tasks, dead_letters, inline, ledger, night_schedule, pipeline, sweeper
from etl_tasks.models import DeadLetter, ETLRun, Fault, Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from log_store.opening import open_log_store
from tests.conftest import END
from tests.etl_tasks.conftest import IN_MEMORY, NOTHING_LISTENS, use_broker
from tests.etl_tasks.test_stages import lines
from tests.tables import assert_equal_to_truth

pytestmark = pytest.mark.django_db
NIGHT = date(2026, 3, 20)
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
HTML = b"<html>Please log in to the company's proxy</html>"


@pytest.fixture
def told() -> Iterator[list[str]]:
    heard: list[str] = []

    def hear(sender: Any, message: str, **_: object) -> None:
        heard.append(message)

    for signal in (critical_alert, warning_alert):
        signal.connect(hear)
    yield heard
    for signal in (critical_alert, warning_alert):
        signal.disconnect(hear)


@pytest.fixture
def logs(billing: Source, tmp_path: Path) -> Source:
    open_log_store().ensure_schema()
    file = tmp_path / "app.log"
    file.write_text(lines(0, 30))
    return Source.objects.create(name=f"logs-{tmp_path.name}", service=billing.service, kind="logs", path=str(file), log_format="json")


@pytest.fixture
def committed(django_capture_on_commit_callbacks: Any) -> Callable[[], Any]:
    """Return a context manager that runs on_commit callbacks when its block ends. A test is one transaction, so they never run otherwise."""
    return partial(django_capture_on_commit_callbacks, execute=True)


def run_all_here() -> dict[str, str]:
    """Run all active runs in this process. Return the status of every run by the kind of its source."""
    for run in ETLRun.objects.filter(status__in=ETLRun.ACTIVE).order_by("pk"):
        try:
            inline.run_remaining_stages(run.pk)
        except inline.StageFailed:
            continue
    return dict(ETLRun.objects.order_by("pk").values_list("source__kind", "status"))


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        [],
        "a text",
        None,
        {},
        {"data": []},
        {"data": {"r0": 1}},
        {"data": {"r0": {"id": "x"}}},
        {"data": {"r0": []}, "errors": [{"path": {"a": 1}, "message": None}, 7]},
        {"data": {"r0": None}, "errors": [{"path": "r0"}]},
        {"data": {"r0": None}, "errors": "all of it"},
    ],
)
def test_an_odd_answer_to_the_survey_fails_its_source_alone(
    billing: Source, logs: Source, github: StandIn, sent_runs: Any, told: list[str], committed: Any, answer: Any
) -> None:
    github.faults = {"instead": "Survey", "answer": answer}
    with committed():
        runs = pipeline.open_night(NIGHT)

    assert {run.source for run in runs} == {billing, logs}
    assert sorted(sent_runs()) == sorted(run.pk for run in runs)
    with committed():
        assert run_all_here() == {"github": "failed", "logs": "success"}
    assert told == [f"billing: extract failed, run {billing.runs.get().pk}"]
    letter = DeadLetter.objects.get()
    assert (letter.source, letter.kind) == (billing, "stage")


def test_an_odd_answer_to_the_survey_alone_costs_no_more_than_the_survey(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"instead": "Survey", "answer": HTML, "times": 3}
    pipeline.open_night(NIGHT)
    assert run_all_here() == {"github": "success"}
    assert_equal_to_truth(world, END)


def test_a_survey_follows_what_has_another_id_by_now(billing: Source, github: StandIn, world: World) -> None:
    github.clock = END - timedelta(days=20)
    pipeline.open_night(NIGHT - timedelta(days=1))
    run_all_here()
    github.clock = END
    github.faults = {"new_ids": "Survey"}
    [run] = pipeline.open_night(NIGHT)
    run.refresh_from_db()
    assert run.options["news"]["again"]
    assert run_all_here() == {"github": "success"}
    assert_equal_to_truth(world, END, has_runs=False)


def test_a_pattern_that_does_not_compile_fails_the_runs_of_its_service_alone(billing: Source, github: StandIn, world: World, told: list[str]) -> None:
    """The forms reject such a pattern, so only a manual UPDATE can store it."""
    shop = Service.objects.create(name="shop", workflow="(")
    Source.objects.create(name="shop", service=shop, kind="github", repository="acme/billing")
    pipeline.open_night(NIGHT)
    run_all_here()
    assert dict(ETLRun.objects.values_list("pipeline", "status")) == {"billing": "success", "shop": "failed"}
    assert DeadLetter.objects.get().source.name == "shop"


def test_a_kind_that_nobody_reads_fails_by_itself_and_says_so(billing: Source, github: StandIn) -> None:
    Source.objects.create(name="sheets", service=billing.service, kind="csv")
    assert len(pipeline.open_night(NIGHT)) == 2
    assert run_all_here() == {"github": "success", "csv": "failed"}
    assert "no adapter reads" in DeadLetter.objects.get().error


@pytest.mark.slow
def test_a_broker_that_goes_away_leaves_the_runs_to_the_sweeper(
    billing: Source, logs: Source, github: StandIn, sent_runs: Any, committed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_broker(NOTHING_LISTENS, monkeypatch)
    app.conf.task_publish_retry_policy, former = {"max_retries": 0}, app.conf.task_publish_retry_policy
    try:
        with committed():
            assert len(pipeline.open_night(NIGHT)) == 2
    finally:
        app.conf.task_publish_retry_policy = former
    use_broker(IN_MEMORY, monkeypatch)
    with time_machine.travel(now() + ledger.grace_period() + timedelta(seconds=1)):
        assert sweeper.resend_lost() == 2
    assert len(sent_runs()) == 2


def test_one_run_that_cannot_be_sent_again_keeps_no_other_from_it(billing: Source, logs: Source, sent_runs: Any) -> None:
    odd, fine = (ledger.open_run(source, trigger="shell") for source in (billing, logs))
    assert odd
    assert fine
    ETLRun.objects.filter(pk=odd.pk).update(stage="compress")  # as if a later version had added this stage
    with time_machine.travel(now() + ledger.grace_period() + timedelta(seconds=1)):
        sweeper.sweep()
    assert sent_runs() == [fine.pk]
    assert "run 1 of billing" in Fault.objects.get().error.replace(str(odd.pk), "1")


def crontab(**fields: Any) -> dict[str, Any]:
    return {"crontab": CrontabSchedule.objects.create(**{"minute": "0", "hour": "1", **fields})}


# Every kind of schedule that the admin's forms accept, with the result of night_due_at(NOON). "unusable" stands for UnusableSchedule.
SCHEDULES: dict[str, tuple[Callable[[], dict[str, Any]], str | None]] = {
    "every night": (crontab, "2026-03-20T01:00:00+00:00"),
    "every minute": (lambda: crontab(minute="*", hour="*"), "2026-03-20T00:00:00+00:00"),
    "in Auckland": (lambda: crontab(timezone="Pacific/Auckland"), "2026-03-20T12:00:00+00:00"),
    "in Kathmandu": (lambda: crontab(timezone="Asia/Kathmandu"), "2026-03-19T19:15:00+00:00"),
    "on Fridays": (lambda: crontab(day_of_week="fri"), "2026-03-20T01:00:00+00:00"),
    "on day 7": (lambda: crontab(day_of_week="7"), "unusable"),
    "on the 29th of February": (lambda: crontab(day_of_month="29", month_of_year="2"), None),
    "on the 31st of February": (lambda: crontab(day_of_month="31", month_of_year="2"), "unusable"),
    "in the evening": (lambda: crontab(hour="18"), None),
    "from tomorrow on": (lambda: {**crontab(), "start_time": NOON + timedelta(days=1)}, None),
    "until yesterday": (lambda: {**crontab(), "expires": NOON - timedelta(days=1)}, None),
    "disabled": (lambda: {**crontab(), "enabled": False}, None),
    "every hour": (lambda: {"interval": IntervalSchedule.objects.create(every=1, period="hours")}, None),
    "an interval beyond all time": (lambda: {"interval": IntervalSchedule.objects.create(every=2_000_000_000, period="days")}, "unusable"),
    "an interval beyond the calendar": (lambda: {"interval": IntervalSchedule.objects.create(every=900_000_000, period="days")}, None),
    "at dawn": (lambda: {"solar": SolarSchedule.objects.create(event="dawn_civil", latitude=0, longitude=0)}, "unusable"),
    "once": (lambda: {"clocked": ClockedSchedule.objects.create(clocked_time=NOON), "one_off": True}, None),
    "once, long ago": (lambda: {"clocked": ClockedSchedule.objects.create(clocked_time=datetime.min.replace(tzinfo=UTC)), "one_off": True}, None),
}


def store(schedule: Callable[[], dict[str, Any]], **fields: Any) -> PeriodicTask:
    """Validate and save a nightly schedule as the admin's form does."""
    PeriodicTask.objects.filter(task="etl.nightly").delete()
    entry = PeriodicTask(name="etl nightly", task="etl.nightly", **{**schedule(), **fields})
    for kind in ("crontab", "interval", "solar", "clocked"):
        if getattr(entry, kind):
            getattr(entry, kind).full_clean()
    entry.full_clean()
    entry.save()
    return entry


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_schedule_that_the_admin_can_store_stops_the_sweep(
    billing: Source, logs: Source, sent_runs: Any, told: list[str], committed: Any, name: str, capsys: Any
) -> None:
    schedule, expected = SCHEDULES[name]
    with time_machine.travel(NOON, tick=False):
        store(schedule)
        ledger.open_run(billing, trigger="shell")
        Source.objects.filter(pk=logs.pk).update(is_enabled=False)
        ETLRun.objects.update(lease_until=NOON - timedelta(seconds=1))
        Source.objects.filter(pk=billing.pk).update(created_at=NOON - timedelta(days=3))
        for _ in range(3):
            with committed():
                sweeper.sweep()
        assert len(sent_runs()) == 1
        assert [text for text in told if "no successful run" in text] == ["billing: no successful run for 26 hours"]
        failures = [text for text in told if "failed" in text]
        if expected == "unusable":
            [failure] = failures
            assert "the schedule of 'etl nightly' cannot be used" in failure
            with pytest.raises(night_schedule.UnusableSchedule):
                night_schedule.night_due_at(NOON)
            with pytest.raises(CommandError):
                call_command("etl_status")
            assert capsys.readouterr().out.count("cannot be used") == 1
            store(crontab)
            with committed():
                sweeper.sweep()
            assert told[-1] == "the start of a missing night: over: it goes well again"
        else:
            due = night_schedule.night_due_at(NOON)
            assert (due and due.astimezone(UTC).isoformat()) == expected
            assert not failures


def test_the_entry_of_the_night_is_known_by_its_task_whatever_people_call_it(
    billing: Source, github: StandIn, sent_runs: Any, committed: Any
) -> None:
    PeriodicTask.objects.filter(task="etl.nightly").update(name="collect everything")
    Source.objects.update(created_at=NOON - timedelta(days=3))
    with time_machine.travel(NOON, tick=False), committed():
        assert sweeper.open_missing_night() == 1
    assert len(sent_runs()) == 1


def test_without_an_entry_of_the_night_the_sweep_goes_on(billing: Source, sent_runs: Any) -> None:
    PeriodicTask.objects.filter(task="etl.nightly").delete()
    ledger.open_run(billing, trigger="shell")
    with time_machine.travel(now() + ledger.grace_period() + timedelta(seconds=1)):
        assert sweeper.sweep() == 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_beat_runs_the_sweep_whatever_the_other_entries_are(db: None, name: str) -> None:
    with time_machine.travel(NOON, tick=False):
        store(SCHEDULES[name][0])
        PeriodicTask.objects.filter(task="etl.sweep").update(last_run_at=NOON)
        found = Scheduler(app=app, lazy=True).all_as_schedule()
    with time_machine.travel(NOON + timedelta(minutes=5), tick=False):
        assert found["etl sweep"].is_due().is_due
        for entry in found.values():
            entry.is_due()


def test_an_alert_that_cannot_be_made_of_one_rule_is_tried_again_and_keeps_no_other_from_being_told(billing: Source, told: list[str]) -> None:
    other = Service.objects.create(name="shop")
    Source.objects.create(name="shop", service=other, kind="logs", path="/x", log_format="json")
    AlertRule.objects.create(name="odd", kind="no_success", level="disaster", threshold=1, service=billing.service)
    Source.objects.update(created_at=now() - timedelta(days=3))
    sweeper.sweep()
    assert "shop: no successful run for 26 hours" in told
    assert Source.objects.get(name="billing").overdue_alerted_at is None
    AlertRule.objects.update(level="critical")
    sweeper.sweep()
    assert "billing: no successful run for 1 hour" in told
    assert told[-1] == "the search for overdue sources: over: it goes well again"


def test_a_reason_that_no_database_can_store_is_stored_all_the_same(billing: Source) -> None:
    run = ledger.open_run(billing, trigger="shell")
    assert run
    assert dead_letters.bury_stage(run.pk, "extract", "half a character \ud83d and \x00")
    assert DeadLetter.objects.get().error == "half a character \\ud83d and \\x00"


def test_beat_tells_once_that_it_could_not_start_the_night(billing: Source, logs: Source, github: StandIn, sent_runs: Any, told: list[str]) -> None:
    """No run can be opened for one of the sources. The runs of the others are opened."""
    Source.objects.filter(pk=billing.pk).update(name="b" * 100)
    with time_machine.travel(datetime(2026, 3, 20, 1, tzinfo=UTC)):
        beat_tasks.nightly()
    assert ETLRun.objects.count() == 2


def test_a_letter_whose_replay_fails_in_an_unforeseen_way_keeps_no_other_from_its_own(billing: Source, tmp_path: Path, capsys: Any) -> None:
    open_log_store().ensure_schema()
    for name in ("a", "b"):
        file = tmp_path / f"{name}.log"
        file.write_text(lines(0, 30) + "not of its format\n")
        kinds = {"service": billing.service, "kind": "logs", "path": str(file), "log_format": "json", "is_strict": True}
        run = ledger.open_run(Source.objects.create(name=f"{name}-{tmp_path.name}", **kinds), trigger="shell")
        assert run
        inline.run_remaining_stages(run.pk)
    first, second = DeadLetter.objects.order_by("pk")
    Source.objects.filter(pk=first.source_id).update(log_format="regex", log_pattern="(")
    Source.objects.filter(pk=second.source_id).update(is_strict=False)
    with pytest.raises(CommandError):
        call_command("dead_letters", "replay", "--all")
    assert "cannot be read as it is set" in capsys.readouterr().out
    assert list(DeadLetter.objects.order_by("pk").values_list("state", flat=True)) == ["open", "replayed"]
