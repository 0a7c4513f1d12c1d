"""Count log events, and round times down to the hours and days by which events are counted."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from log_store.event import EPOCH
from log_store.store import Tally, is_bad

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


def tally(source: str, segment: str, hour: datetime, lines: Iterable[tuple[int, str, int | None]]) -> Tally:
    """Count the events of one segment (a mebibyte of a log file) and hour.

    `lines`: the time in milliseconds, the level and the HTTP status of each event.
    """
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
