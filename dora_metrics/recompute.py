"""Facts in; what follows from them, and the metrics, out. Only rows that differ are written: the same facts twice change nothing."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, models
from django.utils.timezone import now

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.assessment import Assessment, LinkedIncident, assess
from dora_metrics.calculators.calculate import values_of
from dora_metrics.calculators.facts import MetricValue
from dora_metrics.calculators.failures import Cause, Judged
from dora_metrics.calculators.flags import CLOCK_SKEW, UNLINKED_INCIDENTS
from dora_metrics.calculators.lead_time import LeadTime
from dora_metrics.models import Attempt, Change, Delivery, DORAMetric, Incident, MetricRevision, Service
from dora_metrics.stored_facts import facts_of, settings_of

Row = dict[str, Any]
logger = logging.getLogger(__name__)

ENVIRONMENT = "production"  # the one whose values are kept; another's are computed when somebody asks
ROWS_A_QUERY, ROWS_READ_AT_ONCE = 500, 2000
METRIC_KEY = ("environment", "metric", "period", "period_start")
REVISED = ("value", "n", "numerator", "denominator", "p50", "tier", "quality_flags", "details")


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


def recompute(service: Service, *, run_id: int | None = None, moment: datetime | None = None) -> int:
    """Bring the service's rows in line with its facts; call it inside a transaction. Returns how many metrics changed.

    The service's row is locked first: two sources of one service that finish together would else write from facts
    of which neither sees all.
    """
    service = Service.objects.select_for_update().get(pk=service.pk)
    assessment = assess(facts_of(service), settings_of(service, time_zone=settings.ETL_TIME_ZONE), now=moment or now(), environment=ENVIRONMENT)
    pk_of = dict(Change.objects.filter(service=service, merged_at__isnull=False).values_list("number", "pk"))
    _bring_in_line(ATTEMPTS, service, (_attempt(one, assessment) for one in assessment.attempts))
    _bring_in_line(DELIVERIES, service, (_delivery(one, pk_of[one.pull.number]) for one in assessment.changes))
    _bring_in_line(INCIDENTS, service, (_incident(one) for one in assessment.incidents))
    changed, revised = _metrics(service, [_metric(value) for value in values_of(assessment)], run_id=run_id)
    logger.info("metrics_recomputed", extra={"service": service.name, "changed": changed, "revised": revised})
    return changed


def _metrics(service: Service, rows: Iterable[Row], *, run_id: int | None) -> tuple[int, int]:
    """How many values differ, and how many of them are of periods that were over: those are kept as revisions."""
    wanted = {_key(row, METRIC_KEY): row for row in rows}
    over = DORAMetric.objects.filter(service=service, is_partial=False).values(*METRIC_KEY, *REVISED)
    before = {_key(row, METRIC_KEY): {name: row[name] for name in REVISED} for row in over}
    changed = _bring_in_line(METRICS, service, wanted.values(), run_id=run_id)
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


def _bring_in_line(table: Table, service: Service, rows: Iterable[Row], **origin: Any) -> list[tuple[Any, ...]]:
    """Write what differs and delete what is no more; the keys of both. `origin`: columns that say who wrote a row, and make no difference."""
    wanted = {_key(row, table.key): row for row in rows}
    columns = [field.attname for field in table.model._meta.concrete_fields if field.attname not in ("id", "service_id", *origin)]
    places = [columns.index(name) for name in table.key]
    manager = table.model._default_manager
    equal: set[tuple[Any, ...]] = set()
    gone: dict[int, tuple[Any, ...]] = {}
    for pk, *values in manager.filter(service=service).values_list("pk", *columns).iterator(chunk_size=ROWS_READ_AT_ONCE):
        key = tuple(values[place] for place in places)
        if key not in wanted:
            gone[pk] = key
        elif values == [wanted[key][name] for name in columns]:
            equal.add(key)
    for start in range(0, len(gone), ROWS_A_QUERY):
        manager.filter(pk__in=list(gone)[start : start + ROWS_A_QUERY]).delete()
    different = sorted(key for key in wanted if key not in equal)
    manager.bulk_create(
        [table.model(service=service, **origin, **wanted[key]) for key in different],
        batch_size=ROWS_A_QUERY,
        update_conflicts=True,
        update_fields=[*(name for name in columns if name not in table.key), *origin],
        # MySQL finds the conflicting key by itself and refuses to be told; SQLite must be told.
        unique_fields=None if connection.vendor == "mysql" else table.unique,
    )
    return [*gone.values(), *different]


def _key(row: Mapping[str, Any], key: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in key)


def _attempt(one: Judged, assessment: Assessment) -> Row:
    attempt = one.attempt
    is_known = assessment.covered.failures is not None
    return {
        "key": attempt.key,
        "ids": list(attempt.ids),
        "source": assessment.source,
        "environment": attempt.environment,
        "sha": attempt.sha,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "is_success": attempt.is_success,
        "is_failed": one.is_failed if one.is_failed or is_known else None,
        "causes": [_cause(cause) for cause in one.causes],
        "is_unplanned": bool(one.unplanned) if one.unplanned or is_known else None,
        "unplanned": [_cause(cause) for cause in one.unplanned],
        "recovered_at": one.recovered_at,
        "recovered_by": one.recovered_by,
        "flags": sorted(one.flags),
        "url": attempt.origin.url,
        "page_id": attempt.origin.page_id,
    }


def _cause(cause: Cause) -> dict[str, str | None]:
    return {"rule": cause.rule, "fact": cause.fact, "ended_at": cause.ended_at.isoformat() if cause.ended_at else None}


def _delivery(one: LeadTime, change_id: int) -> Row:
    return {
        "change_id": change_id,
        "deployment": one.match.deployment.key,
        "how": one.match.how,
        "change_start": one.change_start,
        "deployed_at": one.deployed_at,
        "lead_time_seconds": one.seconds,
        "is_bots": one.is_bots,
        "stages": dict(one.stages),
        "flags": sorted(one.flags),
    }


def _incident(one: LinkedIncident) -> Row:
    incident, attempt = one.incident, one.link.attempt
    return {
        "key": incident.key,
        "number": incident.number,
        "title": incident.title,
        "started_at": incident.started_at,
        "ended_at": incident.ended_at,
        "deployment": attempt.key if attempt else "",
        "how": one.link.how,
        "flags": sorted({*([CLOCK_SKEW] if incident.has_skew else []), *([] if attempt else [UNLINKED_INCIDENTS])}),
        "url": incident.origin.url,
        "page_id": incident.origin.page_id,
    }


def _metric(value: MetricValue) -> Row:
    return {
        "environment": value.environment,
        "metric": value.metric,
        "period": value.period_kind,
        "period_start": value.period_start,
        "period_end": value.period_end,
        "value": value.value,
        "unit": value.unit,
        "n": value.n,
        "numerator": value.numerator,
        "denominator": value.denominator,
        "p50": value.p50,
        "p75": value.p75,
        "p90": value.p90,
        "tier": value.tier or "",
        "tier_year": value.tier_year,
        "is_partial": value.is_partial,
        "quality_flags": list(value.quality_flags),
        "details": value.details,
        "definition_version": DEFINITION_VERSION,
        "time_zone": settings.ETL_TIME_ZONE,
    }
