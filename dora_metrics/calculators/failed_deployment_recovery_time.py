"""The failed deployment recovery time: the time from the finish of a failed attempt to its recovery."""

from collections.abc import Mapping

from dora_metrics.calculators.failures import AttemptOutcome
from dora_metrics.calculators.incidents import LogEvidence
from dora_metrics.calculators.linked_facts import LinkedFacts, LinkedIncident
from dora_metrics.calculators.metric_interface import Measures, Member
from dora_metrics.calculators.percentiles import mean, percentile
from dora_metrics.calculators.periods import ByDate, Period
from dora_metrics.calculators.quality_flags import low_n
from dora_metrics.calculators.sentences import Sentence, gettext_noop
from dora_metrics.calculators.tiers import recovery_tier
from dora_metrics.calculators.value_members import deployment_member, failure_rules, incident_member

NOT_RECOVERED = Sentence(gettext_noop("has not recovered"))
ENDED = Sentence(gettext_noop("an incident that ended in the period"))


class FailedDeploymentRecoveryTime:
    """A failed attempt that has recovered counts in the value, in the period of its recovery.

    A failed attempt that has not recovered counts in `n_open` only, in the period of its finish.
    """

    name, unit = "failed_deployment_recovery_time", "seconds"

    def __init__(self, linked: LinkedFacts) -> None:
        zone = linked.settings.time_zone
        self.coverage, self._evidence = linked.coverage.failures, linked.log_evidence
        failed = [outcome for outcome in linked.attempts if outcome.is_failed]
        self._recovered = ByDate(failed, lambda outcome: outcome.recovered_at, zone)
        self._open = ByDate((outcome for outcome in failed if outcome.recovered_at is None), lambda outcome: outcome.attempt.finished_at, zone)
        self._ended = ByDate(linked.counted_incidents, lambda linked_incident: linked_incident.incident.ended_at, zone)

    def measure(self, period: Period, collected: Period) -> Measures:
        recovered, incidents = self._recovered.within(collected), self._ended.within(collected)
        seconds = [outcome.recovery_seconds for outcome in recovered if outcome.recovery_seconds is not None]
        flags = frozenset().union(
            *(outcome.recovery_flags for outcome in recovered), *(linked_incident.flags for linked_incident in incidents), low_n(seconds)
        )
        p50 = percentile(seconds, 0.5)
        return Measures(
            n=len(seconds),
            value=p50,
            p50=p50,
            p75=percentile(seconds, 0.75),
            p90=percentile(seconds, 0.9),
            tier=recovery_tier(p50),
            flags=flags,
            details={
                "n_open": len(self._open.within(collected)),
                "mean_time_to_restore": {
                    "mean": mean([linked_incident.incident.duration_seconds for linked_incident in incidents]),
                    "n": len(incidents),
                },
            },
        )

    def members(self, collected: Period) -> list[Member]:
        found = [_recovered(outcome, self._evidence) for outcome in self._recovered.within(collected)]
        found += [_open(outcome, self._evidence) for outcome in self._open.within(collected)]
        found += [_ended(linked_incident) for linked_incident in self._ended.within(collected)]
        return sorted(found, key=lambda member: member.at)


def _recovered(outcome: AttemptOutcome, evidence: Mapping[str, LogEvidence]) -> Member:
    counts = {"n": 1, "seconds": outcome.recovery_seconds or 0.0}
    rules = (*failure_rules(outcome, evidence), Sentence(gettext_noop("recovered by {}"), outcome.recovered_by))
    return deployment_member(outcome, at=outcome.recovered_at, counts=counts, rules=rules, flags=outcome.recovery_flags)


def _open(outcome: AttemptOutcome, evidence: Mapping[str, LogEvidence]) -> Member:
    return deployment_member(outcome, counts={"n_open": 1}, rules=(*failure_rules(outcome, evidence), NOT_RECOVERED))


def _ended(linked_incident: LinkedIncident) -> Member:
    counts = {"mean_time_to_restore.n": 1, "mean_time_to_restore.seconds": linked_incident.incident.duration_seconds}
    ended_at = linked_incident.incident.ended_at or linked_incident.incident.started_at
    return incident_member(linked_incident, at=ended_at, counts=counts, rule=ENDED, flags=linked_incident.flags)
