"""Turn linked facts, and the metric values computed from them, into rows for the tables of attempts, deliveries, incidents and metrics.

The database is neither read nor written here.
"""

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


def attempt_row(outcome: AttemptOutcome, linked: LinkedFacts, repository_ids: Mapping[str, int]) -> Row:
    """Return the row of an Attempt. `repository_ids`: the id of each repository, by its name."""
    attempt = outcome.attempt
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
        "is_failed": outcome.is_failed if outcome.is_failed or is_known else None,
        "causes": [_cause(cause) for cause in outcome.causes],
        "is_unplanned": bool(outcome.unplanned) if outcome.unplanned or is_known else None,
        "unplanned": [_cause(cause) for cause in outcome.unplanned],
        "recovered_at": outcome.recovered_at,
        "recovered_by": outcome.recovered_by,
        "flags": sorted(outcome.recovery_flags),
        "url": attempt.origin.url,
        "page_id": attempt.origin.page_id,
    }


def _cause(cause: Cause) -> dict[str, str | None]:
    return {"rule": cause.rule, "fact": cause.fact, "ended_at": cause.ended_at.isoformat() if cause.ended_at else None}


def delivery_row(change: LeadTime, change_id: int) -> Row:
    return {
        "change_id": change_id,
        "deployment": change.match.deployment.key,
        "how": change.match.how,
        "change_start": change.change_start,
        "deployed_at": change.deployed_at,
        "lead_time_seconds": change.seconds,
        "is_bots": change.is_by_bot,
        "stages": dict(change.stages),
        "flags": sorted(change.flags),
    }


def incident_row(linked: LinkedIncident, repository_ids: Mapping[str, int]) -> Row:
    """Return the row of an Incident. `repository_ids`: the id of each repository, by its name."""
    incident, attempt = linked.incident, linked.link.attempt
    return {
        "repository_id": repository_ids.get(incident.repository) if incident.number is not None else None,
        "key": incident.key,
        "number": incident.number,
        "title": incident.title,
        "started_at": incident.started_at,
        "ended_at": incident.ended_at,
        "deployment": attempt.key if attempt else "",
        "how": linked.link.how,
        "flags": sorted(linked.flags | flags_where({UNLINKED_INCIDENTS: attempt is None})),
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
        "sources": [{"source": log.source, "events": log.events, "errors": log.errors, "url": log.url} for log in evidence.sources],
    }


def metric_row(value: MetricValue, *, time_zone: str) -> Row:
    """Return the row of a DORAMetric. `time_zone`: the time zone of the period's dates."""
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
