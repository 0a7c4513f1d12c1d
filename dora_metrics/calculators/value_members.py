"""Turn the deployments and incidents that count in a value into its members, which `dora_explain` and the API list."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from dora_metrics.calculators.failures import AttemptOutcome, Cause
from dora_metrics.calculators.incidents import LogEvidence
from dora_metrics.calculators.linked_facts import LinkedIncident
from dora_metrics.calculators.metric_interface import Member
from dora_metrics.calculators.rule_descriptions import describe_log_evidence, why_failed
from dora_metrics.calculators.sentences import Sentence, gettext_noop


def deployment_member(
    outcome: AttemptOutcome,
    *,
    counts: Mapping[str, float],
    rules: Iterable[str],
    reasons: Iterable[Cause] = (),
    at: datetime | None = None,
    flags: Iterable[str] | None = None,
) -> Member:
    """Return the attempt as a member of a value. `counts`, `rules` and `reasons`: as in `Member`.

    `at`: the time by which it belongs to the period; None means its finish. `flags`: its quality flags in the value; None means
    those of the outcome.
    """
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
        reasons=tuple(sorted({cause.rule for cause in reasons})),
    )


def failure_rules(outcome: AttemptOutcome, evidence: Mapping[str, LogEvidence]) -> list[str]:
    """Return in words why the attempt failed, with the evidence of incidents from the logs.

    `evidence`: the evidence of each incident from the logs, by the key of the incident.
    """
    found: list[str] = []
    for cause in outcome.causes:
        found += [
            Sentence(gettext_noop("failed: {}"), why_failed(cause)),
            *(describe_log_evidence(evidence[cause.fact]) if cause.fact in evidence else ()),
        ]
    return found


def incident_member(linked: LinkedIncident, *, at: datetime, counts: Mapping[str, float], rule: str, flags: Iterable[str]) -> Member:
    """Return the incident as a member of a value. `at`: the time by which it belongs to the period. `counts`: as in `Member`."""
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
