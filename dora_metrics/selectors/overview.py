"""The overview: the five metrics of every service in one period, beside those of the period before.

Values of production come from stored rows. They are kept in memory until the rows of their service change, so that sorting a thousand
services by a metric reads their rows once. Values of another environment are not stored: they are computed for the services of one page.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.db.models import TextField
from django.db.models.functions import Cast

from dora_metrics.calculators.metric_values import MetricValue, values_in
from dora_metrics.calculators.periods import Period, local_date, period_before
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import NOT_BEGUN, NOT_COLLECTED
from dora_metrics.derivation.stored_facts import counted_repositories_of
from dora_metrics.derivation.stored_links import linked_facts_of_each
from dora_metrics.models import Service
from dora_metrics.period_input import period_name
from dora_metrics.selectors.period_values import METRICS, Collected, PeriodValue, collected_dates_of, metric_values, stored_values
from dora_metrics.selectors.stamped_cache import SECONDS, for_each_service
from dora_metrics.selectors.trends import Trend, stored_trends, trend_periods

PAGE_SIZE = 25
COMPUTED_PAGE_SIZE = 10  # of another environment: the facts of each service are linked while somebody waits
COMPUTED_SECONDS = 60  # the stamp does not change with facts of other environments only, so their values are kept for a short time
MOST_ENVIRONMENTS = 30
BY_NAME = "name"


@dataclass(frozen=True, slots=True)
class OverviewQuery:
    """What to show. `sort`: BY_NAME or a metric. `search`: a part of the name. `page`: from 1; a page that does not exist is the last one."""

    period: Period
    environment: str = PRODUCTION
    search: str = ""
    sort: str = BY_NAME
    is_descending: bool = False
    page: int = 1


class ServiceRow(NamedTuple):
    """A service: its values in the period and in the period before, and its last weeks or months, each by metric."""

    name: str
    values: Mapping[str, PeriodValue]
    earlier: Mapping[str, PeriodValue]
    trends: Mapping[str, Trend]


@dataclass(frozen=True, slots=True)
class Overview:
    """One page of services. `total`: the number of services that exist. `matching`: how many of them are on all pages together.

    `earlier`: the period before. `trend`: the periods of the trends. `environments`: those that can be chosen, production first.
    """

    rows: Sequence[ServiceRow]
    total: int
    matching: int
    page: int
    page_count: int
    earlier: Period
    trend: Sequence[Period]
    environments: Sequence[str]


class _Listed(NamedTuple):
    pk: int
    name: str
    stamp: str
    collected: str  # JSON
    environments: tuple[str, ...]


def overview(query: OverviewQuery, *, now: datetime) -> Overview:
    """Return one page. For production it takes at most seven queries, whatever the number of services."""
    listed = _listed_services()
    known = Counter(name for service in listed for name in service.environments if name != PRODUCTION)
    chosen = _chosen(listed, query)
    page_size = PAGE_SIZE if query.environment == PRODUCTION else COMPUTED_PAGE_SIZE
    page_count = max(1, math.ceil(len(chosen) / page_size))
    page = min(query.page, page_count)
    today = local_date(now, settings.ETL_TIME_ZONE)
    shown = _sorted(chosen, query, today)[(page - 1) * page_size : page * page_size]
    return Overview(
        rows=_rows(shown, query, now),
        total=len(listed),
        matching=len(chosen),
        page=page,
        page_count=page_count,
        earlier=period_before(query.period),
        trend=trend_periods(query.period),
        environments=[PRODUCTION, *sorted(name for name, _ in known.most_common(MOST_ENVIRONMENTS))],
    )


def all_rows(query: OverviewQuery, *, now: datetime) -> list[ServiceRow]:
    """Return the rows of all pages. Of another environment than production, return only the page: each of its services takes a while."""
    if query.environment != PRODUCTION:
        return list(overview(query, now=now).rows)
    chosen = _chosen(_listed_services(), query)
    return _rows(_sorted(chosen, query, local_date(now, settings.ETL_TIME_ZONE)), query, now)


def _chosen(listed: Sequence[_Listed], query: OverviewQuery) -> list[_Listed]:
    found = [service for service in listed if query.search.casefold() in service.name.casefold()]
    return found if query.environment == PRODUCTION else [service for service in found if query.environment in service.environments]


def _listed_services() -> list[_Listed]:
    """Return all services that are not being deleted, ordered by name. JSON is parsed only where it is needed."""
    columns = ("pk", "name", "summary__stamp", "collected", "environments")
    services = Service.objects.filter(deletion_began_at=None).order_by("name")
    texts = {"collected": Cast("summary__collected", TextField()), "environments": Cast("summary__environments", TextField())}
    return [
        _Listed(pk, name, stamp or "", collected or "{}", _names(environments or "[]"))
        for pk, name, stamp, collected, environments in services.annotate(**texts).values_list(*columns)
    ]


@lru_cache(maxsize=4096)  # most services have the same environments
def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _sorted(services: Sequence[_Listed], query: OverviewQuery, today: date) -> list[_Listed]:
    """Return the services in the order of the page. Those without a value are last, and those with the same value are ordered by name."""
    if query.sort == BY_NAME or query.environment != PRODUCTION:
        return list(reversed(services)) if query.is_descending else list(services)
    collected = {service.pk: service.collected for service in services}
    values = for_each_service(
        _key(query, today, query.sort),
        {service.pk: service.stamp for service in services},
        lambda missing: metric_values(_collected({pk: collected[pk] for pk in missing}), query.period, query.sort),
    )

    def order(service: _Listed) -> tuple[bool, float]:
        value = values[service.pk]
        return value is None, 0 if value is None else -value if query.is_descending else value

    return sorted(services, key=order)


def _rows(services: Sequence[_Listed], query: OverviewQuery, now: datetime) -> list[ServiceRow]:
    of = {service.pk: service for service in services}
    today = local_date(now, settings.ETL_TIME_ZONE)
    is_stored = query.environment == PRODUCTION

    def compute(missing: Sequence[int]) -> Mapping[int, _Plain]:
        if is_stored:
            return _stored_rows(_collected({pk: of[pk].collected for pk in missing}), query.period, today)
        return _computed_rows(missing, query, now)

    stamps = {service.pk: service.stamp for service in services}
    seconds = SECONDS if is_stored else COMPUTED_SECONDS
    found = for_each_service(_key(query, today), stamps, compute, seconds=seconds)
    return [_row(service.name, found[service.pk]) for service in services]


# What is kept of a row: values, values of the period before, and trends, each in the order of METRICS. Plain tuples and lists are unpickled
# several times faster than named ones.
_Plain = tuple[list[tuple[object, ...]], list[tuple[object, ...]], list[Trend]]


def _stored_rows(collected: Mapping[int, Collected], period: Period, today: date) -> dict[int, _Plain]:
    values = stored_values(collected, [period, period_before(period)], today=today)
    trends = stored_trends([service for service, of_metric in collected.items() if of_metric], trend_periods(period))
    return {service: (_plain(now), _plain(earlier), [trends[service, metric] for metric in METRICS]) for service, (now, earlier) in values.items()}


def _computed_rows(services: Sequence[int], query: OverviewQuery, now: datetime) -> dict[int, _Plain]:
    found: dict[int, _Plain] = {}
    today = local_date(now, settings.ETL_TIME_ZONE)
    chosen = list(Service.objects.filter(pk__in=services))
    for service, linked in linked_facts_of_each(chosen, query.environment, counted_repositories_of(chosen), moment=now).items():
        current, earlier = (
            {value.metric: _period_value(value) for value in values_in(linked, period)} for period in (query.period, period_before(query.period))
        )
        trends = [{value.metric: value.value for value in values_in(linked, period)} for period in trend_periods(query.period)]
        unknown, unknown_before = (
            PeriodValue(flags=(NOT_BEGUN if period.start > today else NOT_COLLECTED,)) for period in (query.period, period_before(query.period))
        )
        found[service] = (
            _plain({metric: current.get(metric, unknown) for metric in METRICS}),
            _plain({metric: earlier.get(metric, unknown_before) for metric in METRICS}),
            [[of_period.get(metric) for of_period in trends] for metric in METRICS],
        )
    return found


def _period_value(value: MetricValue) -> PeriodValue:
    return PeriodValue(
        *(value.value, value.n, value.numerator, value.denominator, value.p50, value.p75, value.p90),
        tier=value.tier,
        is_partial=value.is_partial,
        flags=value.quality_flags,
    )


def _plain(values: Mapping[str, PeriodValue]) -> list[tuple[object, ...]]:
    return [tuple(values[metric]) for metric in METRICS]


def _row(name: str, plain: _Plain) -> ServiceRow:
    values, earlier, trends = plain
    return ServiceRow(
        name,
        {metric: PeriodValue(*value) for metric, value in zip(METRICS, values, strict=True)},  # type: ignore[arg-type]
        {metric: PeriodValue(*value) for metric, value in zip(METRICS, earlier, strict=True)},  # type: ignore[arg-type]
        dict(zip(METRICS, trends, strict=True)),
    )


def _collected(texts: Mapping[int, str]) -> dict[int, Collected]:
    return {pk: collected_dates_of(json.loads(text)) for pk, text in texts.items()}


def _key(query: OverviewQuery, today: date, metric: str = "") -> str:
    """Return a key for the cache. Not every cache takes any character, and an environment may have any."""
    parts = (period_name(query.period), query.environment, settings.ETL_TIME_ZONE, today.isoformat(), metric)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
