"""One log line, understood: the same shape whatever its format was."""

from datetime import datetime

import msgspec


class LogEvent(msgspec.Struct, frozen=True):
    """`time` is aware UTC cut to the millisecond, which is what every log store keeps.

    `level`: debug, info, warning, error, critical or unknown. Text without a value is empty; no text contains NUL.
    """

    event_id: str
    source: str
    time: datetime
    level: str
    host: str = ""
    logger: str = ""
    message: str = ""
    method: str = ""
    path: str = ""
    status: int | None = None
    duration_ms: float | None = None
    trace_id: str = ""
    extra: dict[str, str] = {}


def to_millisecond(time: datetime) -> datetime:
    """`time` without its microseconds: Cassandra's timestamp has none, and what is read must equal what was written."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
