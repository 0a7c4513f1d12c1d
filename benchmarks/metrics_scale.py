"""Measure a full recompute, compared with collecting and loading the same facts, and a report of one service among a thousand.

    scripts/bench metrics

The CPU seconds do not include the stand-in for GitHub, which runs in another process. Recomputes of half of the facts and of all
facts are measured in turns. The database is SQLite, or the empty database that BENCH_DATABASE_URL names.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.github_costs import END

FULL = {"deployments": 10_000, "pull_requests": 20_000, "commits": 100_000, "issues": 2000, "releases": 0, "runs": 0}
ROUNDS = 3
SERVICES, YEARS = 1000, 3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        set_up(folder)
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        scale()
        many_services()


def set_up(folder: str) -> None:
    os.environ |= {
        "CALLCENTERSITE_VAR": folder,
        "DATABASE_URL": os.environ.get("BENCH_DATABASE_URL", f"sqlite:///{folder}/bench.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
        "GITHUB_TOKEN": "of-the-stand-in",
        "ETL_LOG_LEVEL": "ERROR",
        "CASSANDRA_CONTACT_POINTS": "",
    }
    import django

    django.setup()


def scale() -> None:
    collected: dict[int, float] = {}
    recomputed: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    for parts in (1, 2):
        size = {name: count * parts // 2 for name, count in FULL.items()}
        with stand_in(f"acme/size-{parts}", size):
            collected[parts] = collect_and_load(f"acme/size-{parts}")
    for _ in range(ROUNDS):
        for parts in (1, 2):
            recomputed[parts].append(in_a_process_of_its_own(f"acme/size-{parts}"))
    half, full = ([median(values) for values in zip(*recomputed[parts], strict=True)] for parts in (1, 2))
    print(f"{sum(FULL.values())} facts: collected and loaded in {collected[2]:.1f} s of CPU")
    for label, position in (("every row is new", 0), ("no row has changed", 1)):
        ratio, growth = full[position] / collected[2], full[position] / half[position]
        print(f"recomputed, {label}: {full[position]:.2f} s, {ratio:.3f} of that (at most 0.1); twice the facts: {growth:.2f} (at most 2.3)")
    print(f"largest resident memory of a recompute: {full[2]:.0f} MB (at most 300)")


def collect_and_load(repository: str) -> float:
    """Return the CPU seconds of extract, transform and load, without the derivation of metrics."""
    from dora_metrics.models import Service
    from etl_tasks import ledger, stages
    from etl_tasks.loaders import metrics
    from etl_tasks.models import Source

    service = Service.objects.create(name=repository, deployments_from="github")
    source = Source.objects.create(name=repository, service=service, kind="github", repository=repository)
    run = ledger.open_run(source, trigger="command")
    assert run
    recompute, metrics.recompute = metrics.recompute, lambda *_, **__: 0
    began = time.process_time()
    for name in ledger.STAGES:
        getattr(stages, name)(ledger.claim(run.pk, name, "bench"))
    seconds = time.process_time() - began
    metrics.recompute = recompute
    return seconds


def in_a_process_of_its_own(repository: str) -> tuple[float, float, float]:
    """Run two full recomputes in another process: in the first every row is new, in the second no row changes.

    Returns the CPU seconds of each, and the peak memory in MB.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=recompute_all, args=(there, os.environ["CALLCENTERSITE_VAR"], repository))
    process.start()
    found: tuple[float, float, float] = here.recv()
    process.join()
    return found


def recompute_all(pipe: Any, folder: str, repository: str) -> None:
    set_up(folder)
    from django.db import transaction

    from dora_metrics.derivation.recompute import recompute_periods
    from dora_metrics.models import Attempt, Delivery, DORAMetric, Incident, Service

    service = Service.objects.get(name=repository)
    for model in (Attempt, Delivery, Incident, DORAMetric):
        model.objects.filter(service=service).delete()
    seconds = []
    for _ in ("every row is new", "no row has changed"):
        began = time.process_time()
        with transaction.atomic():
            recompute_periods(service, moment=END)
        seconds.append(time.process_time() - began)
    pipe.send((*seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def many_services() -> None:
    """Measure a report of one service, in a database of a thousand services with three years of metrics each."""
    from django.conf import settings
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from dora_metrics import selectors
    from dora_metrics.calculators.periods import periods_between
    from dora_metrics.models import DORAMetric, Service

    Service.objects.bulk_create([Service(name=f"service-{number}") for number in range(SERVICES)])
    services = list(Service.objects.filter(name__startswith="service-").order_by("pk"))
    start, end = date(2023, 1, 1), date(2023 + YEARS, 1, 1)
    periods = [period for kind in ("day", "week", "month") for period in periods_between(start, end, kind)]
    first, *others = services
    DORAMetric.objects.bulk_create(metric_rows(first, periods), batch_size=500)
    columns = ", ".join(field.column for field in DORAMetric._meta.concrete_fields if field.column not in ("id", "service_id"))
    with connection.cursor() as cursor:  # the rows are copied by SQL, because a thousand bulk_create calls would take minutes
        cursor.execute(
            f"INSERT INTO dora_metrics_dorametric (service_id, {columns}) SELECT service.id, {columns} "
            "FROM dora_metrics_dorametric, dora_metrics_service AS service WHERE service_id = %s AND service.id > %s AND service.id <= %s",
            [first.pk, first.pk, others[-1].pk],
        )
    with CaptureQueriesContext(connection) as captured:
        began = time.perf_counter()
        [service] = Service.objects.filter(name="service-500")
        selectors.report(
            service,
            start=start,
            end=end,
            by="month",
            environment="production",
            time_zone=settings.ETL_TIME_ZONE,
            now=datetime(2026, 1, 1, tzinfo=UTC),
        )
        milliseconds = 1000 * (time.perf_counter() - began)
    scans = [plan for query in captured.captured_queries for plan in whole_tables_read(query["sql"])]
    print(
        f"a report of one of {SERVICES} services with {YEARS} years of metrics ({DORAMetric.objects.count()} rows): "
        f"{len(captured)} queries (at most 8), {milliseconds:.0f} ms, {len(scans)} of them without an index {scans or ''}"
    )


def metric_rows(service: Any, periods: list[Any]) -> Iterator[Any]:
    from dora_metrics.models import DORAMetric

    for metric in ("deployment_frequency", "change_lead_time", "change_fail_rate", "failed_deployment_recovery_time", "deployment_rework_rate"):
        for period in periods:
            yield DORAMetric(
                service=service,
                environment="production",
                metric=metric,
                period=period.kind,
                period_start=period.start,
                period_end=period.end,
                unit="",
                n=0,
                quality_flags=["not_collected"],
                definition_version="bench",
                time_zone="UTC",
            )


def whole_tables_read(sql: str) -> list[str]:
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            return [row[3] for row in cursor.fetchall() if row[3].startswith("SCAN")]
        cursor.execute(f"EXPLAIN {sql}")
        return [str(row) for row in cursor.fetchall() if "ALL" in row]


@contextmanager
def stand_in(repository: str, size: dict[str, int]) -> Iterator[None]:
    from django.conf import settings

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, repository, size), daemon=True)
    process.start()
    settings.GITHUB_API_URL = here.recv()
    settings.GITHUB_GRAPHQL_URL = f"{settings.GITHUB_API_URL}/graphql"
    try:
        yield
    finally:
        process.kill()
        process.join()


def serve(pipe: Any, repository: str, size: dict[str, int]) -> None:
    from github_stand_in.server import StandIn
    from github_stand_in.worlds.exact_size import exact_world

    world = exact_world(repository, end=END, days=3 * 365, **size)
    with StandIn({repository: world}, clock=END) as running:
        pipe.send(running.url)
        pipe.recv()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
