"""The members of a metric's value: the deployments and incidents that it is made of, with the rules that placed them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from dora_metrics.calculators.failures import AttemptOutcome
from dora_metrics.calculators.incidents import LogEvidence
from dora_metrics.calculators.linked_facts import LinkedIncident
from dora_metrics.calculators.metric_interface import Member
from dora_metrics.calculators.rule_descriptions import describe_log_evidence, why_failed


def deployment_member(
    outcome: AttemptOutcome, *, counts: Mapping[str, float], rules: Iterable[str], at: datetime | None = None, flags: Iterable[str] | None = None
) -> Member:
    """Return the attempt as a member. `at`: the time that places it in the period, by default its finish. `flags`: by default its own."""
    return Member(
        kind="deployment",
        key=outcome.attempt.key,
        repository=outcome.attempt.repository,
        at=at or outcome.attempt.finished_at,
        counts=dict(counts),
        rules=tuple(rules),
        title=outcome.attempt.sha,
        flags=tuple(sorted(outcome.flags if flags is None else flags)),
        origin=outcome.attempt.origin,
    )


def failure_rules(outcome: AttemptOutcome, evidence: Mapping[str, LogEvidence]) -> list[str]:
    """Describe why the attempt failed, with the evidence of incidents from the logs. `evidence`: by the incident's key."""
    found = []
    for cause in outcome.causes:
        found += [f"failed: {why_failed(cause)}", *(describe_log_evidence(evidence[cause.fact]) if cause.fact in evidence else ())]
    return found


def incident_member(linked: LinkedIncident, *, at: datetime, counts: Mapping[str, float], rule: str, flags: Iterable[str]) -> Member:
    """Return the incident as a member. `at`: the time that places it in the period."""
    return Member(
        kind="incident",
        key=linked.incident.key,
        repository=linked.incident.repository,
        at=at,
        counts=dict(counts),
        rules=(rule, *(describe_log_evidence(evidence) if (evidence := linked.incident.evidence) else ())),
        title=linked.incident.title,
        flags=tuple(sorted(flags)),
        origin=linked.incident.origin,
    )
