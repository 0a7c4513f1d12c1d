"""What follows from a service's facts, as rows: nothing is written here, so any environment can be looked at."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.timezone import now

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.assessment import Assessment, LinkedIncident, assess
from dora_metrics.calculators.facts import LogEvidence, MetricValue
from dora_metrics.calculators.failures import Cause, Judged
from dora_metrics.calculators.flags import UNLINKED_INCIDENTS, those
from dora_metrics.calculators.lead_time import LeadTime
from dora_metrics.derivation.stored_facts import facts_of, settings_of
from dora_metrics.models import Service

Row = dict[str, Any]


def assessed(service: Service, *, environment: str, moment: datetime | None = None) -> Assessment:
    """The stored facts as they are now. `moment` (now) bounds the periods."""
    return assess(facts_of(service), settings_of(service, time_zone=settings.ETL_TIME_ZONE), now=moment or now(), environment=environment)


def attempt_row(one: Judged, assessment: Assessment, ids: Mapping[str, int]) -> Row:
    """`ids`: of the repositories, by name."""
    attempt = one.attempt
    is_known = assessment.covered.failures is not None
    return {
        "repository_id": ids.get(attempt.repository),
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
        "flags": sorted(one.recovery_flags),
        "url": attempt.origin.url,
        "page_id": attempt.origin.page_id,
    }


def _cause(cause: Cause) -> dict[str, str | None]:
    return {"rule": cause.rule, "fact": cause.fact, "ended_at": cause.ended_at.isoformat() if cause.ended_at else None}


def delivery_row(one: LeadTime, change_id: int) -> Row:
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


def incident_row(one: LinkedIncident, ids: Mapping[str, int]) -> Row:
    incident, attempt = one.incident, one.link.attempt
    return {
        "repository_id": ids.get(incident.repository) if incident.number is not None else None,
        "key": incident.key,
        "number": incident.number,
        "title": incident.title,
        "started_at": incident.started_at,
        "ended_at": incident.ended_at,
        "deployment": attempt.key if attempt else "",
        "how": one.link.how,
        "flags": sorted(one.flags | those({UNLINKED_INCIDENTS: attempt is None})),
        "evidence": _evidence(incident.evidence) if incident.evidence else {},
        "url": incident.origin.url,
        "page_id": incident.origin.page_id,
    }


def _evidence(evidence: LogEvidence) -> Row:
    sources = [{"source": one.source, "events": one.events, "errors": one.errors, "url": one.url} for one in evidence.sources]
    return {
        "first_minute": evidence.first_minute.isoformat(),
        "last_minute": evidence.last_minute.isoformat(),
        "bad_minutes": evidence.bad_minutes,
        "events": evidence.events,
        "errors": evidence.errors,
        "sources": sources,
    }


def metric_row(value: MetricValue) -> Row:
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
