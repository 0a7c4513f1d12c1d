"""The deployment rework rate: the share of successful deployments that were unplanned, which means that they mended an earlier one."""

from dora_metrics.calculators.failures import AttemptOutcome
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_interface import Measures, Member
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.rule_descriptions import why_unplanned
from dora_metrics.calculators.sentences import Sentence, gettext_noop
from dora_metrics.calculators.value_members import deployment_member

PLANNED = Sentence(gettext_noop("planned"))


class DeploymentReworkRate:
    """A successful attempt to deploy counts in the period in which it finished."""

    name, unit = "deployment_rework_rate", "share"

    def __init__(self, linked: LinkedFacts) -> None:
        self.coverage = linked.coverage.failures
        self._successes = linked.successes

    def measure(self, period: Period, collected: Period) -> Measures:
        successes = self._successes.within(collected)
        unplanned = sum(bool(success.unplanned) for success in successes)
        return Measures(
            n=len(successes),
            value=unplanned / len(successes) if successes else None,
            numerator=unplanned,
            denominator=len(successes),
            flags=frozenset().union(*(success.flags for success in successes)),
            details={"unplanned": unplanned, "deployments": len(successes)},
        )

    def members(self, collected: Period) -> list[Member]:
        return [_member(success) for success in self._successes.within(collected)]


def _member(success: AttemptOutcome) -> Member:
    counts = {"deployments": 1, **({"unplanned": 1} if success.unplanned else {})}
    rules = [Sentence(gettext_noop("unplanned: {}"), why_unplanned(cause)) for cause in success.unplanned]
    return deployment_member(success, counts=counts, rules=rules or (PLANNED,), reasons=success.unplanned)
