"""The values of the five metrics for many services and one or two periods, read from the stored rows with a handful of queries.

Everything equals what the calculators compute from the facts (`metric.measure`), and a property test compares both. A day, week or month
has rows of its own. A range is put together: counts are sums over the rows of its days, weeks and months, and medians are computed
from the deliveries and the recovered attempts.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Case, CharField, Count, IntegerField, Q, QuerySet, Sum, Value, When
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from dora_metrics.calculators.deployment_frequency import DAYS_OF_A_WEEK, RECENT
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import ONE_DAY, RANGE, Period, start_of, stored_parts
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import LOW_N, NOT_BEGUN, NOT_COLLECTED, low_n
from dora_metrics.calculators.tiers import fail_rate_tier, frequency_tier, lead_time_tier, recovery_tier
from dora_metrics.models import Attempt, Delivery, DORAMetric

FREQUENCY, LEAD_TIME, FAIL_RATE = "deployment_frequency", "change_lead_time", "change_fail_rate"
RECOVERY, REWORK = "failed_deployment_recovery_time", "deployment_rework_rate"
METRICS = (FREQUENCY, LEAD_TIME, FAIL_RATE, RECOVERY, REWORK)


class PeriodValue(NamedTuple):
    """The value of one metric of one service in one period. None means unknown. Durations are in seconds, shares from 0 to 1."""

    value: float | None = None
    n: int | None = None
    numerator: float | None = None
    denominator: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    tier: str | None = None
    is_partial: bool = False
    flags: tuple[str, ...] = ()


class CollectedDates(NamedTuple):
    """The collected local dates of a metric. `begins_inside`: whether collection began after the first instant of the first date."""

    first: date
    last: date
    begins_inside: bool

    def within(self, period: Period) -> Period | None:
        """Return the collected part of the period; None if nothing of it was collected."""
        start, end = max(period.start, self.first), min(period.end, self.last + ONE_DAY)
        return Period(start, end, period.kind) if start < end else None

    def is_partial(self, period: Period) -> bool:
        return self.last < period.end or self.first > period.start or (self.first == period.start and self.begins_inside)


Collected = Mapping[str, CollectedDates]  # by metric; a metric that was never collected is missing


def collected_dates_of(stored: Mapping[str, Mapping[str, Any]]) -> Collected:
    """Return the dates that `MetricsSummary.collected` has."""
    return {
        metric: CollectedDates(date.fromisoformat(dates["first"]), date.fromisoformat(dates["last"]), dates["begins_inside"])
        for metric, dates in stored.items()
    }


Values = dict[int, list[dict[str, PeriodValue]]]  # by the id of the service: for each period, the values by metric


def stored_values(collected: Mapping[int, Collected], periods: Sequence[Period], *, today: date) -> Values:
    """Return the values of all five metrics in production, for each service and each of the periods.

    `collected`: the services by their ids. `periods`: of one kind; no day belongs to two of them. It takes at most four queries.
    """
    known = _with_rows(collected)
    parts = _from_own_rows(known, periods) if periods[0].kind != RANGE else _put_together(known, periods)
    unknown = [PeriodValue(flags=(NOT_BEGUN if period.start > today else NOT_COLLECTED,)) for period in periods]
    return {
        service: [{metric: parts.get((service, which, metric), unknown[which]) for metric in METRICS} for which in range(len(periods))]
        for service in collected
    }


def metric_values(collected: Mapping[int, Collected], period: Period, metric: str) -> dict[int, float | None]:
    """Return the values of one metric in production, as `stored_values` has them, with one query. It is for sorting many services."""
    known = _with_rows(collected)
    if period.kind != RANGE:
        rows = _rows(known).filter(period=period.kind, period_start=period.start, metric=metric)
        values = dict(rows.values_list("service_id", "value"))
    elif metric in (LEAD_TIME, RECOVERY):
        times = _lead_times(known, [period]) if metric == LEAD_TIME else _recovery_times(known, [period])
        values = {service: percentile(seconds, 0.5) for (service, _), seconds in times.items()}
    else:
        values = {service: total.share for (service, _, _), total in _sums(known, [period], metric=metric).items()}
    return {service: values.get(service) for service in collected}


def _with_rows(collected: Mapping[int, Collected]) -> dict[int, Collected]:
    """Leave out the services that were never collected: they have no rows. Django runs no query for an empty list of services."""
    return {service: of_metric for service, of_metric in collected.items() if of_metric}


Place = tuple[int, int]  # the id of a service, and the position of a period
Found = dict[tuple[int, int, str], PeriodValue]  # by service, position of the period, and metric


def _from_own_rows(collected: Mapping[int, Collected], periods: Sequence[Period]) -> Found:
    which_of = {period.start: which for which, period in enumerate(periods)}
    columns = ("value", "n", "numerator", "denominator", "p50", "p75", "p90", "tier", "is_partial", "quality_flags")
    rows = _rows(collected).filter(period=periods[0].kind, period_start__in=which_of)
    found: Found = {}
    for service, metric, start, *numbers, tier, is_partial, flags in rows.values_list("service_id", "metric", "period_start", *columns):
        value, n, numerator, denominator, p50, p75, p90 = numbers
        found[service, which_of[start], metric] = PeriodValue(
            value, n, numerator, denominator, p50, p75, p90, tier=tier or None, is_partial=is_partial, flags=tuple(flags)
        )
    return found


def _put_together(collected: Mapping[int, Collected], periods: Sequence[Period]) -> Found:
    sums = _sums(collected, periods)
    found: Found = {}
    lead_times = _lead_times(collected, periods)
    recovered, tiers = _recoveries_and_tiers(collected, periods)
    for service, of_metric in collected.items():
        for which, period in enumerate(periods):
            for metric, dates in of_metric.items():
                if dates.within(period) is None:
                    continue
                place, sum_ = (service, which), sums[service, which, metric]
                match metric:
                    case "deployment_frequency":
                        value = sum_.quotient(tiers.get(place))
                    case "change_lead_time":
                        value = sum_.median(lead_times[place], lead_time_tier)
                    case "failed_deployment_recovery_time":
                        value = sum_.median(recovered[place], recovery_tier)
                    case "change_fail_rate":
                        value = sum_.quotient(fail_rate_tier(sum_.share))
                    case _:
                        value = sum_.quotient(None)
                found[service, which, metric] = value._replace(is_partial=dates.is_partial(period))
    return found


@dataclass(slots=True)
class _Sum:
    """The totals of the stored rows of a metric in one period."""

    n: int = 0
    numerator: float = 0
    denominator: float = 0
    flags: set[str] = field(default_factory=set)

    @property
    def share(self) -> float | None:
        return self.numerator / self.denominator if self.denominator else None

    def quotient(self, tier: str | None) -> PeriodValue:
        return PeriodValue(
            value=self.share, n=self.n, numerator=self.numerator, denominator=self.denominator, tier=tier, flags=tuple(sorted(self.flags))
        )

    def median(self, seconds: Sequence[float], tier_of: Callable[[float | None], str | None]) -> PeriodValue:
        """`seconds`: the durations. The flag LOW_N of a part says nothing about the whole."""
        p50, p75, p90 = (percentile(seconds, share) for share in (0.5, 0.75, 0.9))
        flags = tuple(sorted((self.flags - {LOW_N}) | low_n(seconds)))
        return PeriodValue(value=p50, n=len(seconds), p50=p50, p75=p75, p90=p90, tier=tier_of(p50), flags=flags)


def _sums(services: Iterable[int], periods: Sequence[Period], **chosen: str) -> Mapping[tuple[int, int, str], _Sum]:
    """Return the totals over the rows of which the periods are put together. Rows with the same flags are summed by the database.

    `chosen`: the value of a column that the rows must have.
    """
    of_period = [Q(*(_one_kind(kind, first, last) for kind, first, last in _runs_of_parts(period)), _connector=Q.OR) for period in periods]
    which = Case(*(When(period_start__lt=period.end, then=Value(position)) for position, period in _from_first(periods)), output_field=IntegerField())
    rows = _rows(services).filter(Q(*of_period, _connector=Q.OR), **chosen).annotate(which=which)
    grouped = rows.values("service_id", "which", "metric", "quality_flags").annotate(Sum("n"), Sum("numerator"), Sum("denominator")).order_by()
    found: dict[tuple[int, int, str], _Sum] = defaultdict(_Sum)
    columns = ("service_id", "which", "metric", "quality_flags", "n__sum", "numerator__sum", "denominator__sum")
    for service, position, metric, flags, n, numerator, denominator in grouped.values_list(*columns):
        total = found[service, position, metric]
        total.n += n
        total.numerator += numerator or 0
        total.denominator += denominator or 0
        total.flags.update(flags)
    return found


def _one_kind(kind: str, first: date, last: date) -> Q:
    return Q(period=kind, period_start__gte=first, period_start__lte=last)


def _runs_of_parts(period: Period) -> list[tuple[str, date, date]]:
    """Return the parts of the period, those in a row that are of one kind together: the kind, and the starts of the first and the last."""
    runs: list[tuple[str, date, date]] = []
    for part in stored_parts(period.start, period.end):
        if runs and runs[-1][0] == part.kind:
            runs[-1] = (part.kind, runs[-1][1], part.start)
        else:
            runs.append((part.kind, part.start, part.start))
    return runs


def _from_first(periods: Sequence[Period]) -> list[tuple[int, Period]]:
    return sorted(enumerate(periods), key=lambda pair: pair[1].start)


def _rows(services: Iterable[int]) -> QuerySet[DORAMetric]:
    return DORAMetric.objects.filter(service_id__in=list(services), environment=PRODUCTION)


# --- medians and tiers ---------------------------------------------------------------------------------------------------


def _lead_times(collected: Mapping[int, Collected], periods: Sequence[Period]) -> Mapping[Place, list[float]]:
    """Return the lead times of the changes that were deployed on collected dates.

    A year of a thousand services has half a million deliveries. Their times are compared as the database writes them, "2026-02-28 09:15:00"
    with or without a fraction of a second, because turning each into a datetime takes longer than reading it.
    """
    found: dict[Place, list[float]] = defaultdict(list)
    windows = {
        service: [(which, _as_text(start), _as_text(end)) for which, start, end in of_service]
        for service, of_service in _windows(LEAD_TIME, collected, periods).items()
    }
    deliveries = Delivery.objects.filter(_within("deployed_at", periods), service_id__in=list(windows), is_bots=False)
    deployed_at = Cast("deployed_at", CharField())
    for service, at, seconds in deliveries.annotate(at=deployed_at).values_list("service_id", "at", "lead_time_seconds"):
        for which, start, end in windows[service]:
            if start <= at < end:
                found[service, which].append(seconds)
    return found


def _as_text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _recovery_times(collected: Mapping[int, Collected], periods: Sequence[Period]) -> Mapping[Place, list[float]]:
    """Return the recovery times of the failed attempts that recovered on collected dates."""
    windows = _windows(RECOVERY, collected, periods)
    return _seconds_in(windows, _recovered(windows, periods).values_list("service_id", "finished_at", "recovered_at"))


def _recovered(services: Iterable[int], periods: Sequence[Period]) -> QuerySet[Attempt]:
    return Attempt.objects.filter(_within("recovered_at", periods), service_id__in=list(services))


def _seconds_in(windows: "Windows", recovered: Iterable[tuple[int, datetime, datetime | None]]) -> Mapping[Place, list[float]]:
    found: dict[Place, list[float]] = defaultdict(list)
    for service, finished_at, recovered_at in recovered:
        if recovered_at is None:  # the query selects none
            continue
        for place in _places(service, recovered_at, windows):
            found[place].append((recovered_at - finished_at).total_seconds())
    return found


def _recoveries_and_tiers(
    collected: Mapping[int, Collected], periods: Sequence[Period]
) -> tuple[Mapping[Place, list[float]], Mapping[Place, str | None]]:
    """Return the recovery times, and the tiers of the deployment frequency.

    A complete week has its number of deploy days in its row. Whether a service has deployed in the last 31 days matters only if it
    deploys less than once a week, so it is looked up for such services only, in the query for the recovery times.
    """
    per_week = {place: percentile(days, 0.5) for place, days in _deploy_days(collected, periods).items()}
    rare = {place for place, median in per_week.items() if frequency_tier(median, has_recent_deploy_day=False) == "low"}
    windows, recent_windows = _windows(RECOVERY, collected, periods), _recent_windows(rare, collected, periods)
    columns = ("is_recent", "service_id", "finished_at", "recovered_at")
    attempts = _recovered(windows, periods).annotate(is_recent=Value(0)).values_list(*columns)
    if recent_windows:
        attempts = attempts.union(_recent_successes(recent_windows).annotate(is_recent=Value(1)).values_list(*columns), all=True)
    recovered: list[tuple[int, datetime, datetime | None]] = []
    recent: set[Place] = set()
    for is_recent, service, finished_at, recovered_at in attempts:
        if is_recent:
            recent.update(_places(service, finished_at, recent_windows))
        else:
            recovered.append((service, finished_at, recovered_at))
    tiers = {place: frequency_tier(median, has_recent_deploy_day=place in recent) for place, median in per_week.items()}
    return _seconds_in(windows, recovered), tiers


def _deploy_days(services: Iterable[int], periods: Sequence[Period]) -> Mapping[Place, list[float]]:
    """Return the deploy days of each complete ISO week whose Sunday lies in a period. A period shorter than a week has none."""
    found: dict[Place, list[float]] = defaultdict(list)
    long = [(which, period) for which, period in _from_first(periods) if period.days >= DAYS_OF_A_WEEK]
    if not long:
        return found
    week = timedelta(days=DAYS_OF_A_WEEK)
    has_sunday_in = Q(*(Q(period_start__gt=period.start - week, period_start__lte=period.end - week) for _, period in long), _connector=Q.OR)
    which = Case(*(When(period_end__lte=period.end, then=Value(which)) for which, period in long), output_field=IntegerField())
    weeks = _rows(services).filter(has_sunday_in, metric=FREQUENCY, period="week", is_partial=False)
    counted = (
        weeks.annotate(which=which, days=KT("details__deploy_days")).values("service_id", "which", "days").annotate(weeks=Count("pk")).order_by()
    )
    for service, position, days, count in counted.values_list("service_id", "which", "days", "weeks"):
        found[service, position] += [int(days)] * count
    return found


def _recent_windows(places: Iterable[Place], collected: Mapping[int, Collected], periods: Sequence[Period]) -> "Windows":
    """Return the 31 days before the end of the collected part of the period, for each of the places."""
    found: Windows = defaultdict(list)
    for service, which in places:
        if (dates := collected[service].get(FREQUENCY)) and (part := dates.within(periods[which])):
            found[service].append((which, _start(part.end - RECENT), _start(part.end)))
    return found


def _recent_successes(windows: "Windows") -> QuerySet[Attempt]:
    spans = [(start, end) for of_service in windows.values() for _, start, end in of_service]
    finished = Q(finished_at__gte=min(start for start, _ in spans), finished_at__lt=max(end for _, end in spans))
    return Attempt.objects.filter(finished, service_id__in=list(windows), is_success=True)


Windows = dict[int, list[tuple[int, datetime, datetime]]]  # by service: the position of a period, and the instants between which it was collected


def _windows(metric: str, collected: Mapping[int, Collected], periods: Sequence[Period]) -> Windows:
    found: Windows = defaultdict(list)
    for service, of_metric in collected.items():
        for which, period in enumerate(periods):
            if (dates := of_metric.get(metric)) and (part := dates.within(period)):
                found[service].append((which, _start(part.start), _start(part.end)))
    return found


def _places(service: int, moment: datetime, windows: Windows) -> Iterator[Place]:
    """Yield the places to which the moment belongs. The 31 days before the ends of two periods may overlap."""
    return ((service, which) for which, start, end in windows.get(service, ()) if start <= moment < end)


def _within(column: str, periods: Sequence[Period]) -> Q:
    """Return the condition that the local date of the column lies in one of the periods."""
    spans: list[tuple[date, date]] = []
    for _, period in _from_first(periods):
        if spans and spans[-1][1] == period.start:  # one span for periods in a row, because an index finds it faster
            spans[-1] = (spans[-1][0], period.end)
        else:
            spans.append((period.start, period.end))
    return Q(*(Q(**{f"{column}__gte": _start(start), f"{column}__lt": _start(end)}) for start, end in spans), _connector=Q.OR)


def _start(day: date) -> datetime:
    return _start_in_zone(day, settings.ETL_TIME_ZONE)


_start_in_zone = lru_cache(maxsize=4096)(start_of)
