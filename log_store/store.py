"""The interface of the log store, and what both of its implementations share: queries, pages, positions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from log_store.event import LogEvent, milliseconds, of_milliseconds

# From least to most severe. Events of level "unknown" are returned only for a query of all levels, or of "unknown" itself.
LEVELS = ("debug", "info", "warning", "error", "critical")
SERVER_ERROR = 500
# The most events that one read examines, which takes about a second. The next read continues after them.
MOST_SCANNED = 100_000
# If this letter is appended to an id, the text sorts after this id and before all later ids, because ids consist of hexadecimal digits. If it is
# appended to a segment, the text sorts after all ids of the segment. Both stores sort in this way.
AFTER_ID = "g"


class LogStoreUnavailable(Exception):
    """The log store did not answer, or answered with an error. It is not known whether a write or deletion was done, so it must be repeated."""


class LogQuery(msgspec.Struct, frozen=True):
    """A query for the events of a source from `start` (inclusive) to `end` (exclusive), which are aware times with a precision of a millisecond.

    `levels`: events of these levels; of all levels if it is empty. `contains`: events with this text in the message, the path or the trace id;
    case is ignored.
    """

    source: str
    start: datetime
    end: datetime
    levels: frozenset[str] = frozenset()
    contains: str = ""


class LogPage(msgspec.Struct, frozen=True):
    """Events in order. `following`: the position after which the next page begins; empty if there are no more events.

    A page may have fewer events than the limit and still have a `following`: a search examines at most MOST_SCANNED events.
    """

    events: Sequence[LogEvent]
    following: str


class Tally(msgspec.Struct, frozen=True):
    """The counts of all stored events of one segment of a file within one hour, after a write.

    `minutes`: for each minute of the hour, the number of events and the number of errors among them (level error or worse, or HTTP 5xx).
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
        """Store the events, and return the new totals of each segment and hour.

        An event that is already stored is not stored twice. After an error, some of the events may be stored.
        """

    def write_each(self, pages: Iterable[Sequence[LogEvent]]) -> Iterator[list[Tally]]:
        """Write the pages, and yield the totals of each page in order. Several pages may be written at the same time.

        The pages are taken from the iterable in the caller's thread, a few pages before their totals are yielded.
        """

    def read(self, query: LogQuery, *, after: str = "", limit: int = 100, oldest_first: bool = False) -> LogPage:
        """Return events ordered by time and id, newest first unless `oldest_first`. `after`: the position after which the page begins."""

    def count(self, source: str, start: datetime, end: datetime) -> int: ...

    def counts(self, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
        """Return the number of events for each hour (its start) and level. Every hour that starts in the period is included as a whole.

        The numbers are read from a table of counts.
        """

    def minute_counts(self, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
        """Return the number of events for each minute (its start) and level. Only events from `start` to `end` (exclusive) are counted.

        The events are counted one by one, so look at `counts` first if there may be many.
        """

    def forget(self, source: str) -> Iterator[int]:
        """Delete all events of a source in batches. After each batch, yield how many rows (SQL) or partitions (Cassandra) were deleted.

        After an interruption, call it again to delete the rest.
        """

    def expire(self, before: datetime) -> Iterator[int]:
        """Delete the events and counts of all hours that ended before this time, in batches. After each batch, yield how many events were deleted.

        Does nothing in Cassandra, which deletes events itself by their time to live.
        """

    def expired(self, before: datetime) -> int:
        """Return how many events `expire` would delete."""

    def missing_schema_steps(self) -> int:
        """Return how many steps `ensure_schema` would take; a negative number if the tables are of a later version than this code knows."""

    def ping(self) -> None:
        """Check that the store answers."""


def level_or_worse(level: str) -> frozenset[str]:
    """Return this level and the more severe ones. Raises ValueError for an unknown level."""
    return frozenset({level}) if level == "unknown" else frozenset(LEVELS[LEVELS.index(level) :])


def position(event: LogEvent) -> str:
    """Return the position of an event among the events of its source. `read` accepts it as `after`."""
    return f"{milliseconds(event.time)}-{event.event_id}"


def of_position(position: str) -> tuple[datetime, str]:
    """Return the time and the id of a position. Raises ValueError for a text that is not a position."""
    time, _, event_id = position.partition("-")
    if not event_id or not time.isdecimal() or len(time) > 14:
        raise ValueError(f"{position!r} is not a position in a log")
    return of_milliseconds(int(time)), event_id


def matches(event: LogEvent, query: LogQuery) -> bool:
    """Return whether an event matches the query's levels and text. Both stores use this function, so that they find the same texts."""
    if query.levels and event.level not in query.levels:
        return False
    text = query.contains.casefold()
    return not text or any(text in value.casefold() for value in (event.message, event.path, event.trace_id))


def filled(events: Iterable[LogEvent], query: LogQuery, *, limit: int) -> LogPage:
    """Return the first page of events that match the query. `events`: all events of the query's period, in order."""
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
    """Return the event at a position, if the store still has it. Raises ValueError for a text that is not a position."""
    time, event_id = of_position(event_position)
    # Read newest first, from just after the position, so that the event is the first one. In a log without times, all events may have the same
    # millisecond, so reading this millisecond from its beginning could take long.
    following = event_position + AFTER_ID
    while True:
        page = store.read(LogQuery(source, time, time + timedelta(milliseconds=1)), after=following, limit=100)
        found = next((event for event in page.events if event.event_id == event_id), None)
        following = page.following
        if found or not following:
            return found


def around(store: LogStore, event: LogEvent, *, before: int = 20, after: int = 20, within: timedelta = timedelta(days=1)) -> list[LogEvent]:
    """Return the event with its neighbours in the same source, oldest first.

    These are at most `before` older and `after` newer events, whose times differ from the event's by at most `within`.
    """
    older = store.read(LogQuery(event.source, event.time - within, event.time + timedelta(milliseconds=1)), after=position(event), limit=before)
    newer = store.read(LogQuery(event.source, event.time, event.time + within), after=position(event), limit=after, oldest_first=True)
    return [*reversed(older.events), event, *newer.events]
