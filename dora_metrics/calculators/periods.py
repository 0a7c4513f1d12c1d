"""Periods (days, ISO weeks, months and ranges) of local dates, their collected parts, and items by local date (docs/metrics.md, "Periods")."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from dora_metrics.calculators.inputs import Coverage

KINDS = ("day", "week", "month")
RANGE = "range"  # a period of any dates; its values are not stored
ONE_DAY = timedelta(days=1)
T = TypeVar("T")


class Period(msgspec.Struct, frozen=True, order=True, gc=False):
    start: date
    end: date  # exclusive
    kind: str

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    @property
    def days(self) -> int:
        return (self.end - self.start).days


def period_of_date(day: date, kind: str) -> Period:
    """Return the day, ISO week (from Monday) or month that contains the local date. Raises ValueError for another kind."""
    match kind:
        case "day":
            return Period(day, day + ONE_DAY, kind)
        case "week":
            monday = day - timedelta(days=day.weekday())
            return Period(monday, monday + 7 * ONE_DAY, kind)
        case "month":
            first = day.replace(day=1)
            return Period(first, (first + timedelta(days=32)).replace(day=1), kind)
    raise ValueError(f"{kind!r} is not a period: day, week or month")


def period_before(period: Period) -> Period:
    """Return the day, week or month before; of a range, the range of as many days before it."""
    if period.kind == RANGE:
        return Period(period.start - timedelta(days=period.days), period.start, RANGE)
    return period_of_date(period.start - ONE_DAY, period.kind)


def periods_between(start: date, end: date, kind: str) -> Iterator[Period]:
    """Yield every period that overlaps [start, end). Periods are whole, so the first and the last one may reach beyond the range.

    The only period of the kind RANGE is [start, end) itself.
    """
    if kind == RANGE:
        yield from [Period(start, end, RANGE)] if start < end else []
        return
    period = period_of_date(start, kind)
    while period.start < end:
        yield period
        period = period_of_date(period.end, kind)


def stored_parts(start: date, end: date) -> list[Period]:
    """Return the days, weeks and months that together have exactly the days of [start, end), in their order.

    Months are as many as possible, and then weeks. So a year has some thirty parts.
    """
    return _split(start, end, ("month", "week", "day"))


def _split(start: date, end: date, kinds: Sequence[str]) -> list[Period]:
    """`kinds`: the kinds of parts, the longest first and "day" last."""
    if start >= end:
        return []
    whole = [period for period in periods_between(start, end, kinds[0]) if start <= period.start and period.end <= end]
    if not whole:
        return _split(start, end, kinds[1:])
    return [*_split(start, whole[0].start, kinds[1:]), *whole, *_split(whole[-1].end, end, kinds[1:])]


def local_date(instant: datetime, time_zone: str) -> date:
    """Return the local date of an instant, which determines the period of the instant. Raises ValueError for a naive datetime."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return instant.astimezone(ZoneInfo(time_zone)).date()


@lru_cache(maxsize=4096)
def start_of(day: date, time_zone: str) -> datetime:
    """Return the first instant of the local date, in UTC.

    It is computed in the time zone, because a local day may have 23 or 25 hours.
    """
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def joined(spans: Sequence[Coverage | None]) -> Coverage | None:
    """Return the span that all the spans have in common; None if they have none in common or one of them is None."""
    if not spans or any(span is None for span in spans):
        return None
    present = [span for span in spans if span is not None]
    since, until = max(span.since for span in present), min(span.until for span in present)
    return Coverage(since, until) if since <= until else None


def collected_part(period: Period, coverage: Coverage, time_zone: str) -> Period:
    """Return the part of the period whose local dates have begun and were collected. Its last date may be unfinished.

    Facts of other dates may be stored too, because a page of facts that was read may reach beyond the collected span. The facts of
    such a date are incomplete, so none of them counts.
    """
    first, after = _collected_dates(coverage, time_zone)
    start = max(period.start, first)
    return Period(start, max(start, min(period.end, after)), period.kind)


@lru_cache(maxsize=64)
def _collected_dates(coverage: Coverage, time_zone: str) -> tuple[date, date]:
    """Return the first collected local date, and the date after the last one. Thousands of periods need them."""
    return local_date(coverage.since, time_zone), local_date(coverage.until, time_zone) + ONE_DAY


def is_partial(period: Period, coverage: Coverage, time_zone: str) -> bool:
    """Return whether collection has not reached the end of the period, or began inside the period.

    A period that is over may be partial: if the collection of a night failed, its last days were not collected. They must not count
    as days without facts.
    """
    return coverage.until < start_of(period.end, time_zone) or coverage.since > start_of(period.start, time_zone)


class ByDate(Generic[T]):
    """Items sorted by local date. Items of the same date keep their order.

    `moment`: returns the time of an item, or None if the item must be left out.
    """

    def __init__(self, items: Iterable[T], moment: Callable[[T], datetime | None], time_zone: str) -> None:
        dated = [(local_date(when, time_zone), item) for item in items if (when := moment(item)) is not None]
        dated.sort(key=lambda pair: pair[0])
        self.dates = [day for day, _ in dated]
        self._items = [item for _, item in dated]

    def within(self, period: Period) -> Sequence[T]:
        return self._items[bisect_left(self.dates, period.start) : bisect_left(self.dates, period.end)]
