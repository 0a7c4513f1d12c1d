"""Which worker may claim a run."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils.timezone import now

from dora_metrics.models import Service
from etl_tasks import dead_letters, ledger
from etl_tasks.models import DeadLetter, ETLRun, Source

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)


@pytest.fixture
def source() -> Source:
    return Source.objects.create(name="billing", service=Service.objects.create(name="billing"), kind="github", repository="acme/billing")


@pytest.fixture
def run(source: Source) -> ETLRun:
    opened = ledger.open_run(source, trigger="shell")
    assert opened
    return opened


def test_a_source_has_one_active_run(source: Source, run: ETLRun) -> None:
    assert ledger.open_run(source, trigger="shell") is None
    ledger.close(run.pk, "success")
    assert ledger.open_run(source, trigger="shell")


def test_a_night_has_one_run(source: Source) -> None:
    tonight = now().date()
    first = ledger.open_run(source, trigger="beat", logical_date=tonight)
    assert first
    ledger.close(first.pk, "success")
    assert ledger.open_run(source, trigger="beat", logical_date=tonight) is None


def test_a_claimed_run_is_taken_by_nobody_else(run: ETLRun) -> None:
    ledger.claim(run.pk, "extract", "first")
    with pytest.raises(ledger.LeaseNotHeld):
        ledger.claim(run.pk, "extract", "second")


def test_a_lapsed_lease_is_taken_over_and_the_first_holder_writes_nothing_more(run: ETLRun) -> None:
    zombie = ledger.claim(run.pk, "extract", "first")
    ETLRun.objects.filter(pk=run.pk).update(lease_until=now() - timedelta(seconds=1))
    ledger.claim(run.pk, "extract", "second")
    with pytest.raises(ledger.LeaseNotHeld), ledger.guarded_transaction(zombie, "test"):
        pytest.fail("a fenced holder entered its block")


def test_an_old_message_for_a_stage_that_is_over_is_refused(run: ETLRun) -> None:
    held = ledger.claim(run.pk, "extract", "first")
    with ledger.guarded_transaction(held, "test"):
        ledger.advance(held)
    with pytest.raises(ledger.LeaseNotHeld):
        ledger.claim(run.pk, "extract", "first")
    assert ledger.claim(run.pk, "transform", "second").stage == "transform"


def test_a_former_holder_postpones_nothing_and_says_nothing(run: ETLRun, caplog: pytest.LogCaptureFixture) -> None:
    zombie = ledger.claim(run.pk, "extract", "first")
    ETLRun.objects.filter(pk=run.pk).update(lease_until=now() - timedelta(seconds=1))
    ledger.claim(run.pk, "extract", "second")
    with pytest.raises(ledger.LeaseNotHeld):
        ledger.postpone(zombie, now() + timedelta(hours=1))
    run.refresh_from_db()
    assert run.status == "running"
    assert "run_postponed" not in caplog.text


def test_a_postponed_run_waits_for_the_sweeper(run: ETLRun) -> None:
    held = ledger.claim(run.pk, "extract", "first")
    ledger.postpone(held, now() + timedelta(hours=1))
    with pytest.raises(ledger.LeaseNotHeld):
        ledger.claim(run.pk, "extract", "second")


def test_a_run_ends_once_and_is_timed(run: ETLRun) -> None:
    ledger.claim(run.pk, "extract", "first")
    assert ledger.close(run.pk, "success")
    assert not ledger.close(run.pk, "failed")
    run.refresh_from_db()
    assert run.status == "success"
    assert run.duration_seconds is not None
    assert run.duration_seconds >= 0


def test_a_failed_stage_has_one_letter_and_one_alert(run: ETLRun, django_capture_on_commit_callbacks) -> None:
    from dora_metrics.alerts import critical_alert

    heard = []

    def listen(sender, message, context, **_):
        heard.append(context)

    critical_alert.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            assert dead_letters.bury_stage(run.pk, "extract", "GitHub answered HTTP 502")
            assert not dead_letters.bury_stage(run.pk, "extract", "GitHub answered HTTP 502")
    finally:
        critical_alert.disconnect(listen)
    assert [(context["stage"], context["error"]) for context in heard] == [("extract", "GitHub answered HTTP 502")]
    letter = DeadLetter.objects.get()
    assert (letter.kind, letter.stage, letter.state) == ("stage", "extract", "open")


def test_a_failed_run_is_reopened_at_its_stage_unless_its_source_is_busy(source: Source, run: ETLRun) -> None:
    dead_letters.bury_stage(run.pk, "extract", "gone")
    other = ledger.open_run(source, trigger="shell")
    assert other
    assert not ledger.reopen(run)
    ledger.close(other.pk, "success")
    assert ledger.reopen(run)
    run.refresh_from_db()
    assert (run.status, run.stage, run.error) == ("queued", "extract", "")


def test_a_stage_lasts_from_its_first_claim_to_its_end(run: ETLRun) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        ledger.claim(run.pk, "extract", "worker")
        clock.shift(60)
        held = ledger.claim(run.pk, "extract", "worker")  # a retry of the same task
        clock.shift(40)
        with ledger.guarded_transaction(held, "test"):
            ledger.advance(held)
        clock.shift(5)
        ledger.claim(run.pk, "transform", "worker")

    run.refresh_from_db()
    extract, transform, load = run.stage_times
    assert (extract.began_at, extract.seconds) == (NOON, 100)
    assert (transform.began_at, transform.ended_at) == (NOON + timedelta(seconds=105), None)
    assert (load.began_at, load.seconds) == (None, None)


def test_a_stage_that_failed_begins_anew_when_it_is_replayed(run: ETLRun) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        ledger.claim(run.pk, "extract", "worker")
        clock.shift(10)
        ledger.close(run.pk, ETLRun.Status.FAILED)
        run.refresh_from_db()
        assert run.stage_times[0].seconds == 10
        clock.shift(3600)
        ledger.reopen(run)
        ledger.claim(run.pk, "extract", "a person")

    run.refresh_from_db()
    assert (run.stage_times[0].began_at, run.stage_times[0].ended_at) == (NOON + timedelta(seconds=3610), None)


def test_a_run_that_ends_before_it_was_claimed_has_no_stage_times(run: ETLRun) -> None:
    ledger.close(run.pk, ETLRun.Status.CANCELLED)
    run.refresh_from_db()
    assert {(time.began_at, time.ended_at) for time in run.stage_times} == {(None, None)}


@pytest.mark.parametrize("state", ["queued", "running", "postponed"])
def test_an_active_run_is_cancelled_once_and_its_source_is_free(source: Source, run: ETLRun, state: str) -> None:
    if state != "queued":
        held = ledger.claim(run.pk, "extract", "worker")
    if state == "postponed":
        ledger.postpone(held, now() + timedelta(hours=1))
    assert ledger.cancel(run.pk, by="lead")
    assert not ledger.cancel(run.pk, by="lead")
    run.refresh_from_db()
    assert (run.status, run.error, run.active_for, run.owner) == ("cancelled", "cancelled by lead", None, "")
    assert run.completed_at
    assert ledger.open_run(source, trigger="shell")


def test_the_worker_of_a_cancelled_run_writes_nothing_more(run: ETLRun) -> None:
    held = ledger.claim(run.pk, "extract", "worker")
    ledger.cancel(run.pk, by="lead")
    with pytest.raises(ledger.LeaseNotHeld), ledger.guarded_transaction(held, "test"):
        pytest.fail("the holder of a cancelled run entered its block")
    with pytest.raises(ledger.LeaseNotHeld):
        ledger.postpone(held, now() + timedelta(hours=1))
    assert not ledger.release_if_progressed(run.pk, attempt=held.attempt)
    assert not dead_letters.bury_stage(run.pk, "extract", "too late", owner="worker")
    assert not DeadLetter.objects.exists()


def test_a_message_for_a_cancelled_run_is_refused(run: ETLRun) -> None:
    ledger.cancel(run.pk, by="lead")
    with pytest.raises(ledger.LeaseNotHeld):
        ledger.claim(run.pk, "extract", "worker")


def test_a_run_that_has_ended_is_not_cancelled(run: ETLRun) -> None:
    ledger.claim(run.pk, "extract", "worker")
    ledger.close(run.pk, "success")
    assert not ledger.cancel(run.pk, by="lead")
    run.refresh_from_db()
    assert (run.status, run.error) == ("success", "")


def test_a_cancelled_run_is_not_reopened(run: ETLRun) -> None:
    ledger.cancel(run.pk, by="lead")
    assert not ledger.reopen(run)
