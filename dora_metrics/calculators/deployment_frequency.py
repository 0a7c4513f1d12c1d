"""M1, deployment frequency: successful deployments a day."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

from dora_metrics.calculators.facts import Attempt, Coverage, MetricValue, Settings
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import Period, collected_part, is_partial, local_date, period_of_date, periods_between
from dora_metrics.calculators.tiers import TIER_YEAR, frequency_tier

METRIC, UNIT = "deployment_frequency", "deployments/day"
RECENT = timedelta(days=31)


def deployment_frequency(
    successes: Sequence[Attempt],
    periods: Sequence[Period],
    settings: Settings,
    coverage: Coverage,
    *,
    environment: str,
    flags_of: dict[Attempt, set[str]],
) -> list[MetricValue]:
    """One value a period. `successes` by finished_at; `flags_of`: what is to be said of a success."""
    zone = settings.time_zone
    dates = [local_date(success.finished_at, zone) for success in successes]
    a_day = Counter(dates)
    deploy_dates = sorted(a_day)
    values = []
    for period in periods:
        part = collected_part(period, coverage, zone)
        if part.days == 0:
            continue
        first, last = bisect_left(dates, part.start), bisect_left(dates, part.end)
        count = last - first
        a_week = None if period.kind == "day" else _deploy_days_a_week(period, deploy_dates, coverage, zone)
        values.append(
            MetricValue(
                metric=METRIC,
                environment=environment,
                period_kind=period.kind,
                period_start=period.start,
                period_end=period.end,
                unit=UNIT,
                n=count,
                value=count / part.days,
                numerator=count,
                denominator=part.days,
                tier=(tier := frequency_tier(a_week, has_recent_deploy_day=_between(deploy_dates, part.end - RECENT, part.end) > 0)),
                tier_year=TIER_YEAR if tier else None,
                is_partial=is_partial(period, coverage, zone),
                quality_flags=tuple(sorted(set().union(*(flags_of.get(success, set()) for success in successes[first:last])))),
                details={
                    "deployments": count,
                    "deploy_days": _between(deploy_dates, part.start, part.end),
                    "deploy_days_per_week": a_week,
                },
            )
        )
    return values


def _between(ordered: Sequence[date], start: date, end: date) -> int:
    return bisect_left(ordered, end) - bisect_left(ordered, start)


def _deploy_days_a_week(period: Period, deploy_dates: Sequence[date], coverage: Coverage, zone: str) -> float | None:
    """The median over the complete ISO weeks whose Sunday lies in the period; an empty week is 0."""
    weeks = [
        week
        for week in periods_between(period_of_date(period.start, "week").start, period.end, "week")
        if week.end - timedelta(days=1) in period and not is_partial(week, coverage, zone)
    ]
    return percentile([_between(deploy_dates, week.start, week.end) for week in weeks], 0.5)
