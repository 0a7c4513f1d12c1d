"""M4, failed deployment recovery time: from a failed attempt's finish to its recovery."""

from collections.abc import Mapping

from dora_metrics.calculators.failures import AttemptOutcome
from dora_metrics.calculators.incidents import LogEvidence
from dora_metrics.calculators.linked_facts import LinkedFacts, LinkedIncident
from dora_metrics.calculators.metric_interface import Measures, Member
from dora_metrics.calculators.percentiles import mean, percentile
from dora_metrics.calculators.periods import ByDate, Period
from dora_metrics.calculators.quality_flags import low_n
from dora_metrics.calculators.tiers import recovery_tier
from dora_metrics.calculators.value_members import deployment_member, failure_rules, incident_member


class FailedDeploymentRecoveryTime:
    """A recovery counts in its own period, a failure without recovery in the period in which it failed."""

    name, unit = "failed_deployment_recovery_time", "seconds"

    def __init__(self, linked: LinkedFacts) -> None:
        zone = linked.settings.time_zone
        self.coverage, self._evidence = linked.coverage.failures, linked.log_evidence
        failed = [one for one in linked.attempts if one.is_failed]
        self._recovered = ByDate(failed, lambda one: one.recovered_at, zone)
        self._open = ByDate((one for one in failed if one.recovered_at is None), lambda one: one.attempt.finished_at, zone)
        self._ended = ByDate(linked.counted_incidents, lambda one: one.incident.ended_at, zone)

    def measure(self, period: Period, collected: Period) -> Measures:
        recovered, incidents = self._recovered.within(collected), self._ended.within(collected)
        seconds = [one.recovery_seconds for one in recovered if one.recovery_seconds is not None]
        flags = frozenset().union(*(one.recovery_flags for one in recovered), *(one.flags for one in incidents), low_n(seconds))
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
                "mean_time_to_restore": {"mean": mean([one.incident.duration_seconds for one in incidents]), "n": len(incidents)},
            },
        )

    def members(self, collected: Period) -> list[Member]:
        found = [_recovered(one, self._evidence) for one in self._recovered.within(collected)]
        found += [_open(one, self._evidence) for one in self._open.within(collected)]
        found += [_ended(one) for one in self._ended.within(collected)]
        return sorted(found, key=lambda member: member.at)


def _recovered(one: AttemptOutcome, evidence: Mapping[str, LogEvidence]) -> Member:
    counts = {"n": 1, "seconds": one.recovery_seconds or 0.0}
    rules = (*failure_rules(one, evidence), f"recovered by {one.recovered_by}")
    return deployment_member(one, at=one.recovered_at, counts=counts, rules=rules, flags=one.recovery_flags)


def _open(one: AttemptOutcome, evidence: Mapping[str, LogEvidence]) -> Member:
    return deployment_member(one, counts={"n_open": 1}, rules=(*failure_rules(one, evidence), "has not recovered"))


def _ended(one: LinkedIncident) -> Member:
    counts = {"mean_time_to_restore.n": 1, "mean_time_to_restore.seconds": one.incident.duration_seconds}
    ended_at = one.incident.ended_at or one.incident.started_at
    return incident_member(one, at=ended_at, counts=counts, rule="an incident that ended in the period", flags=one.flags)
