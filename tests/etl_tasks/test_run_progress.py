from datetime import UTC, datetime

import pytest

from etl_tasks import ledger
from etl_tasks.management.run_display import note
from etl_tasks.models import ETLRun, Source, StagedPage, StreamProgress
from etl_tasks.run_progress import RunProgress, progress_of


def page(run: ETLRun, number: int, *, records: int, is_clean: bool = False) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    StagedPage.objects.create(run=run, number=number, stream="issues", url="", body=b"", record_count=records, fetched_at=moment, is_clean=is_clean)


def begun(source: Source, **options: object) -> ETLRun:
    run = ledger.open_run(source, trigger="shell", options=options)
    assert run
    return ledger.claim(run.pk, "extract", "me")


def only(run: ETLRun) -> RunProgress:
    [found] = progress_of([run.pk])
    return found


def test_a_first_collection_is_expected_to_read_what_its_lists_have(billing: Source) -> None:
    run = begun(billing)
    page(run, 1, records=100)
    page(run, 2, records=20)
    ETLRun.objects.update(extracted=120)
    StreamProgress.objects.create(run=run, stream="issues", cursor={"total": 300})
    StreamProgress.objects.create(run=run, stream="pull_requests", cursor={"total": 500})
    StreamProgress.objects.create(run=run, stream="repository", cursor={"name": "acme/billing"})
    found = only(run)
    assert (found.pages, found.expected, found.done, found.total) == (2, 800, 120, 800)
    assert note(found) == "extract: 120 records in 2 pages"
    ETLRun.objects.update(extracted=801)
    assert only(run).total is None


def test_how_much_an_ordinary_night_will_read_is_unknown(billing: Source) -> None:
    run = begun(billing)
    StreamProgress.objects.create(run=run, stream="issues", cursor={"total": 300}, began_at_version=4)
    assert (only(run).expected, only(run).total) == (None, None)
    ETLRun.objects.update(options={"full": True})
    assert only(run).expected == 300
    ETLRun.objects.update(options={"full": True, "until": "2026-01-01T00:00:00+00:00"})
    assert only(run).expected is None


def test_transform_counts_pages_and_load_counts_records(billing: Source) -> None:
    run = begun(billing)
    page(run, 1, records=1, is_clean=True)
    page(run, 2, records=4)
    ETLRun.objects.update(stage="transform", extracted=5)
    assert (only(run).done, only(run).total, note(only(run))) == (1, 2, "transform: 1 page")
    ETLRun.objects.update(stage="load", loaded=1, skipped=2, dead_lettered=1)
    assert (only(run).done, only(run).total, note(only(run))) == (4, 5, "load: 4 records")


@pytest.mark.parametrize("count", [1, 20])
def test_any_number_of_runs_takes_three_queries(billing: Source, count: int, django_assert_num_queries) -> None:
    runs = []
    for number in range(count):
        source = Source.objects.create(name=f"source-{number}", service=billing.service, kind="logs", path="/var/log/x", log_format="json")
        runs.append(begun(source))
        page(runs[-1], 1, records=1)
    with django_assert_num_queries(3):
        assert len(progress_of([run.pk for run in runs])) == count
