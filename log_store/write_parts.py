"""Divide the events of a write into parts, one for each segment and hour. Both log stores count events by part."""

from collections.abc import Iterable
from datetime import datetime

from log_store.counts import HOUR, HOUR_MS, tally
from log_store.event import EPOCH, SEGMENT_DIGITS, LogEvent, milliseconds, segment_of
from log_store.store import Tally


class Part:
    """The events of a write that are in the same segment and hour. `events`: by time in milliseconds and id, so that each event is in it once."""

    __slots__ = ("events", "hour", "segment", "source")

    def __init__(self, source: str, hour: datetime, segment: str) -> None:
        self.source, self.hour, self.segment = source, hour, segment
        self.events: dict[tuple[int, str], LogEvent] = {}

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last time, in milliseconds."""
        return min(self.events)[0], max(self.events)[0]

    def tally(self) -> Tally:
        """Return the counts of the events in this part of the write."""
        lines = ((time, event.level, event.status) for (time, _), event in self.events.items())
        return tally(self.source, self.segment, self.hour, lines)


def parts_of(events: Iterable[LogEvent]) -> list[Part]:
    parts: dict[tuple[str, int, str], Part] = {}
    source, hour, prefix = "", -1, ""
    part: Part | None = None
    for event in events:
        time, event_id = milliseconds(event.time), event.event_id
        # Most events are in the same part as the event before them. For these, the part is not looked up.
        if part is None or time // HOUR_MS != hour or event_id[:-SEGMENT_DIGITS] != prefix or event.source != source:
            source, hour, prefix = key = event.source, time // HOUR_MS, segment_of(event_id)
            part = parts.get(key)
            if part is None:
                part = parts[key] = Part(source, EPOCH + hour * HOUR, prefix)
        part.events[time, event_id] = event
    return list(parts.values())
