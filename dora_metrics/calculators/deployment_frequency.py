"""The deployment frequency: successful deployments per day."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date, timedelta

from dora_metrics.calculators.failures import AttemptOutcome
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_interface import Measures, Member
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import Period, is_partial, period_of_date, periods_between
from dora_metrics.calculators.sentences import Sentence, gettext_noop
from dora_metrics.calculators.tiers import frequency_tier
from dora_metrics.calculators.value_members import deployment_member

DAYS_OF_A_WEEK = 7
RECENT = timedelta(days=31)
SUCCEEDED = Sentence(gettext_noop("succeeded"))


class DeploymentFrequency:
    """A successful attempt to deploy counts in the period in which it finished."""

    name, unit = "deployment_frequency", "deployments/day"

    def __init__(self, linked: LinkedFacts) -> None:
        self.coverage = linked.coverage.deployments
        self._zone = linked.settings.time_zone
        self._successes = linked.successes
        self._deploy_dates = sorted(set(linked.successes.dates))

    def measure(self, period: Period, collected: Period) -> Measures:
        successes = self._successes.within(collected)
        per_week = self._deploy_days_per_week(period)
        is_recent = _count_between(self._deploy_dates, collected.end - RECENT, collected.end) > 0
        return Measures(
            n=len(successes),
            value=len(successes) / collected.days,
            numerator=len(successes),
            denominator=collected.days,
            tier=frequency_tier(per_week, has_recent_deploy_day=is_recent),
            flags=frozenset().union(*(success.flags for success in successes)),
            details={
                "deployments": len(successes),
                "deploy_days": _count_between(self._deploy_dates, collected.start, collected.end),
                "deploy_days_per_week": per_week,
            },
        )

    def members(self, collected: Period) -> list[Member]:
        return [_member(success) for success in self._successes.within(collected)]

    def _deploy_days_per_week(self, period: Period) -> float | None:
        """Return the median number of deploy days, which are days with a successful deployment, per ISO week.

        It is taken over the weeks whose Sunday lies in the period and whose seven days were all collected. A week without a deploy
        day counts as 0. None if there is no such week, or if the period is shorter than a week.
        """
        if self.coverage is None or period.days < DAYS_OF_A_WEEK:
            return None
        weeks = [
            week
            for week in periods_between(period_of_date(period.start, "week").start, period.end, "week")
            if week.end - timedelta(days=1) in period and not is_partial(week, self.coverage, self._zone)
        ]
        return percentile([_count_between(self._deploy_dates, week.start, week.end) for week in weeks], 0.5)


def _count_between(ordered: Sequence[date], start: date, end: date) -> int:
    return bisect_left(ordered, end) - bisect_left(ordered, start)


def _member(success: AttemptOutcome) -> Member:
    return deployment_member(success, counts={"deployments": 1}, rules=(SUCCEEDED,))
