"""The interface of the log store, and what both of its implementations share: queries, pages, positions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from log_store.event import LogEvent, milliseconds, of_milliseconds

# From least to most severe. Events of level "unknown" are returned only for a query of all levels, or of "unknown" itself.
LEVELS = ("debug", "info", "warning", "error", "critical")
SERVER_ERROR = 500
# The most events that one read examines, which takes about a second. The next read continues from there.
MOST_SCANNED = 100_000
# Appended to an id, it sorts after that id and before all others in both stores, because ids are hexadecimal digits.
AFTER_ID = "g"


class LogStoreUnavailable(Exception):
    """The log store did not answer, or with an error. The operation may have been done or not, so it is repeated."""


class LogQuery(msgspec.Struct, frozen=True):
    """Events from `start` (inclusive) to `end` (exclusive), aware times with a precision of a millisecond.

    `levels`: any of these, or all if empty. `contains`: a text in the message, the path or the trace id; case is ignored.
    """

    source: str
    start: datetime
    end: datetime
    levels: frozenset[str] = frozenset()
    contains: str = ""


class LogPage(msgspec.Struct, frozen=True):
    """Events in order. `following`: the position to continue after; empty if there are no more events.

    A page may have fewer events than the limit and still have a `following`: a search examines at most MOST_SCANNED events.
    """

    events: Sequence[LogEvent]
    following: str


class Tally(msgspec.Struct, frozen=True):
    """The counts of all stored events of one segment of a file within one hour, after a write.

    `minutes`: by minute of the hour, the number of events and of errors among them (level error or worse, or HTTP 5xx).
    """

    source: str
    segment: str
    hour: datetime
    levels: Mapping[str, int]
    minutes: Mapping[int, tuple[int, int]]


class LogStore(Protocol):
    """Every method raises LogStoreUnavailable when the store cannot be reached."""

    def ensure_schema(self) -> None:
        """Create or upgrade the schema. Does nothing if it is up to date."""

    def write(self, events: Sequence[LogEvent]) -> list[Tally]:
        """Store the events; an event that is already stored is not stored twice. After an error, some of them may be stored.

        Returns the new totals per segment and hour.
        """

    def write_each(self, pages: Iterable[Sequence[LogEvent]]) -> Iterator[list[Tally]]:
        """Write page after page, and yield the totals of each in order. Pages may be written at the same time.

        The pages are consumed in the caller's thread, a few ahead of the totals.
        """

    def read(self, query: LogQuery, *, after: str = "", limit: int = 100, oldest_first: bool = False) -> LogPage:
        """Return events by time and id, newest first. `after`: the position of the event to continue after."""

    def count(self, source: str, start: datetime, end: datetime) -> int: ...

    def counts(self, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
        """Return the number of events by hour (its start) and level, for every hour that starts in the period. Reads a table of counts."""

    def forget(self, source: str) -> Iterator[int]:
        """Delete all events of a source in batches, and yield the number of deleted events, or parts of files, of each.

        After an interruption, call it again to delete the rest.
        """

    def ping(self) -> None:
        """Return if the store answers."""


def level_or_worse(level: str) -> frozenset[str]:
    """Return this level and the more severe ones. Raises ValueError for an unknown level."""
    return frozenset({level}) if level == "unknown" else frozenset(LEVELS[LEVELS.index(level) :])


def position(event: LogEvent) -> str:
    """Return the place of an event in the order of its source, as `read` takes it in `after`."""
    return f"{milliseconds(event.time)}-{event.event_id}"


def of_position(position: str) -> tuple[datetime, str]:
    """Return the time and the id of a position. Raises ValueError for any other text."""
    time, _, event_id = position.partition("-")
    if not event_id or not time.isdecimal() or len(time) > 14:
        raise ValueError(f"{position!r} is no position in a log")
    return of_milliseconds(int(time)), event_id


def matches(event: LogEvent, query: LogQuery) -> bool:
    """Return whether an event matches the query's levels and text. Both stores use it, so that they match texts equally."""
    if query.levels and event.level not in query.levels:
        return False
    text = query.contains.casefold()
    return not text or any(text in value.casefold() for value in (event.message, event.path, event.trace_id))


def filled(events: Iterable[LogEvent], query: LogQuery, *, limit: int) -> LogPage:
    """Return the first page of events that match the query. `events`: all of the period, in order."""
    found: list[LogEvent] = []
    for number, event in enumerate(events, start=1):
        if matches(event, query):
            if len(found) >= limit:
                return LogPage(found, position(found[-1]) if found else "")
            found.append(event)
        if number == MOST_SCANNED:
            return LogPage(found, position(event))
    return LogPage(found, "")


def is_bad(level: str, status: int | None) -> bool:
    """Return whether an event of that level and HTTP status counts as an error. Source: docs/metrics.md, "Incidents from logs"."""
    return level in ("error", "critical") or (status is not None and status >= SERVER_ERROR)


def event_at(store: LogStore, source: str, event_position: str) -> LogEvent | None:
    """Return the event at a position, if the store still has it. Raises ValueError for a text that is no position."""
    time, event_id = of_position(event_position)
    # Start just after it, newest first: in a log without times, all events may be in one millisecond.
    following = event_position + AFTER_ID
    while True:
        page = store.read(LogQuery(source, time, time + timedelta(milliseconds=1)), after=following, limit=100)
        found = next((event for event in page.events if event.event_id == event_id), None)
        following = page.following
        if found or not following:
            return found


def around(store: LogStore, event: LogEvent, *, before: int = 20, after: int = 20, within: timedelta = timedelta(days=1)) -> list[LogEvent]:
    """Return the event with its neighbours in the same source, oldest first."""
    older = store.read(LogQuery(event.source, event.time - within, event.time + timedelta(milliseconds=1)), after=position(event), limit=before)
    newer = store.read(LogQuery(event.source, event.time, event.time + within), after=position(event), limit=after, oldest_first=True)
    return [*reversed(older.events), event, *newer.events]
