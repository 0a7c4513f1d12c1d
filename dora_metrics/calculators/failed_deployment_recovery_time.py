"""M4, failed deployment recovery time: from a failed attempt's finish to its recovery."""

from collections.abc import Mapping

from dora_metrics.calculators.assessment import Assessment, LinkedIncident
from dora_metrics.calculators.facts import LogEvidence
from dora_metrics.calculators.failures import Judged
from dora_metrics.calculators.flags import few
from dora_metrics.calculators.metric import Measures, Member
from dora_metrics.calculators.percentiles import mean, percentile
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.tiers import recovery_tier
from dora_metrics.calculators.timeline import ByDate
from dora_metrics.calculators.value_members import of_deployment, of_incident, why_failed


class FailedDeploymentRecoveryTime:
    """In the period of the recovery; what has not recovered is counted where it failed."""

    name, unit = "failed_deployment_recovery_time", "seconds"

    def __init__(self, assessment: Assessment) -> None:
        zone = assessment.settings.time_zone
        self.coverage, self._evidence = assessment.covered.failures, assessment.log_evidence
        failed = [one for one in assessment.attempts if one.is_failed]
        self._recovered = ByDate(failed, lambda one: one.recovered_at, zone)
        self._open = ByDate((one for one in failed if one.recovered_at is None), lambda one: one.attempt.finished_at, zone)
        self._ended = ByDate(assessment.counted_incidents, lambda one: one.incident.ended_at, zone)

    def measure(self, period: Period, part: Period) -> Measures:
        recovered, incidents = self._recovered.within(part), self._ended.within(part)
        seconds = [one.recovery_seconds for one in recovered if one.recovery_seconds is not None]
        flags = frozenset().union(*(one.recovery_flags for one in recovered), *(one.flags for one in incidents), few(seconds))
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
                "n_open": len(self._open.within(part)),
                "mean_time_to_restore": {"mean": mean([one.incident.lasted_seconds for one in incidents]), "n": len(incidents)},
            },
        )

    def members(self, part: Period) -> list[Member]:
        found = [_recovered(one, self._evidence) for one in self._recovered.within(part)]
        found += [_open(one, self._evidence) for one in self._open.within(part)]
        found += [_ended(one) for one in self._ended.within(part)]
        return sorted(found, key=lambda member: member.at)


def _recovered(one: Judged, evidence: Mapping[str, LogEvidence]) -> Member:
    counts = {"n": 1, "seconds": one.recovery_seconds or 0.0}
    rules = (*why_failed(one, evidence), f"recovered by {one.recovered_by}")
    return of_deployment(one, at=one.recovered_at, counts=counts, rules=rules, flags=one.recovery_flags)


def _open(one: Judged, evidence: Mapping[str, LogEvidence]) -> Member:
    return of_deployment(one, counts={"n_open": 1}, rules=(*why_failed(one, evidence), "has not recovered"))


def _ended(one: LinkedIncident) -> Member:
    counts = {"mean_time_to_restore.n": 1, "mean_time_to_restore.seconds": one.incident.lasted_seconds}
    ended_at = one.incident.ended_at or one.incident.started_at
    return of_incident(one, at=ended_at, counts=counts, rule="an incident that ended in the period", flags=one.flags)
