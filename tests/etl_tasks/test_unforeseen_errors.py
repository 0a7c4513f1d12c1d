"""An error that nobody foresees, at any place of the night, the sweep or a stage, ends only what it belongs to, and is reported."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.db import connection, transaction
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from callcentersite.beat_scheduler import Scheduler
from callcentersite.celery import app
from dora_metrics.alerts import critical_alert, notify, warning_alert
from dora_metrics.models import AlertRule, Service
from etl_tasks import beat_tasks, dead_letters, heartbeats, inline, ledger, overdue_sources, pipeline, sweeper, tasks
from etl_tasks.fault_isolation import SomeFailed, for_each, isolated
from etl_tasks.models import DeadLetter, ETLRun, Fault, Heartbeat, NightPing, Source
from etl_tasks.sources import registry
from etl_tasks.sources.adapter import Adapter, Check
from github_stand_in.server import StandIn
from tests.etl_tasks.sources.failing import FailingSource
from tests.etl_tasks.test_fault_isolation import told  # noqa: F401  (a fixture)
from tests.etl_tasks.test_night_ping import HealthChecks, health_checks
from tests.etl_tasks.unforeseen import ERRORS, noting_calls, raising_in

pytestmark = pytest.mark.django_db
ONE = datetime(2026, 3, 20, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
odd = pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)

# --- a stage --------------------------------------------------------------------------------------------------------


class OddSource(FailingSource):
    error: Callable[[], BaseException] = KeyError

    def _fail_in(self, stage: str) -> None:
        if stage in self.fails_in:
            raise self.error()


@pytest.fixture
def odd_runs(billing: Source, settings: Settings) -> list[ETLRun]:
    settings.ETL_ADAPTERS = {"odd": f"{__name__}.{OddSource.__name__}"}
    sources = [Source.objects.create(name=name, service=billing.service, kind="odd") for name in ("one", "two")]
    return [run for source in sources if (run := ledger.open_run(source, trigger="shell"))]


@odd
@pytest.mark.parametrize("stage", ledger.STAGES)
def test_any_error_of_a_source_ends_its_run_with_a_letter_and_an_alert(
    odd_runs: list[ETLRun],
    told: list[str],  # noqa: F811
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[], BaseException],
    stage: str,
) -> None:
    monkeypatch.setattr(OddSource, "fails_in", frozenset({stage}))
    monkeypatch.setattr(OddSource, "error", staticmethod(error))
    by_worker, by_command = odd_runs
    with django_capture_on_commit_callbacks(execute=True):
        for name in ledger.STAGES[: ledger.STAGES.index(stage) + 1]:
            getattr(tasks, name).apply([by_worker.pk])
        with pytest.raises(inline.StageFailed):
            inline.run_remaining_stages(by_command.pk)

    for run in odd_runs:
        run.refresh_from_db()
        letter = DeadLetter.objects.get(run=run)
        assert (run.status, run.stage, letter.kind, letter.stage, letter.state) == ("failed", stage, "stage", stage, "open")
        assert type(error()).__name__ in letter.error
        assert len(run.error) <= 5000
    assert told == [f"{run.pipeline}: {stage} failed, run {run.pk}" for run in odd_runs]


def test_ctrl_c_of_a_command_is_no_failure(odd_runs: list[ETLRun], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OddSource, "fails_in", frozenset({"extract"}))
    monkeypatch.setattr(OddSource, "error", KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        inline.run_remaining_stages(odd_runs[0].pk)
    assert not DeadLetter.objects.exists()


# --- adapters -------------------------------------------------------------------------------------------------------


@odd
def test_a_module_that_fails_in_any_way_when_it_is_imported_concerns_only_its_own_kind(
    billing: Source, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException]
) -> None:
    registry._configured.cache_clear()
    name = next(name for name in ERRORS if ERRORS[name] is error)
    (tmp_path / "acme_broken.py").write_text(f"from tests.etl_tasks.unforeseen import ERRORS\n\nraise ERRORS[{name!r}]()\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.ETL_ADAPTERS = {"broken": "acme_broken.Adapter"}
    assert set(registry.labels()) == {"logs", "github"}
    found = registry.check(Source(name="broken", kind="broken"))
    assert not found.can_be_read
    assert type(error()).__name__ in found.sentences[0]


class OddCheck(Adapter):
    pages = fact = clean = None  # type: ignore[assignment]

    def check(self, source: Source) -> Check:
        raise KeyError("x")


def test_a_check_that_fails_in_an_unforeseen_way_leaves_the_other_sources_theirs(billing: Source, settings: Settings, github: StandIn) -> None:
    settings.ETL_ADAPTERS = {"odd": f"{__name__}.{OddCheck.__name__}"}
    sources = [Source.objects.create(name="odd", service=billing.service, kind="odd"), billing]
    odd_check, fine = pipeline.check_sources(sources)
    assert (odd_check.can_be_read, odd_check.sentences) == (False, ["KeyError: 'x'"])
    assert fine.can_be_read


# --- the sweep and the night ----------------------------------------------------------------------------------------


@pytest.fixture
def healthchecks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthChecks]:
    with health_checks(settings, monkeypatch) as server:
        yield server


@pytest.fixture
def much_to_do(billing: Source, healthchecks: HealthChecks, github: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every step of the sweep something to do."""
    monkeypatch.setattr(pipeline, "INSPECT_SECONDS", 0.01)

    def source(name: str, **fields: Any) -> Source:
        return Source.objects.create(name=name, service=billing.service, kind="logs", path="/var/log/x", log_format="json", **fields)

    lost, often, quiet = source("lost"), source("often", every_minutes=5), source("quiet")
    source("hosted", host="web2", host_silent_since=NOON - timedelta(hours=1))
    source("doomed", deletion_began_at=NOON, is_enabled=False)
    assert ledger.open_run(lost, trigger="shell")
    ETLRun.objects.update(lease_until=NOON - timedelta(seconds=1))
    for one, date in ((often, NOON.date()), (quiet, None), (quiet, NOON.date())):
        run = ledger.open_run(one, trigger="interval", logical_date=date)
        assert run
        ledger.close(run.pk, ETLRun.Status.SUCCESS)
    ETLRun.objects.filter(source=quiet, logical_date=None).update(is_quiet=True)
    unlucky, waiting = (ledger.open_run(source(name), trigger="shell") for name in ("unlucky", "waiting"))
    assert unlucky
    assert waiting
    ETLRun.objects.filter(pk=unlucky.pk).update(stage="transform", resends=2, lease_until=NOON + 0.5 * ledger.grace_period())
    ledger.close(waiting.pk, ETLRun.Status.PARTIAL)
    ETLRun.objects.filter(pk=waiting.pk).update(stage="load", waiting=1)
    tonight = ledger.open_run(waiting.source, trigger="beat", logical_date=NOON.date())
    assert tonight
    ledger.close(tonight.pk, ETLRun.Status.SUCCESS)
    ETLRun.objects.update(created_at=NOON - timedelta(hours=1))
    Source.objects.update(created_at=NOON - timedelta(days=3))


def tonight(source: str) -> bool:
    return ETLRun.objects.filter(source__name=source, logical_date=NOON.date()).exists()


# How each step is seen to be done. A new step needs a line here, and something to do above.
DONE: dict[str, Callable[[], bool]] = {
    "storing that the sweep runs": lambda: Heartbeat.objects.filter(name=heartbeats.SWEEP).exists(),
    "sending lost runs again": lambda: ETLRun.objects.filter(source__name="lost", resends=1).exists(),
    "sending runs again whose message is lost": lambda: ETLRun.objects.filter(source__name="unlucky", resends=3).exists(),
    "sending runs whose log events wait for the log store": lambda: ETLRun.objects.filter(source__name="waiting", status="queued").exists(),
    "the search for overdue sources": lambda: Source.objects.filter(name="billing").exclude(overdue_alerted_at=None).exists(),
    "the look for workers": lambda: Source.objects.filter(name="hosted").exclude(host_alerted_at=None).exists(),
    "what is being deleted": lambda: DELETION_MESSAGES > 0,
    "the deletion of quiet runs": lambda: not ETLRun.objects.filter(is_quiet=True).exists(),
    "the report of the night to HEARTBEAT_URL": lambda: NightPing.objects.exclude(is_start_sent=False).exists(),
    "the start of a missing night": lambda: tonight("billing") and tonight("hosted"),
    "the start of runs between two nights": lambda: ETLRun.objects.filter(source__name="often").count() == 2,
}
DELETION_MESSAGES = 0


def sweep(sent_messages: Callable[[], list[tuple[str, list[Any]]]], monkeypatch: pytest.MonkeyPatch, committed: Callable[[], Any]) -> None:
    """Sweep once, as outside of a test: what waits for a commit happens within its step."""
    global DELETION_MESSAGES

    def with_commits(step: Callable[[], int | None]) -> int | None:
        with committed():
            return step()

    with monkeypatch.context() as patch:
        patch.setattr(sweeper, "STEPS", tuple((name, partial(with_commits, step)) for name, step in STEPS))
        sweeper.sweep()
    DELETION_MESSAGES += sum(task == "etl.delete" for task, _ in sent_messages())


STEPS = sweeper.STEPS


@contextmanager
def undone() -> Iterator[None]:
    """Roll back what the block does."""
    global DELETION_MESSAGES
    DELETION_MESSAGES = 0
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def committed(django_capture_on_commit_callbacks: Any) -> Callable[[], Any]:
    return partial(django_capture_on_commit_callbacks, execute=True)


@pytest.mark.slow
def test_an_error_in_any_function_of_the_sweep_costs_at_most_its_own_step_and_is_told(
    much_to_do: None,
    told: list[str],  # noqa: F811
    sent_messages: Any,
    monkeypatch: pytest.MonkeyPatch,
    committed: Any,
) -> None:
    assert set(DONE) == {name for name, _ in STEPS}
    with time_machine.travel(NOON, tick=False):
        called: list[CodeType] = []
        with undone(), noting_calls(called):
            sweep(sent_messages, monkeypatch, committed)
            assert [name for name, is_done in DONE.items() if not is_done()] == []
            assert not Fault.objects.exists()
        called.remove(sweeper.sweep.__code__)
        assert len(called) > 40
        if not os.environ.get("EACH_FUNCTION"):  # all of them take a minute or two; over some runs of the tests, each has its turn
            called = random.sample(called, len(called) // 3)
        mended: set[str] = set()
        for number, code in enumerate([*(step.__code__ for _, step in STEPS), *called]):  # type: ignore[attr-defined]
            kind = list(ERRORS)[number % len(ERRORS)]
            with undone():
                told.clear()
                with raising_in(code, ERRORS[kind]()):
                    sweep(sent_messages, monkeypatch, committed)
                faults = set(Fault.objects.values_list("name", flat=True))
                undone_steps = {name for name, is_done in DONE.items() if not is_done()}
                where = f"{kind} in {code.co_qualname}: {faults}"
                assert len(faults) <= 1, where
                # An error in the schedule is reported by the start of the night; the step that reports the night leaves it to that one.
                left_to_another = {"the report of the night to HEARTBEAT_URL"} if "night_schedule" in code.co_filename else set()
                assert undone_steps <= faults | left_to_another, f"{where}, but not done: {undone_steps}"
                assert all(any(text.startswith(f"{name} failed") for text in told) for name in faults), where
                if faults <= mended:
                    continue
                mended |= faults
                sweep(sent_messages, monkeypatch, committed)
                assert [name for name, is_done in DONE.items() if not is_done()] == [], where
                assert not Fault.objects.exists(), where


def test_a_heartbeat_url_that_fails_costs_only_its_own_step(
    much_to_do: None, healthchecks: HealthChecks, sent_messages: Any, monkeypatch: pytest.MonkeyPatch, committed: Any
) -> None:
    healthchecks.statuses = [500, 500]
    with time_machine.travel(NOON, tick=False), undone():
        sweep(sent_messages, monkeypatch, committed)
        assert [name for name, is_done in DONE.items() if not is_done()] == ["the report of the night to HEARTBEAT_URL"]
        sweep(sent_messages, monkeypatch, committed)
        assert [name for name, is_done in DONE.items() if not is_done()] == []


@pytest.mark.slow
def test_an_error_in_any_function_of_the_night_leaves_every_source_its_run(
    much_to_do: None,
    told: list[str],  # noqa: F811
    sent_runs: Any,
    monkeypatch: pytest.MonkeyPatch,
    committed: Any,
) -> None:
    ETLRun.objects.all().delete()
    enabled = list(Source.objects.filter(is_enabled=True).values_list("pk", flat=True))
    called: list[CodeType] = []
    with time_machine.travel(ONE, tick=False), undone(), noting_calls(called), committed():
        assert len(beat_tasks.nightly()) == len(enabled)
        assert not Fault.objects.exists()
    called.remove(beat_tasks.nightly.run.__code__)
    assert len(called) > 15
    for number, code in enumerate(called):
        kind = list(ERRORS)[number % len(ERRORS)]
        with undone(), ExitStack() as clock:
            told.clear()
            sent_runs()
            clock.enter_context(time_machine.travel(ONE, tick=False))
            with committed(), raising_in(code, ERRORS[kind]()):
                beat_tasks.nightly()
            where = f"{kind} in {code.co_qualname}: {set(Fault.objects.values_list('name', flat=True))}"
            opened, sent = ETLRun.objects.count(), set(sent_runs())
            assert opened >= len(enabled) - 1 or Fault.objects.exists(), where
            assert bool(Fault.objects.exists()) == any("failed" in text for text in told), where
            for wait in (timedelta(minutes=3), timedelta(minutes=3) + ledger.grace_period()):
                with time_machine.travel(ONE + wait, tick=False), committed():
                    sweeper.open_missing_night()
                    sweeper.resend_lost()
                sent |= set(sent_runs())
            assert sorted(ETLRun.objects.values_list("source", flat=True)) == sorted(enabled), where
            assert set(ETLRun.objects.values_list("pk", flat=True)) <= sent, where


# --- the database ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_step_that_leaves_a_broken_connection_costs_the_other_steps_nothing() -> None:
    def broken() -> None:
        connection.ensure_connection()
        connection.connection.close()
        Source.objects.count()

    with isolated("a step"):
        broken()
    with isolated("the next step"):
        heartbeats.mark_seen([heartbeats.SWEEP], now())
    assert Heartbeat.objects.filter(name=heartbeats.SWEEP).exists()
    assert Fault.objects.get().name == "a step"


def test_the_fault_of_something_with_a_long_name_is_kept_told_and_ended(told: list[str]) -> None:  # noqa: F811
    for _ in range(2):
        with isolated("the deletion of service " + "a" * 100):
            raise KeyError("x")
    assert len(told) == 1
    with isolated("the deletion of service " + "a" * 100):
        pass
    assert not Fault.objects.exists()


@odd
def test_one_item_that_fails_in_any_way_leaves_the_others(error: Callable[[], BaseException]) -> None:
    done: list[int] = []

    def act(number: int) -> None:
        if number == 1:
            raise error()
        done.append(number)

    with pytest.raises(SomeFailed, match=f"^1: {type(error()).__name__}"):
        for_each(range(3), act)
    assert done == [0, 2]


# --- alerts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ERRORS if isinstance(ERRORS[name](), Exception)])
def test_one_receiver_that_fails_in_any_way_keeps_no_other_from_the_alert(
    billing: Source, name: str, django_capture_on_commit_callbacks: Any
) -> None:
    heard: list[str] = []

    def fail(**_: Any) -> None:
        raise ERRORS[name]()

    def hear(message: str, **_: Any) -> None:
        heard.append(message)

    broken = partial(fail)  # a partial has no __qualname__, with which Django would log the failure
    critical_alert.connect(broken, weak=False)
    critical_alert.connect(hear, weak=False)
    run = ledger.open_run(billing, trigger="shell")
    assert run
    try:
        with django_capture_on_commit_callbacks(execute=True):
            assert dead_letters.bury_stage(run.pk, "extract", "away")
    finally:
        critical_alert.disconnect(broken)
        critical_alert.disconnect(hear)
    assert heard == [f"billing: extract failed, run {run.pk}"]


def test_a_mail_server_that_fails_keeps_no_other_receiver_from_the_alert(
    billing: Source, settings: Settings, healthchecks: HealthChecks, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ALERT_EMAILS = ["team@example.com"]
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = "django.core.mail.backends.smtp.EmailBackend", "127.0.0.1", 9
    settings.ALERT_WEBHOOK_URL = healthchecks.url
    assert notify(warning_alert, sender=None, message="m", context={"stage": "extract", "error": "e"})
    assert len(healthchecks.take()) == 1
    assert [record.message for record in caplog.records if record.name.startswith("dora_metrics")] == ["warning_alert", "alert_receiver_failed"]
    assert mail.outbox == []


def test_a_limit_beyond_all_time_in_one_rule_costs_no_other_source_its_alert(billing: Source, told: list[str]) -> None:  # noqa: F811
    shop = Service.objects.create(name="shop")
    Source.objects.create(name="shop", service=shop, kind="logs", path="/x", log_format="json")
    AlertRule.objects.create(name="odd", kind="no_success", level="critical", threshold=1e30, service=shop)
    Source.objects.update(created_at=now() - timedelta(days=3))
    overdue_sources.alert_overdue()
    assert told == ["billing: no successful run for 26 hours"]


# --- beat -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken", [{"args": "no JSON"}, {"args": "7"}, {"kwargs": "["}, {"headers": "["}, {"task": "no.such.task"}, {"crontab_id": 10**6}]
)
def test_beat_runs_the_sweep_beside_an_entry_that_is_broken_in_the_database(broken: dict[str, Any]) -> None:
    connection.disable_constraint_checking()
    with time_machine.travel(NOON, tick=False):
        PeriodicTask.objects.filter(task="etl.sweep").update(last_run_at=NOON)
        PeriodicTask.objects.filter(task="etl.nightly").update(last_run_at=NOON, **broken)
        found = Scheduler(app=app, lazy=True).all_as_schedule()
    with time_machine.travel(NOON + timedelta(minutes=5), tick=False):
        assert found["etl sweep"].is_due().is_due
        for entry in found.values():
            entry.is_due()
    PeriodicTask.objects.filter(task="etl.nightly").delete()
    connection.enable_constraint_checking()
