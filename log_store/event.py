"""One log event: the same shape whatever its format was, and an id that says where it was written.

An id is the key of its file and the offset of its first byte there, so reading a line again makes the same id, two events
of one file compare as they follow each other, and all that begins in one mebibyte of a file (a segment) shares a prefix.
"""

import hashlib
import zlib
from datetime import UTC, datetime, timedelta

import msgspec

KEY_LENGTH = 16
OFFSET_DIGITS = 12  # hexadecimal: files of up to 256 TiB
SEGMENT_DIGITS = 5
SEGMENT_BYTES = 16**SEGMENT_DIGITS
FOREIGN, FOREIGN_SEGMENTS = "old-", 16

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000


class LogEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`time` is aware UTC cut to the millisecond, which is what every log store keeps.

    `level`: debug, info, warning, error, critical or unknown. Text without a value is empty; no text contains NUL.
    `service`: as the line itself says; empty for the service of its source. `extra`: the rest of the line, and marks:
    "unparsed" (why it is no event of its format), "time_is" ("inferred", "ambiguous", "impossible" or "future"),
    "cut" (how many bytes of it were left out), and "deploy.sha", "deploy.environment", "deploy.state" of a deployment.
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
    """Two sources may follow the same file, and two machines may have the same inode: the source is part of it."""
    return hashlib.blake2b(f"{source_id}:{identity}".encode(), digest_size=KEY_LENGTH // 2).hexdigest()


def event_id(key: str, offset: int) -> str:
    return f"{key}{offset:012x}"


def segment_of(event_id: str) -> str:
    """The mebibyte of the file that the event begins in.

    An id of another shape, as older releases made them, tells no offset: such events are spread over a few segments.
    """
    if len(event_id) == KEY_LENGTH + OFFSET_DIGITS:
        return event_id[:-SEGMENT_DIGITS]
    return f"{FOREIGN}{zlib.crc32(event_id.encode()) % FOREIGN_SEGMENTS:x}"


def has_offset(segment: str) -> bool:
    """Whether the ids of its events begin with it."""
    return not segment.startswith(FOREIGN)


def to_millisecond(time: datetime) -> datetime:
    """`time` without its microseconds: Cassandra's timestamp has none, and what is read must equal what was written."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def milliseconds(time: datetime) -> int:
    """Since the epoch, downwards; by whole numbers, for a float is not exact in every year."""
    since = time - EPOCH
    return since.days * DAY_MS + since.seconds * 1000 + since.microseconds // 1000


def of_milliseconds(time: int) -> datetime:
    return EPOCH + timedelta(milliseconds=time)
