"""Facts in; what follows from them, and production's metrics, out. Only rows that differ are written: the same facts twice change nothing.

Another environment's metrics are not kept: they are computed when somebody asks for them.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection, models

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.calculate import values_of
from dora_metrics.calculators.deployments import PRODUCTION
from dora_metrics.derive import Row, assessed, attempt_row, delivery_row, incident_row, metric_row
from dora_metrics.models import Attempt, Change, Delivery, DORAMetric, Incident, MetricRevision, Service
from dora_metrics.upserting import upsert

logger = logging.getLogger(__name__)

ROWS_A_QUERY, ROWS_READ_AT_ONCE = 500, 2000
EVERYTHING = models.Q()
METRIC_KEY = ("environment", "metric", "period", "period_start")
REVISED = ("value", "n", "numerator", "denominator", "p50", "p75", "p90", "tier", "quality_flags", "details")


@dataclass(frozen=True, slots=True)
class Table:
    """A table that holds what follows from the facts. `key`: columns that tell a service's rows apart; `unique`: the fields of the constraint."""

    model: type[models.Model]
    key: tuple[str, ...]
    unique: tuple[str, ...]


ATTEMPTS = Table(Attempt, ("key",), ("service", "key"))
DELIVERIES = Table(Delivery, ("change_id",), ("change",))
INCIDENTS = Table(Incident, ("key",), ("service", "key"))
METRICS = Table(DORAMetric, METRIC_KEY, ("service", *METRIC_KEY))


def recompute(
    service: Service, *, run_id: int | None = None, moment: datetime | None = None, start: date | None = None, end: date | None = None
) -> int:
    """Bring the service's rows in line with its facts; call it inside a transaction. Returns how many metrics changed.

    `start`, `end` (exclusive): only the metrics of periods that overlap these dates.

    The service's row is locked first: two sources of one service that finish together would else write from facts
    of which neither sees all.
    """
    service = Service.objects.select_for_update().get(pk=service.pk)
    assessment = assessed(service, environment=PRODUCTION, moment=moment)
    pk_of = dict(Change.objects.filter(service=service, merged_at__isnull=False).values_list("number", "pk"))
    _bring_in_line(ATTEMPTS, service, (attempt_row(one, assessment) for one in assessment.attempts))
    _bring_in_line(DELIVERIES, service, (delivery_row(one, pk_of[one.pull.number]) for one in assessment.changes))
    _bring_in_line(INCIDENTS, service, (incident_row(one) for one in assessment.incidents))
    rows = (metric_row(value) for value in values_of(assessment))
    changed, revised = _metrics(service, rows, start=start or date.min, end=end or date.max, run_id=run_id)
    logger.info("metrics_recomputed", extra={"service": service.name, "changed": changed, "revised": revised})
    return changed


def _metrics(service: Service, rows: Iterable[Row], *, start: date, end: date, run_id: int | None) -> tuple[int, int]:
    """How many values differ, and how many of them are of periods that were over: those are kept as revisions."""
    wanted = {_key(row, METRIC_KEY): row for row in rows if row["period_start"] < end and row["period_end"] > start}
    over = DORAMetric.objects.filter(service=service, is_partial=False).values(*METRIC_KEY, *REVISED)
    before = {_key(row, METRIC_KEY): {name: row[name] for name in REVISED} for row in over}
    overlapping = models.Q(period_start__lt=end, period_end__gt=start)
    changed = _bring_in_line(METRICS, service, wanted.values(), only=overlapping, run_id=run_id)
    after = {key: {name: wanted[key][name] for name in REVISED} if key in wanted else {} for key in changed if key in before}
    revisions = [
        MetricRevision(
            service=service,
            **dict(zip(METRIC_KEY, key, strict=True)),
            before=before[key],
            after=values,
            definition_version=DEFINITION_VERSION,
            run_id=run_id,
        )
        for key, values in sorted(after.items())
        if values != before[key]
    ]
    MetricRevision.objects.bulk_create(revisions, batch_size=ROWS_A_QUERY)
    return len(changed), len(revisions)


def _bring_in_line(table: Table, service: Service, rows: Iterable[Row], *, only: models.Q = EVERYTHING, **origin: Any) -> list[tuple[Any, ...]]:
    """Write what differs and delete what is no more; the keys of both.

    `only`: the stored rows that may be touched. `origin`: columns that say who wrote a row, and make no difference.
    """
    wanted = {_key(row, table.key): row for row in rows}
    columns = [field.attname for field in table.model._meta.concrete_fields if field.attname not in ("id", "service_id", *origin)]
    places = [columns.index(name) for name in table.key]
    manager = table.model._default_manager
    equal: set[tuple[Any, ...]] = set()
    gone: dict[int, tuple[Any, ...]] = {}
    for pk, *values in manager.filter(only, service=service).values_list("pk", *columns).iterator(chunk_size=ROWS_READ_AT_ONCE):
        key = tuple(values[place] for place in places)
        if key not in wanted:
            gone[pk] = key
        elif values == [wanted[key][name] for name in columns]:
            equal.add(key)
    for start in range(0, len(gone), ROWS_A_QUERY):
        manager.filter(pk__in=list(gone)[start : start + ROWS_A_QUERY]).delete()
    different = sorted(key for key in wanted if key not in equal)
    _write(table, [{"service_id": service.pk, **origin, **wanted[key]} for key in different])
    return [*gone.values(), *different]


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
