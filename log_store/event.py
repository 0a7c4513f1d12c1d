"""A log event, which is the same for all formats, and its id.

An id consists of the key of the file and the offset of the event's first byte. So an event that is read again has the same id, the ids of a file
sort in the order of the events, and all ids of events that begin in the same mebibyte of a file (a segment) begin with the same characters.
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
    """An event. `time`: in UTC (aware), cut to the millisecond, which is the precision of both log stores.

    `level`: debug, info, warning, error, critical or unknown. A text is empty if the line does not have it; no text contains NUL.
    `service`: as written in the line; if it is empty, the service of the source is meant. `extra`: the other values of the line, and marks:
    "unparsed" (why the line is not in the format of its source), "time_is" ("inferred", "ambiguous", "impossible" or "future"), "cut" (how many
    bytes of the line were left out), and for a deployment "deploy.sha", "deploy.environment" and "deploy.state".
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
    """Return the key of a file that a source follows. `identity`: device, inode and generation of the file.

    The key is different for each source, because two sources may follow the same file, and files on two machines may have the same inode.
    """
    return hashlib.blake2b(f"{source_id}:{identity}".encode(), digest_size=KEY_LENGTH // 2).hexdigest()


def event_id(key: str, offset: int) -> str:
    """Return the id of the event that begins at `offset`. Twelve hexadecimal digits are enough for files of up to 256 TiB."""
    return f"{key}{offset:012x}"


def segment_of(event_id: str) -> str:
    """Return the segment of an event: the mebibyte of the file in which it begins, written as the beginning of the event's id."""
    return event_id[:-SEGMENT_DIGITS]


def to_millisecond(time: datetime) -> datetime:
    """Cut a time to the millisecond, the precision of Cassandra's timestamps. So an event that is read equals the event that was written."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def milliseconds(time: datetime) -> int:
    """Return the milliseconds since the epoch, rounded down. They are computed with integers, because floats are not exact in every year."""
    since = time - EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def of_milliseconds(time: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time)
