"""Facts in, DORAMetric rows out: only rows that differ are written, so the same facts twice change nothing."""

import logging
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils.timezone import now

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.calculate import metric_values
from dora_metrics.calculators.facts import MetricValue
from dora_metrics.models import DORAMetric, Service
from dora_metrics.stored_facts import facts_of, settings_of

logger = logging.getLogger(__name__)

KEY = ("environment", "metric", "period", "period_start")
ENVIRONMENT = "production"


def recompute(service: Service, *, run_id: int | None = None, moment: datetime | None = None) -> int:
    """Bring the service's rows in line with its facts; call it inside a transaction. Returns how many rows changed.

    The service's row is locked first: two sources of one service that finish together would else write from facts
    of which neither sees all.
    """
    service = Service.objects.select_for_update().get(pk=service.pk)
    values = metric_values(facts_of(service), settings_of(service, time_zone=settings.ETL_TIME_ZONE), environment=ENVIRONMENT, now=moment or now())
    wanted = {_key(row): row for row in (_row(value) for value in values)}
    stored = {_key(row): row for row in DORAMetric.objects.filter(service=service)}
    changed = [
        DORAMetric(service=service, run_id=run_id, **row)
        for key, row in sorted(wanted.items())
        if key not in stored or any(getattr(stored[key], name) != value for name, value in row.items())
    ]
    gone = [row.pk for key, row in stored.items() if key not in wanted]
    if gone:
        DORAMetric.objects.filter(pk__in=gone).delete()
    if changed:
        columns = [*(name for name in _columns(changed[0]) if name not in KEY), "run_id"]
        # MySQL finds the conflicting key by itself and refuses to be told; SQLite must be told.
        unique = None if connection.vendor == "mysql" else ["service", *KEY]
        DORAMetric.objects.bulk_create(changed, batch_size=500, update_conflicts=True, update_fields=columns, unique_fields=unique)
    logger.info("metrics_recomputed", extra={"service": service.name, "changed": len(changed), "gone": len(gone)})
    return len(changed) + len(gone)


def _row(value: MetricValue) -> dict[str, Any]:
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


def _columns(row: DORAMetric) -> list[str]:
    return [field.name for field in row._meta.concrete_fields if field.name not in ("id", "service", "run_id")]


def _key(row: DORAMetric | dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] if isinstance(row, dict) else getattr(row, name) for name in KEY)
