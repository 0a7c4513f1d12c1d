"""A second implementation of periods and percentiles, from docs/metrics.md."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def local_date(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def periods(first: date, last: date) -> list[tuple[str, date, date]]:
    """Return kind, first day and the day after the last day, for each period that overlaps the days from `first` to `last`."""
    found = []
    day = first
    while day <= last:
        monday = day - timedelta(days=day.weekday())
        month = day.replace(day=1)
        for period in (
            ("day", day, day + timedelta(days=1)),
            ("week", monday, monday + timedelta(days=7)),
            ("month", month, (month + timedelta(days=31)).replace(day=1)),
        ):
            if period not in found:
                found.append(period)
        day += timedelta(days=1)
    return found


class Part:
    """The collected part of a period."""

    def __init__(self, kind: str, start: date, end: date, since: datetime, until: datetime, zone: ZoneInfo, now: datetime) -> None:
        self.kind, self.start, self.end, self.since, self.until, self.zone = kind, start, end, since, until, zone
        self.today = local_date(now, zone)
        self.first_collected, self.last_collected = local_date(since, zone), local_date(until, zone)
        self.is_partial = self.is_partly_collected(start, end)

    def is_partly_collected(self, start: date, end: date) -> bool:
        return self.until < self._midnight(end) or self.since > self._midnight(start)

    def _midnight(self, day: date) -> datetime:
        # In UTC: Python compares two times of one zone by their local time, which is wrong across a change of daylight saving time.
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)

    @property
    def days(self) -> list[date]:
        found, day = [], self.start
        while day < self.end:
            if self.first_collected <= day <= self.last_collected:
                found.append(day)
            day += timedelta(days=1)
        return found

    def date_of(self, moment: datetime) -> date:
        return local_date(moment, self.zone)

    def has(self, moment: datetime | None) -> bool:
        if moment is None:
            return False
        day = self.date_of(moment)
        return self.start <= day < self.end and self.first_collected <= day <= self.last_collected


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the percentile as SQL's PERCENTILE_CONT does."""
    if not values:
        return None
    in_order = sorted(values)
    rank = share * (len(in_order) - 1)
    below = int(rank)
    above = min(below + 1, len(in_order) - 1)
    return in_order[below] + (in_order[above] - in_order[below]) * (rank - below)
