"""The rows of attempts, deliveries, incidents and metrics that follow from linked facts. Nothing is read or written here."""

from collections.abc import Mapping
from typing import Any

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.failures import AttemptOutcome, Cause
from dora_metrics.calculators.incidents import LogEvidence
from dora_metrics.calculators.lead_time_stages import LeadTime
from dora_metrics.calculators.linked_facts import LinkedFacts, LinkedIncident
from dora_metrics.calculators.metric_values import MetricValue
from dora_metrics.calculators.quality_flags import UNLINKED_INCIDENTS, flags_where

Row = dict[str, Any]


def attempt_row(one: AttemptOutcome, linked: LinkedFacts, repository_ids: Mapping[str, int]) -> Row:
    """`repository_ids`: by repository name."""
    attempt = one.attempt
    is_known = linked.coverage.failures is not None
    return {
        "repository_id": repository_ids.get(attempt.repository),
        "key": attempt.key,
        "ids": list(attempt.ids),
        "source": linked.source,
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
        "is_bots": one.is_by_bot,
        "stages": dict(one.stages),
        "flags": sorted(one.flags),
    }


def incident_row(one: LinkedIncident, repository_ids: Mapping[str, int]) -> Row:
    """`repository_ids`: by repository name."""
    incident, attempt = one.incident, one.link.attempt
    return {
        "repository_id": repository_ids.get(incident.repository) if incident.number is not None else None,
        "key": incident.key,
        "number": incident.number,
        "title": incident.title,
        "started_at": incident.started_at,
        "ended_at": incident.ended_at,
        "deployment": attempt.key if attempt else "",
        "how": one.link.how,
        "flags": sorted(one.flags | flags_where({UNLINKED_INCIDENTS: attempt is None})),
        "evidence": _evidence(incident.evidence) if incident.evidence else {},
        "url": incident.origin.url,
        "page_id": incident.origin.page_id,
    }


def _evidence(evidence: LogEvidence) -> Row:
    return {
        "first_minute": evidence.first_minute.isoformat(),
        "last_minute": evidence.last_minute.isoformat(),
        "bad_minutes": evidence.bad_minutes,
        "events": evidence.events,
        "errors": evidence.errors,
        "sources": [{"source": one.source, "events": one.events, "errors": one.errors, "url": one.url} for one in evidence.sources],
    }


def metric_row(value: MetricValue, *, time_zone: str) -> Row:
    """`time_zone`: the zone of the period's dates."""
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
        "time_zone": time_zone,
    }
