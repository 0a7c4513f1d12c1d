"""The bounds of a page in the order of events."""

from datetime import datetime, timedelta

import msgspec

from log_store.event import EPOCH, milliseconds
from log_store.store import LogQuery, of_position


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


def ceiling(time: datetime) -> int:
    """The first millisecond not before `time`: what a bound with microseconds means for times that have none."""
    return -((EPOCH - time) // timedelta(milliseconds=1))
