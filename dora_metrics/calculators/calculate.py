"""All values of a service from all its facts."""

from collections.abc import Iterator
from datetime import date, datetime

from dora_metrics.calculators.assessment import Assessment, assess
from dora_metrics.calculators.change_fail_rate import ChangeFailRate
from dora_metrics.calculators.change_lead_time import ChangeLeadTime
from dora_metrics.calculators.deployment_frequency import DeploymentFrequency
from dora_metrics.calculators.deployment_rework_rate import DeploymentReworkRate
from dora_metrics.calculators.deployments import PRODUCTION
from dora_metrics.calculators.facts import Coverage, Facts, MetricValue, Settings
from dora_metrics.calculators.failed_deployment_recovery_time import FailedDeploymentRecoveryTime
from dora_metrics.calculators.metric import Metric
from dora_metrics.calculators.periods import KINDS, ONE_DAY, Period, collected_part, is_partial, local_date, periods_between
from dora_metrics.calculators.tiers import TIER_YEAR


def metrics_of(assessment: Assessment) -> list[Metric]:
    return [
        DeploymentFrequency(assessment),
        ChangeLeadTime(assessment),
        ChangeFailRate(assessment),
        FailedDeploymentRecoveryTime(assessment),
        DeploymentReworkRate(assessment),
    ]


def metric_values(facts: Facts, settings: Settings, *, now: datetime, environment: str = PRODUCTION) -> list[MetricValue]:
    """Every metric of every day, week and month that was collected; a period that was not has no value at all.

    `now` bounds the periods: one that has not begun has none either. Raises ValueError or TypeError on naive datetimes.
    """
    return values_of(assess(facts, settings, now=now, environment=environment))


def values_of(assessment: Assessment, *, since: date = date.min) -> list[MetricValue]:
    """`since`: only of periods that end after this local date."""
    return [value for metric in metrics_of(assessment) for value in _values(metric, assessment, since)]


def _values(metric: Metric, assessment: Assessment, since: date) -> Iterator[MetricValue]:
    coverage, zone = metric.coverage, assessment.settings.time_zone
    if coverage is None:
        return
    for period in covered_periods(coverage, zone, since=since):
        part = collected_part(period, coverage, zone)
        found = metric.measure(period, part)
        yield MetricValue(
            metric=metric.name,
            environment=assessment.environment,
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


def covered_periods(coverage: Coverage, time_zone: str, *, since: date = date.min) -> Iterator[Period]:
    """Every period with a day that was collected, and that ends after `since`."""
    first, last = local_date(coverage.since, time_zone), local_date(coverage.until, time_zone)
    for kind in KINDS:
        yield from periods_between(max(first, since), last + ONE_DAY, kind)
