"""Days, ISO weeks and months of local dates, and which of their days were collected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from dora_metrics.calculators.facts import Coverage

KINDS = ("day", "week", "month")
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    start: date
    end: date  # exclusive
    kind: str

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end

    @property
    def days(self) -> int:
        return (self.end - self.start).days


def period_of_date(day: date, kind: str) -> Period:
    """The day, ISO week (from Monday) or month of a local date. Raises ValueError for another kind."""
    match kind:
        case "day":
            return Period(day, day + ONE_DAY, kind)
        case "week":
            monday = day - timedelta(days=day.weekday())
            return Period(monday, monday + 7 * ONE_DAY, kind)
        case "month":
            first = day.replace(day=1)
            return Period(first, (first + timedelta(days=32)).replace(day=1), kind)
    raise ValueError(f"{kind!r} is no period: day, week or month")


def periods_between(start: date, end: date, kind: str) -> Iterator[Period]:
    """Every whole period that overlaps [start, end)."""
    period = period_of_date(start, kind)
    while period.start < end:
        yield period
        period = period_of_date(period.end, kind)


def local_date(instant: datetime, time_zone: str) -> date:
    """An instant belongs to the period of its local date. Raises ValueError for a naive one."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone")
    return instant.astimezone(ZoneInfo(time_zone)).date()


def start_of(day: date, time_zone: str) -> datetime:
    """The day's first instant. A day may have 23 or 25 hours: its ends come from the zone, never from adding 24."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def joined(spans: Sequence[Coverage | None]) -> Coverage | None:
    """Where all of them were collected; None if one was not."""
    if not spans or any(span is None for span in spans):
        return None
    present = [span for span in spans if span is not None]
    since, until = max(span.since for span in present), min(span.until for span in present)
    return Coverage(since, until) if since <= until else None


def collected_part(period: Period, coverage: Coverage, time_zone: str) -> Period:
    """The local dates of the period that have begun and were collected; the last, unfinished one included.

    Facts from outside it may be stored as well (a page holds what it holds): they are not all, so none is counted.
    """
    start = max(period.start, local_date(coverage.since, time_zone))
    end = min(period.end, local_date(coverage.until, time_zone) + ONE_DAY)
    return Period(start, max(start, end), period.kind)


def is_partial(period: Period, coverage: Coverage, time_zone: str) -> bool:
    """While it runs, or where collection began inside it.

    "Runs" until collection has passed its end: a night that failed leaves its days open, not empty.
    """
    return coverage.until < start_of(period.end, time_zone) or coverage.since > start_of(period.start, time_zone)
