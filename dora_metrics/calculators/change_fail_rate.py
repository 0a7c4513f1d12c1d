"""M3, change fail rate: the share of finished attempts that failed, and why."""

from collections import Counter
from collections.abc import Mapping

from dora_metrics.calculators.assessment import Assessment, LinkedIncident
from dora_metrics.calculators.facts import LogEvidence
from dora_metrics.calculators.failures import INCIDENT, REASONS, Judged
from dora_metrics.calculators.flags import UNLINKED_INCIDENTS, those
from dora_metrics.calculators.metric import Measures, Member
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.tiers import fail_rate_tier
from dora_metrics.calculators.timeline import ByDate
from dora_metrics.calculators.value_members import of_deployment, of_incident, why_failed


class ChangeFailRate:
    """In the period of the attempt's finish."""

    name, unit = "change_fail_rate", "share"

    def __init__(self, assessment: Assessment) -> None:
        self.coverage = assessment.covered.failures
        self._finished, self._evidence = assessment.finished, assessment.log_evidence
        self._begun = ByDate(assessment.counted_incidents, lambda one: one.incident.started_at, assessment.settings.time_zone)

    def measure(self, period: Period, part: Period) -> Measures:
        attempts, incidents = self._finished.within(part), self._begun.within(part)
        failed = sum(one.is_failed for one in attempts)
        reasons = Counter(rule for one in attempts for rule in _rules(one))
        successes = [one for one in attempts if one.attempt.is_success]
        narrow = sum(INCIDENT in _rules(one) for one in successes)
        unlinked = sum(one.link.attempt is None for one in incidents)
        flags = frozenset().union(*(one.flags for one in attempts), *(_flags(one) for one in incidents))
        value = failed / len(attempts) if attempts else None
        return Measures(
            n=len(attempts),
            value=value,
            numerator=failed,
            denominator=len(attempts),
            tier=fail_rate_tier(value),
            flags=flags,
            details={
                "failed": failed,
                "deployments": len(attempts),
                "reasons": {reason: reasons[reason] for reason in REASONS if reasons[reason]},
                "unlinked_incidents": unlinked,
                "devlake_value": narrow / len(successes) if successes else None,
            },
        )

    def members(self, part: Period) -> list[Member]:
        found = [_attempt(one, self._evidence) for one in self._finished.within(part)]
        found += [_unlinked(one) for one in self._begun.within(part) if one.link.attempt is None]
        return sorted(found, key=lambda member: member.at)


def _rules(one: Judged) -> set[str]:
    return {cause.rule for cause in one.causes}


def _flags(one: LinkedIncident) -> frozenset[str]:
    return one.flags | those({UNLINKED_INCIDENTS: one.link.attempt is None})


def _attempt(one: Judged, evidence: Mapping[str, LogEvidence]) -> Member:
    counts: dict[str, float] = {"deployments": 1}
    if one.is_failed:
        counts |= {"failed": 1, **{f"reasons.{rule}": 1 for rule in sorted(_rules(one))}}
    return of_deployment(one, counts=counts, rules=why_failed(one, evidence) or ("succeeded, and nothing says that it failed",))


def _unlinked(one: LinkedIncident) -> Member:
    rule = "its body, a revert and the time before it name no deployment that counts"
    return of_incident(one, at=one.incident.started_at, counts={"unlinked_incidents": 1}, rule=rule, flags=_flags(one))
