"""M5, deployment rework rate: the share of successes that were not planned but mended an earlier one."""

from dora_metrics.calculators.assessment import Assessment
from dora_metrics.calculators.failures import Judged
from dora_metrics.calculators.metric import Measures, Member
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.rule_descriptions import mends
from dora_metrics.calculators.value_members import of_deployment


class DeploymentReworkRate:
    """In the period of the success's finish."""

    name, unit = "deployment_rework_rate", "share"

    def __init__(self, assessment: Assessment) -> None:
        self.coverage = assessment.covered.failures
        self._successes = assessment.successes

    def measure(self, period: Period, part: Period) -> Measures:
        successes = self._successes.within(part)
        unplanned = sum(bool(one.unplanned) for one in successes)
        return Measures(
            n=len(successes),
            value=unplanned / len(successes) if successes else None,
            numerator=unplanned,
            denominator=len(successes),
            flags=frozenset().union(*(one.flags for one in successes)),
            details={"unplanned": unplanned, "deployments": len(successes)},
        )

    def members(self, part: Period) -> list[Member]:
        return [_success(one) for one in self._successes.within(part)]


def _success(one: Judged) -> Member:
    counts = {"deployments": 1, **({"unplanned": 1} if one.unplanned else {})}
    return of_deployment(one, counts=counts, rules=[f"unplanned: {mends(cause)}" for cause in one.unplanned] or ("planned",))
