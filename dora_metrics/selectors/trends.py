"""The values of the last weeks or months, for the small charts beside a value."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from dora_metrics.calculators.periods import ONE_DAY, Period, period_of_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.models import DORAMetric

PERIODS = 12
LONGEST_BY_WEEK = 100  # days of a period whose trend is shown by week
Trend = list[float | None]  # in the order of the periods; None: unknown


def trend_periods(period: Period) -> list[Period]:
    """Return the last 12 weeks up to the end of the period, or the last 12 months if the period is long."""
    kind = "week" if period.days <= LONGEST_BY_WEEK else "month"
    found = [period_of_date(period.end - ONE_DAY, kind)]
    while len(found) < PERIODS:
        found.append(period_of_date(found[-1].start - ONE_DAY, kind))
    return found[::-1]


def stored_trends(services: Iterable[int], periods: Sequence[Period]) -> dict[tuple[int, str], Trend]:
    """Return the values in production, by the id of the service and the metric, with one query. `periods`: weeks or months in a row."""
    position_of = {period.start: position for position, period in enumerate(periods)}
    rows = DORAMetric.objects.filter(service_id__in=list(services), environment=PRODUCTION, period=periods[0].kind)
    found: dict[tuple[int, str], Trend] = defaultdict(lambda: [None] * len(periods))
    within = rows.filter(period_start__gte=periods[0].start, period_start__lte=periods[-1].start)
    for service, metric, start, value in within.values_list("service_id", "metric", "period_start", "value"):
        found[service, metric][position_of[start]] = value
    return found
