"""The change fail rate: the share of finished attempts to deploy that failed, with the reason why each counts as failed."""

from collections import Counter
from collections.abc import Mapping

from dora_metrics.calculators.failures import INCIDENT, REASONS, AttemptOutcome
from dora_metrics.calculators.incidents import LogEvidence
from dora_metrics.calculators.linked_facts import LinkedFacts, LinkedIncident
from dora_metrics.calculators.metric_interface import Measures, Member
from dora_metrics.calculators.periods import ByDate, Period
from dora_metrics.calculators.quality_flags import UNLINKED_INCIDENTS, flags_where
from dora_metrics.calculators.sentences import Sentence, gettext_noop
from dora_metrics.calculators.tiers import fail_rate_tier
from dora_metrics.calculators.value_members import deployment_member, failure_rules, incident_member

NOT_FAILED = Sentence(gettext_noop("succeeded, and nothing says that it failed"))
NOT_LINKED = Sentence(gettext_noop("its body, a revert and the time before it name no deployment that counts"))


class ChangeFailRate:
    """An attempt to deploy counts in the period in which it finished.

    An incident that is not linked to an attempt is counted beside the value (`unlinked_incidents`), in the period in which it started.
    """

    name, unit = "change_fail_rate", "share"

    def __init__(self, linked: LinkedFacts) -> None:
        self.coverage = linked.coverage.failures
        self._finished, self._evidence = linked.finished, linked.log_evidence
        self._started = ByDate(linked.counted_incidents, lambda linked_incident: linked_incident.incident.started_at, linked.settings.time_zone)

    def measure(self, period: Period, collected: Period) -> Measures:
        attempts, incidents = self._finished.within(collected), self._started.within(collected)
        failed = sum(outcome.is_failed for outcome in attempts)
        reasons = Counter(rule for outcome in attempts for rule in _rules(outcome))
        successes = [outcome for outcome in attempts if outcome.attempt.is_success]
        with_incident = sum(INCIDENT in _rules(outcome) for outcome in successes)
        unlinked = sum(linked_incident.link.attempt is None for linked_incident in incidents)
        flags = frozenset().union(*(outcome.flags for outcome in attempts), *(_flags(linked_incident) for linked_incident in incidents))
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
                "devlake_value": with_incident / len(successes) if successes else None,
            },
        )

    def members(self, collected: Period) -> list[Member]:
        found = [_attempt_member(outcome, self._evidence) for outcome in self._finished.within(collected)]
        found += [_incident_member(linked_incident) for linked_incident in self._started.within(collected) if linked_incident.link.attempt is None]
        return sorted(found, key=lambda member: member.at)


def _rules(outcome: AttemptOutcome) -> set[str]:
    return {cause.rule for cause in outcome.causes}


def _flags(linked_incident: LinkedIncident) -> frozenset[str]:
    return linked_incident.flags | flags_where({UNLINKED_INCIDENTS: linked_incident.link.attempt is None})


def _attempt_member(outcome: AttemptOutcome, evidence: Mapping[str, LogEvidence]) -> Member:
    counts: dict[str, float] = {"deployments": 1}
    if outcome.is_failed:
        counts |= {"failed": 1, **{f"reasons.{rule}": 1 for rule in sorted(_rules(outcome))}}
    return deployment_member(outcome, counts=counts, rules=failure_rules(outcome, evidence) or (NOT_FAILED,), reasons=outcome.causes)


def _incident_member(linked_incident: LinkedIncident) -> Member:
    return incident_member(
        linked_incident, at=linked_incident.incident.started_at, counts={"unlinked_incidents": 1}, rule=NOT_LINKED, flags=_flags(linked_incident)
    )
