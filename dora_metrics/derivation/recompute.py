"""Facts in; what follows from them, and production's metrics, out. Only rows that differ are written: the same facts twice change nothing.

A metric is made of attempts, deliveries and incidents, and these are kept; so where none of them has changed, a period that was over
cannot have changed either, and is not measured again. Another environment's metrics are not kept: they are computed when somebody asks.
"""

import gc
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection, models
from django.db.models import Max, Min

from dora_metrics.bulk_upsert import upsert
from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.assessment import Assessment
from dora_metrics.calculators.calculate import metrics_of, values_of
from dora_metrics.calculators.deployments import PRODUCTION
from dora_metrics.calculators.periods import local_date, start_of
from dora_metrics.derivation.derived_rows import Row, assessed, attempt_row, delivery_row, incident_row, metric_row
from dora_metrics.derivation.stored_facts import counted_repositories
from dora_metrics.models import Attempt, Change, Delivery, DORAMetric, Incident, MetricRevision, Service

logger = logging.getLogger(__name__)

ROWS_A_QUERY, ROWS_READ_AT_ONCE = 500, 2000
EVERYTHING = models.Q()
METRIC_KEY = ("environment", "metric", "period", "period_start")
REVISED = ("value", "n", "numerator", "denominator", "p50", "p75", "p90", "tier", "quality_flags", "details")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds what follows from the facts.

    `key`: columns that tell a service's rows apart; `unique`: the fields of the constraint. `moment`: the column of the
    earliest time by which a row counts in any metric.
    """

    model: type[models.Model]
    key: tuple[str, ...]
    unique: tuple[str, ...]
    moment: str = ""


ATTEMPTS = Table(Attempt, ("key",), ("service", "key"), "finished_at")
DELIVERIES = Table(Delivery, ("change_id",), ("change",), "deployed_at")
INCIDENTS = Table(Incident, ("key",), ("service", "key"), "started_at")
METRICS = Table(DORAMetric, METRIC_KEY, ("service", *METRIC_KEY))


@dataclass(frozen=True, slots=True)
class Difference:
    """A row as it was stored and as it is now; None: it was not, or is no more."""

    before: Row | None
    after: Row | None


def hold(service: Service) -> Service:
    """Take the service's row for this transaction, before anything else of it is written.

    Two sources that finish together would else write from facts of which neither sees all. And first, since on MySQL an insert that
    names the service takes a share of its row: two writers who both have a share and both want the whole are a deadlock.
    """
    return Service.objects.select_for_update().get(pk=service.pk)


def recompute(service: Service, *, run_id: int | None = None, moment: datetime | None = None) -> int:
    """Bring the service's rows in line with its facts; call it inside a transaction that began with `hold`.

    Returns how many metrics changed.
    """
    with uninterrupted():
        service, assessment, differences = _assess(service, moment=moment)
        start = _earliest(differences, service, assessment)
        return _measure(service, assessment, start=start, end=date.max, run_id=run_id)


def recompute_periods(service: Service, *, start: date | None = None, end: date | None = None, moment: datetime | None = None) -> int:
    """The same, and every period that overlaps these dates (`end` exclusive) is measured again, whatever has changed."""
    with uninterrupted():
        service, assessment, _ = _assess(service, moment=moment)
        return _measure(service, assessment, start=start or date.min, end=end or date.max, run_id=None)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Without the search for cycles: of a large service's facts, all of which live to the end, it would walk hundreds of thousands in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _assess(service: Service, *, moment: datetime | None) -> tuple[Service, Assessment, list[tuple[Table, Difference]]]:
    service = hold(service)
    assessment = assessed(service, environment=PRODUCTION, moment=moment)
    ids = {name: one.pk for name, one in counted_repositories(service).items()}
    merged = Change.present.filter(service=service, merged_at__isnull=False).values_list("repository_id", "number", "pk")
    pk_of = {(repository_id, number): pk for repository_id, number, pk in merged}
    wanted: list[tuple[Table, Iterable[Row]]] = [
        (ATTEMPTS, (attempt_row(one, assessment, ids) for one in assessment.attempts)),
        (DELIVERIES, (delivery_row(one, pk_of[ids[one.repository], one.pull.number]) for one in assessment.changes)),
        (INCIDENTS, (incident_row(one, ids) for one in assessment.incidents)),
    ]
    return service, assessment, [(table, one) for table, rows in wanted for one in _bring_in_line(table, service, rows)]


def _earliest(differences: Iterable[tuple[Table, Difference]], service: Service, assessment: Assessment) -> date:
    """The local date from which on a period may have changed; `date.min` for all of them."""
    touched = [row[table.moment] for table, one in differences for row in (one.before, one.after) if row]
    zone = assessment.settings.time_zone
    return min([_last_measured(service, assessment), *([local_date(min(touched), zone)] if touched else [])])


def _last_measured(service: Service, assessment: Assessment) -> date:
    """The last day that was measured, and was not over by then; `date.min` where what was measured is not comparable."""
    ours = DORAMetric.objects.filter(service=service, environment=PRODUCTION)
    if list(ours.values_list("definition_version", "time_zone").distinct()) != [(DEFINITION_VERSION, assessment.settings.time_zone)]:
        return date.min
    days = ours.filter(period="day").values("metric").annotate(first=Min("period_start"), last=Max("period_start"))
    stored = {row["metric"]: (row["first"], row["last"]) for row in days}
    zone = assessment.settings.time_zone
    covered = {metric.name: metric.coverage for metric in metrics_of(assessment) if metric.coverage}
    first_of = {name: local_date(coverage.since, zone) for name, coverage in covered.items()}
    if {name: first for name, (first, _) in stored.items()} != first_of:
        return date.min
    # Collection may begin at another hour of the same day: its first periods are partial, or are not any more.
    begun_inside = {name for name, coverage in covered.items() if coverage.since > start_of(first_of[name], zone)}
    first_days = models.Q(*(models.Q(metric=name, period_start=first) for name, first in first_of.items()), _connector=models.Q.OR)
    if set(ours.filter(first_days, period="day", is_partial=True).values_list("metric", flat=True)) != begun_inside:
        return date.min
    return min(min(stored[name][1], local_date(coverage.until, zone)) for name, coverage in covered.items())


def _measure(service: Service, assessment: Assessment, *, start: date, end: date, run_id: int | None) -> int:
    """Values that changed although their period was over are kept as revisions."""
    rows = [row for row in map(metric_row, values_of(assessment, since=start)) if row["period_start"] < end]
    overlapping = models.Q(environment=PRODUCTION, period_start__lt=end, period_end__gt=start)
    differences = _bring_in_line(METRICS, service, rows, only=overlapping, run_id=run_id)
    revisions = [
        MetricRevision(
            service=service,
            **{name: one.before[name] for name in METRIC_KEY},
            before=before,
            after=after,
            definition_version=DEFINITION_VERSION,
            run_id=run_id,
        )
        for one in differences
        if one.before
        and not one.before["is_partial"]
        and (before := {name: one.before[name] for name in REVISED}) != (after := {name: one.after[name] for name in REVISED} if one.after else {})
    ]
    MetricRevision.objects.bulk_create(revisions, batch_size=ROWS_A_QUERY)
    changed = {"service": service.name, "since": start.isoformat(), "changed": len(differences), "revised": len(revisions)}
    logger.info("metrics_recomputed", extra=changed)
    return len(differences)


def _bring_in_line(table: Table, service: Service, rows: Iterable[Row], *, only: models.Q = EVERYTHING, **origin: Any) -> list[Difference]:
    """Write what differs and delete what is no more; the differences in the order of their keys.

    `only`: the stored rows that may be touched. `origin`: columns that say who wrote a row, and make no difference.
    """
    wanted = {_key(row, table.key): row for row in rows}
    columns = [field.attname for field in table.model._meta.concrete_fields if field.attname not in ("id", "service_id", *origin)]
    places = [columns.index(name) for name in table.key]
    manager = table.model._default_manager
    found: dict[tuple[Any, ...], Difference] = {key: Difference(None, row) for key, row in wanted.items()}
    gone: list[int] = []
    for pk, *values in manager.filter(only, service=service).values_list("pk", *columns).iterator(chunk_size=ROWS_READ_AT_ONCE):
        key = tuple(values[place] for place in places)
        after = wanted.get(key)
        if after is None:
            gone.append(pk)
        elif values == [after[name] for name in columns]:
            del found[key]
            continue
        found[key] = Difference(dict(zip(columns, values, strict=True)), after)
    for start in range(0, len(gone), ROWS_A_QUERY):
        manager.filter(pk__in=gone[start : start + ROWS_A_QUERY]).delete()
    differences = [found[key] for key in sorted(found)]
    _write(table, [{"service_id": service.pk, **origin, **one.after} for one in differences if one.after])
    return differences


def _write(table: Table, rows: list[Row]) -> None:
    if table is not METRICS:
        upsert(table.model, rows, unique=table.unique, kept=("service_id", *table.key))
        return
    updated = [field.name for field in DORAMetric._meta.concrete_fields if not field.primary_key and field.name not in table.unique]
    DORAMetric.objects.bulk_create(
        [DORAMetric(**row) for row in rows],
        batch_size=ROWS_A_QUERY,
        update_conflicts=True,
        update_fields=updated,
        # MySQL finds the conflicting key by itself and refuses to be told; SQLite must be told.
        unique_fields=None if connection.vendor == "mysql" else table.unique,
    )


def _key(row: Mapping[str, Any], key: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in key)
