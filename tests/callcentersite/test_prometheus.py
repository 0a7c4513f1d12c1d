"""The numbers of /metrics: they are those of the ledger, the format can be parsed, and their cost does not grow with the sources."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import DatabaseError
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_metrics_parser
from pytest_django import Settings

from callcentersite import prometheus
from etl_tasks import component_states, heartbeats, ledger, ledger_statistics, pipeline
from etl_tasks.bounded_checks import BoundedCheck
from etl_tasks.models import DeadLetter, ETLRun, Fault, Source

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
DUE = NOON - timedelta(hours=11)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collect in the thread of the test, which alone sees the rows of the test's transaction."""

    class Now(BoundedCheck):
        def begin(self, check):
            result = check()
            return lambda timeout_s: result

    monkeypatch.setattr(prometheus, "_collection", Now())


@pytest.fixture
def noon(billing: Source, sent_messages: object) -> Iterator[time_machine.Traveller]:
    """Set the time to the noon after a night that was due at one o'clock, with a beat that works."""
    Source.objects.update(created_at=NOON - timedelta(days=30))
    with time_machine.travel(NOON, tick=False) as clock:
        PeriodicTask.objects.update(last_run_at=now())
        yield clock


def ended_run(source: Source, *, status: str = ETLRun.Status.SUCCESS, hours_ago: float = 1, **fields: object) -> ETLRun:
    run = ledger.open_run(source, trigger="beat")
    assert run
    end = now() - timedelta(hours=hours_ago)
    ledger.close(run.pk, status)
    ETLRun.objects.filter(pk=run.pk).update(created_at=end - timedelta(minutes=5), completed_at=end, **fields)
    return run


def scrape(accept: str = "") -> Samples:
    _, body = prometheus.exposition(accept=accept, timeout_s=60)
    families = parser.text_string_to_metric_families(body.decode())
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


def value(samples: Samples, name: str, /, **labels: str) -> float | None:
    return samples.get((f"callcentersite_{name}", frozenset(labels.items())))


def test_runs_records_and_stages_of_the_last_day(noon: None, billing: Source) -> None:
    began = NOON - timedelta(hours=2)
    stages = {"extract_began_at": began, "extract_ended_at": began + timedelta(seconds=90)}
    ended_run(billing, extracted=10, loaded=7, skipped=2, dead_lettered=1, **stages)
    ended_run(billing, status="failed", hours_ago=2, extracted=5, **stages | {"extract_ended_at": began + timedelta(seconds=30)})
    ended_run(billing, hours_ago=25, extracted=1000)
    ledger.open_run(billing, trigger="shell")

    samples = scrape()
    assert {status: value(samples, "runs_ended_24h", status=status) for status in ("success", "partial", "failed", "cancelled")} == {
        "success": 1,
        "partial": 0,
        "failed": 1,
        "cancelled": 0,
    }
    assert {name: value(samples, "records_24h", count=name) for name in ledger_statistics.RECORD_COUNTS} == {
        "extracted": 15,
        "loaded": 7,
        "skipped": 2,
        "dead_lettered": 1,
        "waiting": 0,
        "unparsed": 0,
    }
    assert value(samples, "runs_active", status="queued", stage="extract") == 1
    assert value(samples, "runs_active", status="running", stage="load") == 0
    assert value(samples, "stage_runs_24h", stage="extract") == 2
    assert value(samples, "stage_mean_seconds_24h", stage="extract") == pytest.approx(60)
    assert value(samples, "stage_longest_seconds_24h", stage="extract") == pytest.approx(90)
    assert value(samples, "stage_runs_24h", stage="load") == 0
    assert value(samples, "stage_mean_seconds_24h", stage="load") is None


def test_the_night_the_sources_and_their_letters(noon: None, billing: Source) -> None:
    good = ended_run(billing, hours_ago=30)
    run = ended_run(billing, status="failed", hours_ago=10)
    good.refresh_from_db()
    Source.objects.create(name="idle", service=billing.service, kind="logs", path="/x", log_format="json", is_enabled=False)
    for days in (3, 1):
        letter = DeadLetter.objects.create(source=billing, run=run, key=str(days), kind="record", stage="transform", error="bad")
        DeadLetter.objects.filter(pk=letter.pk).update(timestamp=NOON - timedelta(days=days))
    DeadLetter.objects.create(source=billing, run=run, key="closed", kind="record", stage="transform", error="bad", state="replayed")
    Fault.objects.create(name="the survey of github sources", error="x")

    samples = scrape()
    assert value(samples, "last_night_due_timestamp_seconds") == DUE.timestamp()
    assert value(samples, "last_night_sources", outcome="failed") == 1
    assert value(samples, "last_night_sources", outcome="under_way") == 0
    assert value(samples, "sources_enabled") == 1
    assert good.completed_at
    assert value(samples, "source_last_success_timestamp_seconds", source="billing") == good.completed_at.timestamp()
    assert value(samples, "source_overdue", source="billing") == 1
    assert value(samples, "dead_letters_open") == 2
    assert value(samples, "dead_letter_oldest_timestamp_seconds") == (NOON - timedelta(days=3)).timestamp()
    assert value(samples, "fault", name="the survey of github sources") == 1
    assert {value(samples, "needs_a_person", kind=kind) for kind in ("fault", "failed", "letters")} == {1}


def test_the_budget_is_whole_again_after_the_reset(noon: time_machine.Traveller) -> None:
    heartbeats.store_budget("", {"graphql": (100, 5000, (NOON + timedelta(minutes=30)).timestamp())}, NOON)
    heartbeats.store_budget("ACME", {"core": (7, 60, (NOON + timedelta(minutes=90)).timestamp())}, NOON)
    assert value(scrape(), "github_budget_remaining", credential="default", resource="graphql") == 100
    noon.shift(3600)
    samples = scrape()
    assert value(samples, "github_budget_remaining", credential="default", resource="graphql") == 5000
    assert value(samples, "github_budget_remaining", credential="ACME", resource="core") == 7
    assert value(samples, "github_budget_limit", credential="ACME", resource="core") == 60


def test_signs_of_life_and_queues(noon: None, billing: Source, django_capture_on_commit_callbacks) -> None:
    heartbeats.mark_seen([heartbeats.SWEEP, heartbeats.name_of_queue("extract"), heartbeats.name_of_queue("of a host that is gone")], NOON)
    with django_capture_on_commit_callbacks(execute=True):
        pipeline.run_source("billing")

    samples = scrape()
    assert value(samples, "beat_last_sent_timestamp_seconds") == NOON.timestamp()
    assert value(samples, "sweep_last_run_timestamp_seconds") == NOON.timestamp()
    assert [sample for sample in samples if sample[0].endswith("queue_last_served_timestamp_seconds")] == [
        ("callcentersite_queue_last_served_timestamp_seconds", frozenset({("queue", "extract")}))
    ]
    assert value(samples, "queue_messages", queue="extract") == 1
    assert value(samples, "queue_messages", queue="load") == 0
    assert value(samples, "component_up", component="workers") == 0  # no worker takes the queue transform
    assert value(samples, "component_up", component="beat") == 1


def test_hostile_names_can_be_parsed(noon: None, billing: Source) -> None:
    name = 'bil"ling\\\n{x="1"} 5'
    Source.objects.filter(pk=billing.pk).update(name=name)
    assert value(scrape(), "source_overdue", source=name) == 1


def test_a_scraper_may_ask_for_open_metrics(noon: None) -> None:
    content_type, body = prometheus.exposition(accept="application/openmetrics-text; version=1.0.0", timeout_s=60)
    assert content_type.startswith("application/openmetrics-text")
    assert list(open_metrics_parser.text_string_to_metric_families(body.decode()))


def test_the_queries_do_not_grow_with_sources_and_runs(noon: None, billing: Source, django_assert_max_num_queries) -> None:
    scrape()  # reads the migrations, once
    for number in range(30):
        source = Source.objects.create(name=f"logs-{number}", service=billing.service, kind="logs", path="/x", log_format="json")
        ended_run(source)
    with django_assert_max_num_queries(40):
        samples = scrape()
    assert value(samples, "runs_ended_24h", status="success") == 30


def test_one_group_that_cannot_be_read_leaves_the_others(noon: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(since: datetime) -> None:
        raise DatabaseError

    monkeypatch.setattr(ledger_statistics, "ended_runs", fail)
    samples = scrape()
    assert value(samples, "runs_ended_24h", status="success") is None
    assert value(samples, "dead_letters_open") == 0


def test_without_a_database_only_the_components_are_left(noon: None, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    def fail() -> None:
        raise DatabaseError

    monkeypatch.setattr(component_states, "_check_database", fail)
    samples = scrape()
    assert value(samples, "component_up", component="database") == 0
    assert value(samples, "component_up", component="beat") is None
    assert {name for name, _ in samples} == {"callcentersite_component_up"}
