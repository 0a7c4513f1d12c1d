"""Whatever comes twice or out of order changes nothing: nights, messages, pages, sweeps, and what beat sends."""

import os
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.db import connection, transaction
from django.utils.timezone import now

from dora_metrics.models import LogDeployment, LogTraffic, Service
from etl_tasks import beat_tasks, inline, ledger, pipeline, sweeper, tasks
from etl_tasks.fact_kinds import KINDS
from etl_tasks.loaders import facts, log_facts
from etl_tasks.loaders.metrics import updating_metrics
from etl_tasks.models import CleanBatch, DeadLetter, ETLRun, Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from log_store.event import LogEvent
from log_store.opening import open_log_store
from log_store.store import LogQuery
from tests.conftest import END
from tests.etl_tasks.test_stages import lines, night
from tests.tables import assert_equal_to_truth, difference_of_services
from tests.tables import facts as stored_facts

pytestmark = [pytest.mark.slow]
STAGES = {"extract": tasks.extract, "transform": tasks.transform, "load": tasks.load}
AT_ONCE = 4
SEEDS = int(os.environ.get("TWICE_SEEDS", "1"))  # how many orders are tried


@pytest.fixture
def logs(billing: Source, tmp_path: Path) -> Source:
    open_log_store().ensure_schema()
    path = tmp_path / "app.log"
    path.write_text(lines(0, 150) + '{"time": "2026-03-19T10:00:00Z", "message": "deployed abcdef1 to production"}\n')
    return Source.objects.create(
        name=f"logs-{tmp_path.name}",
        service=billing.service,
        kind="logs",
        path=str(path),
        log_format="json",
        deploy_pattern=r"deployed (?P<sha>\w+) to (?P<environment>\w+)",
    )


def everything(logs: Source) -> dict[str, Any]:
    """Return all facts and metrics, and all events of the log with what the metrics use of them."""
    events = open_log_store().read(LogQuery(logs.name, END - timedelta(days=30), END + timedelta(days=1)), limit=10_000).events
    return {
        **stored_facts(),
        "events": [msgspec.to_builtins(event) for event in events],
        "log deployments": list(LogDeployment.objects.order_by("event_id").values("event_id", "sha", "environment", "state", "time")),
        "log traffic": list(LogTraffic.objects.order_by("segment", "hour").values("segment", "hour", "minutes", "events", "errors")),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("options", [{}, {"full": True}], ids=["plain", "full"])
def test_a_night_that_runs_twice_changes_nothing(billing: Source, logs: Source, github: StandIn, options: dict[str, Any]) -> None:
    for source in (billing, logs):
        assert night(source).status == "success"
    before = everything(logs)
    for source in (billing, logs):
        run = ledger.open_run(source, trigger="shell", options=options)
        assert run
        inline.run_remaining_stages(run.pk)
    assert everything(logs) == before
    assert not DeadLetter.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(SEEDS))
def test_messages_that_come_twice_and_out_of_order_do_the_work_once(
    billing: Source, logs: Source, github: StandIn, world: World, sent_messages: object, seed: int
) -> None:
    rng = random.Random(seed)
    runs = [ledger.open_run(source, trigger="shell") for source in (billing, logs)]
    messages = [(stage, run.pk) for run in runs if run for stage in STAGES] * 2
    while ETLRun.objects.filter(status__in=ETLRun.ACTIVE).exists():
        for stage, run_id in rng.sample(messages, len(messages)):
            STAGES[stage].apply(args=(run_id,))

    for run in ETLRun.objects.all():
        assert (run.status, run.error, run.attempt) == ("success", "", 3)
        assert run.extracted == run.records_processed == run.loaded + run.skipped
    assert_equal_to_truth(world, END)
    before = everything(logs)
    assert len(before["events"]) == 151
    for stage, run_id in rng.sample(messages, len(messages)):  # and after the end of the runs
        STAGES[stage].apply(args=(run_id,))
    assert everything(logs) == before
    assert not DeadLetter.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(SEEDS))
def test_pages_that_come_twice_and_out_of_order_give_the_same_tables(billing: Source, logs: Source, github: StandIn, seed: int) -> None:
    """The pages of three nights, which hold older and newer versions of the same records, are loaded into another service in a random order."""
    rng = random.Random(seed)
    for days in (12, 5, 0):
        github.clock = END - timedelta(days=days)
        assert night(billing).status == "success"
    assert night(logs).status == "success"
    twin = Service.objects.create(name="twin")
    other = Source.objects.create(name="twin", service=twin, kind="github", repository=billing.repository)
    Source.objects.create(name="log of twin", service=twin, kind="logs", path=logs.path, log_format="json", is_enabled=False)

    batches = list(CleanBatch.objects.exclude(kind="log_event").filter(record_count__gt=0))
    assert len(batches) > 12
    assert all(not KINDS[batch.kind].part_of for batch in batches), "a part needs its record, so it cannot come first"
    with transaction.atomic():
        for batch in [one for _ in range(2) for one in rng.sample(batches, len(batches))]:
            records = msgspec.json.decode(batch.content)
            facts.upsert(batch.kind, rng.sample(records, len(records)), repository=other.ensure_facts_repository(), run_id=1, page_id=batch.page_id)
    assert difference_of_facts(billing.service, twin) == []

    before = everything(logs)
    events = CleanBatch.objects.filter(kind="log_event", record_count__gt=0)
    for batch in [one for _ in range(2) for one in rng.sample(list(events), len(events))]:
        found = msgspec.json.decode(batch.content, type=list[LogEvent])
        tallies = open_log_store().write(found)
        with transaction.atomic(), updating_metrics(billing.service, run_id=batch.page.run_id):
            log_facts.upsert(billing.service, source=logs.name, run_id=batch.page.run_id, page_id=batch.page_id, events=found, tallies=tallies)
    assert everything(logs) == before


def difference_of_facts(ours: Service, twin: Service) -> list[str]:
    """Return the differences in facts. What is derived depends on how far was collected, which pages alone do not say."""
    return [line for line in difference_of_services(ours, twin) if line.split()[0] not in ("Attempt", "Delivery", "Incident", "DORAMetric")]


# --- at the same time -------------------------------------------------------------------------------------------------


def at_once(*work: Callable[[], object]) -> None:
    """Call all functions at the same time, each in a thread with a connection of its own. Raises what one of them has raised."""
    barrier, errors = threading.Barrier(len(work)), []

    def begin(one: Callable[[], object]) -> None:
        try:
            barrier.wait()
            one()
        except Exception as exc:  # noqa: BLE001  it is raised below, in the test's thread
            errors.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=begin, args=(one,)) for one in work]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if errors:
        raise errors[0]


@pytest.fixture
def many(transactional_db: None, tmp_path: Path) -> list[Source]:
    service = Service.objects.create(name="billing")
    return [
        Source.objects.create(name=f"log-{number}", service=service, kind="logs", path=f"{tmp_path}/{number}.log", log_format="json")
        for number in range(12)
    ]


def test_beats_that_start_the_same_night_at_the_same_time_create_one_run_for_each_source(
    many: list[Source], sent_runs: Callable[[], list[int]]
) -> None:
    at_once(*[beat_tasks.nightly] * AT_ONCE)
    runs = list(ETLRun.objects.order_by("source_id"))
    assert [run.source for run in runs] == many
    assert {(str(run.logical_date), run.status) for run in runs} == {(str(pipeline.local_today()), "queued")}
    assert sorted(sent_runs()) == sorted(run.pk for run in runs)


def test_sweepers_at_the_same_time_send_each_lost_run_once(many: list[Source], sent_runs: Callable[[], list[int]]) -> None:
    for source in many:
        assert ledger.open_run(source, trigger="shell")
    ETLRun.objects.update(lease_until=now() - timedelta(seconds=1))
    at_once(*[sweeper.sweep] * AT_ONCE)
    assert sorted(sent_runs()) == sorted(ETLRun.objects.values_list("pk", flat=True))
    assert set(ETLRun.objects.values_list("resends", flat=True)) == {1}


def test_sweepers_and_beats_at_the_same_time_bury_each_run_once(many: list[Source], sent_runs: Callable[[], list[int]], settings: Any) -> None:
    for source in many:
        assert ledger.open_run(source, trigger="shell")
    ETLRun.objects.update(lease_until=now() - timedelta(seconds=1), resends=settings.ETL_MAX_RESENDS)
    at_once(*[sweeper.sweep] * 2, *[beat_tasks.nightly] * 2)
    assert DeadLetter.objects.count() == len(many)
    assert set(DeadLetter.objects.values_list("attempts", flat=True)) == {1}
    assert ETLRun.objects.filter(status="failed").count() == len(many)
