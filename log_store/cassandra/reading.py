"""Read the events of a period in order from the partitions of the table `log`, and the counts of events from the table `parts`."""

import heapq
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
from cassandra.cluster import Session

from log_store.cassandra.connection import READING, connection, in_flight
from log_store.cassandra.schema import keyspace
from log_store.counts import day_of, hour_of, tally
from log_store.event import LogEvent, milliseconds, of_milliseconds
from log_store.paging import Bounds
from log_store.store import LogQuery, Tally

PAGE_ROWS = 1000
COUNTING_PAGE_ROWS = 10_000
FIELDS = ("level", "service", "host", "logger", "message", "method", "path", "status", "duration_ms", "trace_id", "extra")
SELECTED = ", ".join(("time", "event_id", *(f"event.{name}" for name in FIELDS)))
INDEX = "SELECT hour, segment, spans, counted, levels, writetime(levels) FROM {keyspace}.parts WHERE source = ? AND day = ?"
# These texts contain no user input, so it is safe to build statements from them (ruff's rule S608).
OF_PARTITION = "FROM {keyspace}.log WHERE source = ? AND hour = ? AND segment = ?"
BETWEEN = "AND (time, event_id) > (?, ?) AND (time, event_id) < (?, ?)"


class IndexRow(msgspec.Struct, frozen=True):
    """A row of `parts`, which describes one partition of `log`.

    `marks`: the marks of the writes to it; a mark is a digest that identifies a write (writing.py). `first`, `last`: the first and the last time
    of the events in these writes, in milliseconds.
    """

    source: str
    hour: datetime
    segment: str
    marks: frozenset[bytes]
    first: int
    last: int
    levels: dict[str, int] | None
    """The number of events by level; None if the events of one of these writes are not counted yet."""
    counted_us: int
    """The timestamp of `levels` in microseconds; 0 if they were never written."""


def scan(session: Session, query: LogQuery, bounds: Bounds, *, oldest_first: bool, page_rows: int) -> Iterator[LogEvent]:
    """Yield the events between the bounds in order. Pages of `page_rows` rows are read when they are needed.

    A partition is skipped if its counts show that it has no events of the query's levels.
    """
    first, last = of_milliseconds(bounds.low[0]), of_milliseconds(bounds.high[0])
    for day in sorted(_days(session, query.source, first, last), reverse=not oldest_first):
        rows = [row for row in index_rows(session, query.source, day, hour_of(first), last) if _may_have(row, query, bounds)]
        rows.sort(key=attrgetter("hour"), reverse=not oldest_first)
        for _, rows_of_hour in groupby(rows, key=attrgetter("hour")):
            yield from _merged(session, list(rows_of_hour), bounds, oldest_first=oldest_first, page_rows=page_rows)


def count(session: Session, source: str, bounds: Bounds) -> int:
    """Return the number of events between the bounds.

    For a partition that lies completely between the bounds and has counts, the counts are used. In other partitions, the events are counted.
    """
    query = connection.prepare(f"SELECT count(*) {OF_PARTITION.format(keyspace=keyspace())} {BETWEEN}")
    first, last = of_milliseconds(bounds.low[0]), of_milliseconds(bounds.high[0])
    counted, queries = 0, []
    for day in _days(session, source, first, last):
        for row in index_rows(session, source, day, hour_of(first), last):
            if row.levels is not None and bounds.low <= (row.first, "") and (row.last + 1, "") <= bounds.high:
                counted += sum(row.levels.values())
            elif _overlaps(row, bounds):
                queries.append(query.bind(_values(row, bounds)))
    return counted + sum(result.one()[0] for result in in_flight(session, queries, profile=READING))


def counts(session: Session, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
    """Return the number of events by hour and level, for the hours that start in the period."""
    found: Counter[tuple[datetime, str]] = Counter()
    for day in _days(session, source, start, end):
        for row in index_rows(session, source, day, start, end):
            if row.hour < end:
                levels = tally_of(session, source, row.hour, row.segment).levels if row.levels is None else row.levels
                found.update({(row.hour, level): events for level, events in levels.items()})
    return dict(found)


def minute_counts(session: Session, source: str, bounds: Bounds) -> dict[tuple[datetime, str], int]:
    """Count the events between the bounds by minute and level, by reading them."""
    query = connection.prepare(f"SELECT time, event.level {OF_PARTITION.format(keyspace=keyspace())} {BETWEEN}")
    query.fetch_size = COUNTING_PAGE_ROWS
    first, last = of_milliseconds(bounds.low[0]), of_milliseconds(bounds.high[0])
    found: Counter[tuple[datetime, str]] = Counter()
    for day in _days(session, source, first, last):
        for row in index_rows(session, source, day, hour_of(first), last):
            if _overlaps(row, bounds):
                events = session.execute(query.bind(_values(row, bounds)), execution_profile=READING)
                found.update((_aware(time).replace(second=0, microsecond=0), level) for time, level in events)
    return dict(found)


def tally_of(session: Session, source: str, hour: datetime, segment: str) -> Tally:
    """Count the events of a partition by reading them."""
    query = connection.prepare(f"SELECT time, event.level, event.status {OF_PARTITION.format(keyspace=keyspace())}")
    query.fetch_size = COUNTING_PAGE_ROWS
    rows = session.execute(query.bind((source, hour, segment)), execution_profile=READING)
    return tally(source, segment, hour, ((milliseconds(_aware(time)), level, status) for time, level, status in rows))


def index_row(source: str, row: tuple[Any, ...]) -> IndexRow:
    hour, segment, spans, counted, levels, counted_us = row
    spans = spans or {}
    return IndexRow(
        source=source,
        hour=_aware(hour),
        segment=segment,
        marks=frozenset(spans),
        first=min((milliseconds(_aware(first)) for first, _ in spans.values()), default=0),
        last=max((milliseconds(_aware(last)) for _, last in spans.values()), default=-1),
        levels=dict(levels or {}) if counted and set(spans) <= set(counted) else None,
        counted_us=counted_us or 0,
    )


def index_rows(session: Session, source: str, day: datetime, first: datetime, last: datetime) -> list[IndexRow]:
    """Return the rows of `parts` for the partitions of a day with hours from `first` to `last` (both inclusive)."""
    query = connection.prepare(f"{INDEX.format(keyspace=keyspace())} AND hour >= ? AND hour <= ?")
    return [index_row(source, row) for row in session.execute(query.bind((source, day, first, last)), execution_profile=READING)]


def all_days(session: Session, source: str) -> list[datetime]:
    """Return the days that have events, oldest first."""
    query = connection.prepare(f"SELECT day FROM {keyspace()}.days WHERE source = ? ORDER BY day ASC")  # noqa: S608 (no user input)
    return [_aware(day) for (day,) in session.execute(query.bind((source,)), execution_profile=READING)]


def _days(session: Session, source: str, first: datetime, last: datetime) -> list[datetime]:
    """Return the days from `first` to `last` that have events."""
    query = connection.prepare(f"SELECT day FROM {keyspace()}.days WHERE source = ? AND day >= ? AND day <= ?")  # noqa: S608 (no user input)
    return [_aware(day) for (day,) in session.execute(query.bind((source, day_of(first), last)), execution_profile=READING)]


def _overlaps(row: IndexRow, bounds: Bounds) -> bool:
    return bounds.low[0] <= row.last and row.first <= bounds.high[0]


def _may_have(row: IndexRow, query: LogQuery, bounds: Bounds) -> bool:
    return _overlaps(row, bounds) and (not query.levels or row.levels is None or not query.levels.isdisjoint(row.levels))


class _Head:
    """The next event of a partition, and an iterator over the events after it."""

    __slots__ = ("event", "is_later_first", "place", "rest")

    def __init__(self, event: LogEvent, rest: Iterator[LogEvent], *, is_later_first: bool) -> None:
        self.event, self.rest, self.is_later_first = event, rest, is_later_first
        self.place = milliseconds(event.time), event.event_id

    def __lt__(self, other: "_Head") -> bool:
        return self.place > other.place if self.is_later_first else self.place < other.place


def _merged(session: Session, rows: list[IndexRow], bounds: Bounds, *, oldest_first: bool, page_rows: int) -> Iterator[LogEvent]:
    """Merge the events of several partitions in order. A partition is read only when one of its events may be the next to be yielded."""
    rows.sort(key=(lambda row: -row.first) if oldest_first else attrgetter("last"))  # the next partition is the last item
    heads: list[_Head] = []
    while heads or rows:
        while rows and (not heads or (rows[-1].first <= heads[0].place[0] if oldest_first else rows[-1].last >= heads[0].place[0])):
            _push(heads, _events(session, rows.pop(), bounds, oldest_first=oldest_first, page_rows=page_rows), is_later_first=not oldest_first)
        if heads:
            head = heapq.heappop(heads)
            yield head.event
            _push(heads, head.rest, is_later_first=not oldest_first)


def _push(heads: list[_Head], rest: Iterator[LogEvent], *, is_later_first: bool) -> None:
    event = next(rest, None)
    if event is not None:
        heapq.heappush(heads, _Head(event, rest, is_later_first=is_later_first))


def _events(session: Session, row: IndexRow, bounds: Bounds, *, oldest_first: bool, page_rows: int) -> Iterator[LogEvent]:
    order = "ORDER BY time ASC, event_id ASC" if oldest_first else ""
    query = connection.prepare(f"SELECT {SELECTED} {OF_PARTITION.format(keyspace=keyspace())} {BETWEEN} {order}")
    statement = query.bind(_values(row, bounds))
    statement.fetch_size = page_rows
    # The driver requests each page when the previous one has been read.
    return (_event(row.source, columns) for columns in session.execute(statement, execution_profile=READING))


def _values(row: IndexRow, bounds: Bounds) -> tuple[Any, ...]:
    (low, low_id), (high, high_id) = bounds.low, bounds.high
    return row.source, row.hour, row.segment, of_milliseconds(low), low_id, of_milliseconds(high), high_id


def _event(source: str, row: tuple[Any, ...]) -> LogEvent:
    """Return the event that a row contains. `row`: the values of the columns in SELECTED, in this order."""
    time, event_id, level, service, host, logger, message, method, path, status, duration_ms, trace_id, extra = row
    return LogEvent(
        event_id=event_id,
        source=source,
        time=_aware(time),
        level=level,
        service=service or "",
        host=host or "",
        logger=logger or "",
        message=message or "",
        method=method or "",
        path=path or "",
        status=status,
        duration_ms=duration_ms,
        trace_id=trace_id or "",
        extra=dict(extra or {}),
    )


def _aware(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC)
