"""A deployment or an incident as a member of a value."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from dora_metrics.calculators.assessment import LinkedIncident
from dora_metrics.calculators.facts import LogEvidence
from dora_metrics.calculators.failures import Judged
from dora_metrics.calculators.metric import Member
from dora_metrics.calculators.rule_descriptions import because, shown_by


def of_deployment(
    one: Judged, *, counts: Mapping[str, float], rules: Iterable[str], at: datetime | None = None, flags: Iterable[str] | None = None
) -> Member:
    """`at`: what placed it in the period, if not its finish. `flags`: if not those of the attempt alone."""
    return Member(
        kind="deployment",
        key=one.attempt.key,
        repository=one.attempt.repository,
        at=at or one.attempt.finished_at,
        counts=dict(counts),
        rules=tuple(rules),
        title=one.attempt.sha,
        flags=tuple(sorted(one.flags if flags is None else flags)),
        origin=one.attempt.origin,
    )


def why_failed(one: Judged, evidence: Mapping[str, LogEvidence]) -> list[str]:
    """Each reason in words, with what the logs show if it is an incident of theirs. `evidence`: by the incident's key."""
    found = []
    for cause in one.causes:
        found += [f"failed: {because(cause)}", *(shown_by(evidence[cause.fact]) if cause.fact in evidence else ())]
    return found


def of_incident(one: LinkedIncident, *, at: datetime, counts: Mapping[str, float], rule: str, flags: Iterable[str]) -> Member:
    return Member(
        kind="incident",
        key=one.incident.key,
        repository=one.incident.repository,
        at=at,
        counts=dict(counts),
        rules=(rule, *(shown_by(evidence) if (evidence := one.incident.evidence) else ())),
        title=one.incident.title,
        flags=tuple(sorted(flags)),
        origin=one.incident.origin,
    )
