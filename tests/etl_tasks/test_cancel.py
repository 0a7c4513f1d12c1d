"""A person cancels a run while a worker is at work on it."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.utils.timezone import now
from pytest_django import Settings

from dora_metrics.models import Service
from etl_tasks import ledger, stages
from etl_tasks.models import Cursor, ETLRun, Source
from etl_tasks.outcomes import Good
from etl_tasks.sources.adapter import Adapter, Check, Job, Page

AT = datetime(2026, 3, 1, tzinfo=UTC)


class CancelledMeanwhile(Adapter):
    """Yields three pages. Between the first and the second page a person cancels the run."""

    label = "a source whose run is cancelled"

    def pages(self, job: Job) -> Iterator[Page]:
        for number in range(3):
            if number == 1:
                assert ledger.cancel(ETLRun.objects.get().pk, by="lead")
            yield Page(stream="releases", url="", body=b"{}", record_count=0, fetched_at=AT, cursor={"page": number})

    def check(self, source: Source) -> Check:
        return Check(can_be_read=True)

    def clean(self, *args: object) -> Iterator[Good]:
        yield from ()

    def fact(self, *args: object) -> str:
        return "release"


@pytest.fixture
def source(db: None, settings: Settings) -> Source:
    settings.ETL_ADAPTERS = {"cancelled": f"{__name__}.CancelledMeanwhile"}
    return Source.objects.create(name="billing", service=Service.objects.create(name="billing"), kind="cancelled")


def test_a_stage_stops_at_the_commit_after_its_run_was_cancelled(source: Source) -> None:
    run = ledger.open_run(source, trigger="shell")
    assert run
    held = ledger.claim(run.pk, "extract", "worker")
    with pytest.raises(ledger.LeaseNotHeld):
        stages.extract(held)
    run.refresh_from_db()
    assert (run.status, run.stage, run.pages.count()) == ("cancelled", "extract", 1)
    assert not Cursor.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_a_worker_that_ends_a_run_and_a_person_who_cancels_it_the_first_wins() -> None:
    source = Source.objects.create(name="billing", service=Service.objects.create(name="billing"), kind="github", repository="acme/billing")
    run = ledger.open_run(source, trigger="shell")
    assert run
    held = ledger.claim(run.pk, "extract", "worker")
    is_ending, cancelled = threading.Event(), []

    def cancel() -> None:
        is_ending.wait(timeout=20)
        try:
            cancelled.append(ledger.cancel(run.pk, by="lead"))
        finally:
            connection.close()

    person = threading.Thread(target=cancel)
    person.start()
    with ledger.guarded_transaction(held, "test"):
        is_ending.set()
        person.join(timeout=0.5)
        assert not cancelled  # the worker's transaction holds the row, so the person waits
        ledger.close(run.pk, "success", attempt=held.attempt)
    person.join(timeout=30)
    run.refresh_from_db()
    assert cancelled == [False]
    assert (run.status, run.error) == ("success", "")
    assert run.completed_at
    assert run.completed_at <= now()
