"""The values of the five metrics of a service, for every day, week and month."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import msgspec

from dora_metrics.calculators.change_fail_rate import ChangeFailRate
from dora_metrics.calculators.change_lead_time import ChangeLeadTime
from dora_metrics.calculators.deployment_frequency import DeploymentFrequency
from dora_metrics.calculators.deployment_rework_rate import DeploymentReworkRate
from dora_metrics.calculators.failed_deployment_recovery_time import FailedDeploymentRecoveryTime
from dora_metrics.calculators.inputs import Coverage, Facts
from dora_metrics.calculators.linked_facts import LinkedFacts, link_facts
from dora_metrics.calculators.metric_interface import Metric
from dora_metrics.calculators.periods import KINDS, ONE_DAY, Period, collected_part, is_partial, local_date, periods_between
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.calculators.tiers import TIER_YEAR


class MetricValue(msgspec.Struct, frozen=True, gc=False):
    """The value of one metric in one period. None means unknown."""

    metric: str
    environment: str
    period_kind: str
    period_start: date
    period_end: date  # exclusive
    unit: str
    n: int = 0
    value: float | None = None
    numerator: float | None = None
    denominator: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    tier: str | None = None
    tier_year: int | None = None
    is_partial: bool = False
    quality_flags: tuple[str, ...] = ()
    details: dict[str, Any] = {}


def metrics_of(linked: LinkedFacts) -> list[Metric]:
    return [
        DeploymentFrequency(linked),
        ChangeLeadTime(linked),
        ChangeFailRate(linked),
        FailedDeploymentRecoveryTime(linked),
        DeploymentReworkRate(linked),
    ]


def metric_values(facts: Facts, settings: Settings, *, now: datetime, environment: str = PRODUCTION) -> list[MetricValue]:
    """Return the value of every metric for every period that has at least one collected day. Other periods have no value.

    `now`: coverage ends at this time at the latest. Raises ValueError or TypeError for naive datetimes.
    """
    return values_of(link_facts(facts, settings, now=now, environment=environment))


def values_of(linked: LinkedFacts, *, since: date = date.min, starts: tuple[date, date] = (date.min, date.max)) -> list[MetricValue]:
    """Return the values of the periods that have at least one collected day and end after the local date `since`.

    `starts`: the range [first, last) of dates in which the periods start.
    """
    zone = linked.settings.time_zone
    return [
        _value(metric, linked, period=period, coverage=metric.coverage)
        for metric in metrics_of(linked)
        if metric.coverage
        for period in covered_periods(metric.coverage, zone, since=since, starts=starts)
    ]


def values_in(linked: LinkedFacts, period: Period) -> list[MetricValue]:
    """Return the values of the metrics of which at least one day of the period was collected."""
    zone = linked.settings.time_zone
    return [
        _value(metric, linked, period=period, coverage=metric.coverage)
        for metric in metrics_of(linked)
        if metric.coverage and collected_part(period, metric.coverage, zone).days
    ]


def _value(metric: Metric, linked: LinkedFacts, *, period: Period, coverage: Coverage) -> MetricValue:
    zone = linked.settings.time_zone
    found = metric.measure(period, collected_part(period, coverage, zone))
    return MetricValue(
        metric=metric.name,
        environment=linked.environment,
        period_kind=period.kind,
        period_start=period.start,
        period_end=period.end,
        unit=metric.unit,
        n=found.n,
        value=found.value,
        numerator=found.numerator,
        denominator=found.denominator,
        p50=found.p50,
        p75=found.p75,
        p90=found.p90,
        tier=found.tier,
        tier_year=TIER_YEAR if found.tier else None,
        is_partial=is_partial(period, coverage, zone),
        quality_flags=tuple(sorted(found.flags)),
        details=found.details,
    )


def covered_periods(
    coverage: Coverage, time_zone: str, *, since: date = date.min, starts: tuple[date, date] = (date.min, date.max)
) -> Iterator[Period]:
    """Yield every period that ends after `since`, starts in the range `starts`, and has at least one collected day."""
    first, last = local_date(coverage.since, time_zone), local_date(coverage.until, time_zone)
    for kind in KINDS:
        for period in periods_between(max(first, since, starts[0]), min(last + ONE_DAY, starts[1]), kind):
            if starts[0] <= period.start:
                yield period
