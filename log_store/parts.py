"""What both log stores divide, bound and count by: parts of a write, places in the order of events, sums."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from log_store.event import EPOCH, SEGMENT_DIGITS, LogEvent, has_offset, milliseconds, segment_of
from log_store.store import LogQuery, Tally, is_bad, of_position

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


class Bounds(msgspec.Struct, frozen=True):
    """Between two places, both excluded; a place is a time in milliseconds and an id, and every id lies behind the empty one."""

    low: tuple[int, str]
    high: tuple[int, str]

    @classmethod
    def of(cls, query: LogQuery, after: str, *, oldest_first: bool) -> "Bounds":
        low, high = (ceiling(query.start), ""), (ceiling(query.end), "")
        if after:
            time, event_id = of_position(after)
            place = milliseconds(time), event_id
            low, high = (max(low, place), high) if oldest_first else (low, min(high, place))
        return cls(low, high)


class Part:
    """The events of a write that lie in one segment and hour; each once, by its time in milliseconds and its id."""

    __slots__ = ("events", "hour", "segment", "source")

    def __init__(self, source: str, hour: datetime, segment: str) -> None:
        self.source, self.hour, self.segment = source, hour, segment
        self.events: dict[tuple[int, str], LogEvent] = {}

    @property
    def span(self) -> tuple[int, int]:
        """Its first and its last time."""
        return min(self.events)[0], max(self.events)[0]

    def tally(self) -> Tally:
        """What the part itself holds."""
        lines = ((time, event.level, event.status) for (time, _), event in self.events.items())
        return tally(self.source, self.segment, self.hour, lines)


def parts_of(events: Iterable[LogEvent]) -> list[Part]:
    parts: dict[tuple[str, int, str], Part] = {}
    source, hour, prefix = "", -1, ""
    part: Part | None = None
    for event in events:
        time, event_id = milliseconds(event.time), event.event_id
        # Most events lie in the part of the one before.
        if part is None or time // HOUR_MS != hour or event_id[:-SEGMENT_DIGITS] != prefix or event.source != source:
            source, hour, prefix = key = event.source, time // HOUR_MS, segment_of(event_id)
            found = parts.get(key)
            if found is None:
                found = parts[key] = Part(source, EPOCH + hour * HOUR, prefix)
            found.events[time, event_id] = event
            # Of a segment that no id begins with, each event is asked for its own.
            part = found if has_offset(prefix) else None
        else:
            part.events[time, event_id] = event
    return list(parts.values())


def tally(source: str, segment: str, hour: datetime, lines: Iterable[tuple[int, str, int | None]]) -> Tally:
    """`lines`: of each event its time in milliseconds, its level and its HTTP status."""
    levels: Counter[str] = Counter()
    minutes: dict[int, tuple[int, int]] = {}
    for (time, level, status), events in Counter((time // MINUTE_MS, level, status) for time, level, status in lines).items():
        levels[level] += events
        before, errors = minutes.get(time % 60, (0, 0))
        minutes[time % 60] = (before + events, errors + events * is_bad(level, status))
    return Tally(source=source, segment=segment, hour=hour, levels=dict(levels), minutes=minutes)


def hour_of(time: datetime) -> datetime:
    return EPOCH + (time - EPOCH) // HOUR * HOUR


def day_of(time: datetime) -> datetime:
    return EPOCH + (time - EPOCH) // DAY * DAY


def ceiling(time: datetime) -> int:
    """The first millisecond not before `time`: what a bound with microseconds means for times that have none."""
    return -((EPOCH - time) // timedelta(milliseconds=1))
