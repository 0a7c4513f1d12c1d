"""The bounds of a page in the order of events."""

from datetime import datetime, timedelta

import msgspec

from log_store.event import EPOCH, milliseconds
from log_store.store import LogQuery, of_position


class Bounds(msgspec.Struct, frozen=True):
    """Two places in the order of events, both exclusive. A place is a time in milliseconds and an id; the empty id sorts before all others."""

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
    """Return the first whole millisecond at or after `time`. Stored times have no microseconds, bounds may have them."""
    return -((EPOCH - time) // timedelta(milliseconds=1))
