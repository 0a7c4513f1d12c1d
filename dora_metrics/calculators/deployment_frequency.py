"""M1, deployment frequency: successful deployments a day."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date, timedelta

from dora_metrics.calculators.assessment import Assessment
from dora_metrics.calculators.failures import Judged
from dora_metrics.calculators.metric import Measures, Member
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import Period, is_partial, period_of_date, periods_between
from dora_metrics.calculators.tiers import frequency_tier
from dora_metrics.calculators.value_members import of_deployment

RECENT = timedelta(days=31)


class DeploymentFrequency:
    """In the period of the success's finish."""

    name, unit = "deployment_frequency", "deployments/day"

    def __init__(self, assessment: Assessment) -> None:
        self.coverage = assessment.covered.deployments
        self._zone = assessment.settings.time_zone
        self._successes = assessment.successes
        self._deploy_dates = sorted(set(assessment.successes.dates))

    def measure(self, period: Period, part: Period) -> Measures:
        successes = self._successes.within(part)
        a_week = None if period.kind == "day" else self._deploy_days_a_week(period)
        is_recent = _between(self._deploy_dates, part.end - RECENT, part.end) > 0
        return Measures(
            n=len(successes),
            value=len(successes) / part.days,
            numerator=len(successes),
            denominator=part.days,
            tier=frequency_tier(a_week, has_recent_deploy_day=is_recent),
            flags=frozenset().union(*(one.flags for one in successes)),
            details={
                "deployments": len(successes),
                "deploy_days": _between(self._deploy_dates, part.start, part.end),
                "deploy_days_per_week": a_week,
            },
        )

    def members(self, part: Period) -> list[Member]:
        return [_success(one) for one in self._successes.within(part)]

    def _deploy_days_a_week(self, period: Period) -> float | None:
        """The median over the complete ISO weeks whose Sunday lies in the period; an empty week is 0."""
        if self.coverage is None:
            return None
        weeks = [
            week
            for week in periods_between(period_of_date(period.start, "week").start, period.end, "week")
            if week.end - timedelta(days=1) in period and not is_partial(week, self.coverage, self._zone)
        ]
        return percentile([_between(self._deploy_dates, week.start, week.end) for week in weeks], 0.5)


def _between(ordered: Sequence[date], start: date, end: date) -> int:
    return bisect_left(ordered, end) - bisect_left(ordered, start)


def _success(one: Judged) -> Member:
    return of_deployment(one, counts={"deployments": 1}, rules=("succeeded",))
