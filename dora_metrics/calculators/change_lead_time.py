"""M2, change lead time: how long changes took from their first commit to the deployment that first carried them."""

from collections.abc import Sequence

from dora_metrics.calculators.assessment import Assessment
from dora_metrics.calculators.flags import UNKNOWN_SHA, few
from dora_metrics.calculators.lead_time import STAGES, LeadTime
from dora_metrics.calculators.metric import Measures, Member
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.tiers import lead_time_tier
from dora_metrics.calculators.timeline import ByDate

HOW = {
    "sha": "has the very commit that was deployed",
    "range": "is in the history of the commit that was deployed",
    "time_matched": "was merged before the deployment, which names no commit",
}


class ChangeLeadTime:
    """In the period of the deployment. Bots' changes are left out and counted."""

    name, unit = "change_lead_time", "seconds"

    def __init__(self, assessment: Assessment) -> None:
        self.coverage = assessment.covered.changes
        self._successes = assessment.successes
        self._delivered = ByDate(assessment.changes, lambda one: one.deployed_at, assessment.settings.time_zone)

    def measure(self, period: Period, part: Period) -> Measures:
        found = self._delivered.within(part)
        people = [one for one in found if not one.is_bots]
        seconds = [one.seconds for one in people]
        is_lost = any(UNKNOWN_SHA in one.flags for one in self._successes.within(part))
        flags = frozenset().union(*(one.flags for one in people), few(seconds), {UNKNOWN_SHA} if is_lost else ())
        p50 = percentile(seconds, 0.5)
        return Measures(
            n=len(people),
            value=p50,
            p50=p50,
            p75=percentile(seconds, 0.75),
            p90=percentile(seconds, 0.9),
            tier=lead_time_tier(p50),
            flags=flags,
            details={"n_bots": len(found) - len(people), "stages": {stage: _stage(stage, people) for stage in STAGES}},
        )

    def members(self, part: Period) -> list[Member]:
        return [_change(one) for one in sorted(self._delivered.within(part), key=lambda one: (one.deployed_at, one.pull.number, one.repository))]


def _stage(stage: str, lead_times: Sequence[LeadTime]) -> dict[str, float | int | None]:
    known = [seconds for one in lead_times if (seconds := one.stages[stage]) is not None]
    return {"p50": percentile(known, 0.5), "n": len(known)}


def _change(one: LeadTime) -> Member:
    matched = f"{HOW[one.match.how]}: deployment {one.match.deployment.key}"
    if one.is_bots:
        counts: dict[str, float] = {"n_bots": 1}
        rules: tuple[str, ...] = (f"by a bot ({one.pull.author}): left out", matched)
    else:
        stages = {f"stages.{stage}.n": 1.0 for stage, seconds in one.stages.items() if seconds is not None}
        counts = {"n": 1, "seconds": one.seconds, **stages}
        rules = (matched,)
    return Member(
        kind="change",
        key=one.key,
        repository=one.repository,
        at=one.deployed_at,
        counts=counts,
        rules=rules,
        title=one.pull.title,
        flags=tuple(sorted(one.flags)),
        origin=one.pull.origin,
    )
