"""A log event, the same for all formats, and its id.

An id consists of the file's key and the offset of the event's first byte. So reading a line again gives the same id, events of one
file sort by their place in it, and all events that begin in the same mebibyte of a file (a segment) share a prefix.
"""

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec

KEY_LENGTH = 16
SEGMENT_DIGITS = 5
SEGMENT_BYTES = 16**SEGMENT_DIGITS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000


class LogEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`time`: aware UTC, cut to the millisecond, the precision of both log stores.

    `level`: debug, info, warning, error, critical or unknown. A missing text is empty; no text contains NUL.
    `service`: as written in the line; empty for the service of the source. `extra`: the other values of the line, and marks:
    "unparsed" (why it is not in its format), "time_is" ("inferred", "ambiguous", "impossible" or "future"), "cut" (how many
    bytes were left out), and "deploy.sha", "deploy.environment", "deploy.state" of a deployment.
    """

    event_id: str
    source: str
    time: datetime
    level: str
    service: str = ""
    host: str = ""
    logger: str = ""
    message: str = ""
    method: str = ""
    path: str = ""
    status: int | None = None
    duration_ms: float | None = None
    trace_id: str = ""
    extra: dict[str, str] = {}


def file_key(source_id: int, identity: str) -> str:
    """Return the key of a source's file. It includes the source: two sources may follow one file, and inodes repeat on other machines."""
    return hashlib.blake2b(f"{source_id}:{identity}".encode(), digest_size=KEY_LENGTH // 2).hexdigest()


def event_id(key: str, offset: int) -> str:
    """Return the id of the event that begins at `offset`. Twelve hexadecimal digits are enough for files of up to 256 TiB."""
    return f"{key}{offset:012x}"


def segment_of(event_id: str) -> str:
    """Return the segment of an event: the mebibyte of the file that it begins in."""
    return event_id[:-SEGMENT_DIGITS]


def to_millisecond(time: datetime) -> datetime:
    """Cut a time to the millisecond, the precision of Cassandra's timestamps. So an event reads as it was written."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def milliseconds(time: datetime) -> int:
    """Return the whole milliseconds since the epoch, rounded down. Computed with integers, because floats are not exact in every year."""
    since = time - EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def of_milliseconds(time: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time)
