"""The bounds between which a page of events lies."""

from datetime import datetime, timedelta

import msgspec

from log_store.event import EPOCH, milliseconds
from log_store.store import LogQuery, of_position


class Bounds(msgspec.Struct, frozen=True):
    """The events after the place `low` and before the place `high`, in the order of time and id.

    A place is a time in milliseconds and an id. The empty id comes before all other ids, so a place with it is before all events of its time.
    """

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
    """Return the first whole millisecond at or after `time`, in milliseconds since the epoch. `time` may have microseconds."""
    return -((EPOCH - time) // timedelta(milliseconds=1))
