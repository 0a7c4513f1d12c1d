"""Where log events are kept: one small interface, Cassandra where it is configured, a SQL table else."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from log_store.event import LogEvent, milliseconds, of_milliseconds

# From the least to the worst; an event whose level nobody knows comes only where every level is asked for, or "unknown" itself.
LEVELS = ("debug", "info", "warning", "error", "critical")
SERVER_ERROR = 500
# One search reads at most so many events, a second or so; the next one goes on from there.
MOST_SCANNED = 100_000
# Put behind an id, it makes what comes after that id in every store's order, and before those of other lines: digits are hexadecimal.
BEHIND_ID = "g"


class LogStoreUnavailable(Exception):
    """The log store did not answer, or not well: what was asked may or may not be done, so it is done again."""


class LogQuery(msgspec.Struct, frozen=True):
    """Which events: from `start`, included, to `end`, excluded; aware times, kept to the millisecond.

    `levels`: any of them, every one if empty. `contains`: a text in the message, the path or the trace id, whatever its case.
    """

    source: str
    start: datetime
    end: datetime
    levels: frozenset[str] = frozenset()
    contains: str = ""


class LogPage(msgspec.Struct, frozen=True):
    """Some events in order, and where to go on: `following` is empty when there are no more.

    A search may end before it has filled its page, so that one request never reads without bound; it goes on from `following`.
    """

    events: Sequence[LogEvent]
    following: str


class Tally(msgspec.Struct, frozen=True):
    """What the log store holds of one segment of a file within one hour, after a write to it.

    `minutes`: minute of the hour to its events and, of these, the errors (level error or worse, or HTTP 5xx).
    """

    source: str
    segment: str
    hour: datetime
    levels: Mapping[str, int]
    minutes: Mapping[int, tuple[int, int]]


class LogStore(Protocol):
    """Every method raises LogStoreUnavailable when the store cannot be reached."""

    def ensure_schema(self) -> None:
        """Create what is missing and bring what is old up to date; nothing happens when all is as it should be."""

    def write(self, events: Sequence[LogEvent]) -> list[Tally]:
        """Keep the events; one that is already kept is not kept twice. After an error some of them may be kept.

        Answers what each segment and hour written to now holds in all, whatever was there before.
        """

    def write_each(self, pages: Iterable[Sequence[LogEvent]]) -> Iterator[list[Tally]]:
        """As `write`, page by page and in their order; the next one may have begun before one is done.

        The pages are taken in the caller's thread, a few ahead of what has been answered.
        """

    def read(self, query: LogQuery, *, after: str = "", limit: int = 100, oldest_first: bool = False) -> LogPage:
        """The newest first; events of one millisecond by their id, downwards too. `after`: go on behind this `position`."""

    def count(self, source: str, start: datetime, end: datetime) -> int: ...

    def counts(self, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
        """Events by hour (its beginning) and level, of every hour that begins in the period: read from a table of sums."""

    def forget(self, source: str) -> Iterator[int]:
        """Delete all events of a source, in bounded batches: each item is how many events, or parts of files, have gone.

        Whoever stops in between, or is killed, goes on by calling it again.
        """

    def ping(self) -> None:
        """Return if the store answers."""


def level_or_worse(level: str) -> frozenset[str]:
    """Raises ValueError for a level that there is not."""
    return frozenset({level}) if level == "unknown" else frozenset(LEVELS[LEVELS.index(level) :])


def position(event: LogEvent) -> str:
    """Where an event stands among those of its source: what `read` goes on after."""
    return f"{milliseconds(event.time)}-{event.event_id}"


def of_position(position: str) -> tuple[datetime, str]:
    """The time and the id in it. Raises ValueError for a text that is none."""
    time, _, event_id = position.partition("-")
    if not event_id or not time.isdecimal() or len(time) > 14:
        raise ValueError(f"{position!r} is no position in a log")
    return of_milliseconds(int(time)), event_id


def is_wanted(event: LogEvent, query: LogQuery) -> bool:
    """Whether its level and text are asked for; in one place, so that every store means the same by a text."""
    if query.levels and event.level not in query.levels:
        return False
    text = query.contains.casefold()
    return not text or any(text in value.casefold() for value in (event.message, event.path, event.trace_id))


def filled(events: Iterable[LogEvent], query: LogQuery, *, limit: int) -> LogPage:
    """The first page of those wanted among a source's events of the period, which come in order; for both stores."""
    found: list[LogEvent] = []
    for number, event in enumerate(events, start=1):
        if is_wanted(event, query):
            if len(found) >= limit:
                return LogPage(found, position(found[-1]) if found else "")
            found.append(event)
        if number == MOST_SCANNED:
            return LogPage(found, position(event))
    return LogPage(found, "")


def is_bad(level: str, status: int | None) -> bool:
    """Whether an event of that level and HTTP status is an error, as docs/metrics.md counts them, "Incidents from logs"."""
    return level in ("error", "critical") or (status is not None and status >= SERVER_ERROR)


def event_at(store: LogStore, source: str, place: str) -> LogEvent | None:
    """The event at a position, if the store still has it."""
    time, event_id = of_position(place)
    # From just behind it: of a log without times, all events may be of one millisecond.
    following = place + BEHIND_ID
    while True:
        page = store.read(LogQuery(source, time, time + timedelta(milliseconds=1)), after=following, limit=100)
        found = next((event for event in page.events if event.event_id == event_id), None)
        following = page.following
        if found or not following:
            return found


def around(store: LogStore, event: LogEvent, *, before: int = 20, after: int = 20, within: timedelta = timedelta(days=1)) -> list[LogEvent]:
    """The events about it in its source, the oldest first, itself among them."""
    older = store.read(LogQuery(event.source, event.time - within, event.time + timedelta(milliseconds=1)), after=position(event), limit=before)
    newer = store.read(LogQuery(event.source, event.time, event.time + within), after=position(event), limit=after, oldest_first=True)
    return [*reversed(older.events), event, *newer.events]
