"""Make log events for the stores, and compute from the list of events what the stores should return."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from log_store.event import LogEvent, event_id, file_key, segment_of
from log_store.store import LogQuery, LogStore, position

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def events(source: str, count: int, *, step: timedelta = SECOND, file: str = "a", line_bytes: int = 200, **fields: Any) -> list[LogEvent]:
    """Return the events of one file's lines. Each event is one `step` later than the one before."""
    key = file_key(1, f"{source}:{file}")
    return [
        LogEvent(event_id=event_id(key, number * line_bytes), source=source, time=START + number * step, **{"level": "info", **fields})
        for number in range(count)
    ]


def everything(source: str, **fields: Any) -> LogQuery:
    return LogQuery(source, START - timedelta(days=40), START + timedelta(days=40), **fields)


def in_order(wanted: Iterable[LogEvent], *, oldest_first: bool = False) -> list[LogEvent]:
    return sorted(wanted, key=lambda event: (event.time, event.event_id), reverse=not oldest_first)


def read_all(store: LogStore, query: LogQuery, *, limit: int = 1000, oldest_first: bool = False) -> list[LogEvent]:
    """Read page by page. Check that each page except the last one is full, unless the query filters by text or level."""
    found: list[LogEvent] = []
    following = ""
    while True:
        page = store.read(query, after=following, limit=limit, oldest_first=oldest_first)
        found += page.events
        if not page.following:
            return found
        assert page.following != following
        if not query.contains and not query.levels:
            assert len(page.events) == limit
            assert page.following == position(page.events[-1])
        following = page.following


def counted(held: Iterable[LogEvent]) -> dict[tuple[datetime, str], int]:
    return dict(Counter((event.time.replace(minute=0, second=0, microsecond=0), event.level) for event in held))


def tallied(held: Iterable[LogEvent]) -> dict[tuple[str, datetime], tuple[dict[str, int], dict[int, tuple[int, int]]]]:
    """Count the events one by one: map each segment and hour to its levels and its (events, errors) per minute."""
    found: dict[tuple[str, datetime], tuple[dict[str, int], dict[int, tuple[int, int]]]] = {}
    for event in held:
        levels, minutes = found.setdefault((segment_of(event.event_id), event.time.replace(minute=0, second=0, microsecond=0)), ({}, {}))
        levels[event.level] = levels.get(event.level, 0) + 1
        is_error = event.level in {"error", "critical"} or (event.status or 0) >= 500
        events, errors = minutes.get(event.time.minute, (0, 0))
        minutes[event.time.minute] = (events + 1, errors + is_error)
    return found
