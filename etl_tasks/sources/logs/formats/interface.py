"""The interface of a format of log lines: where events begin, and how lines become events."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

import msgspec

from etl_tasks.outcomes import Bad, Good


class FormatOptions(msgspec.Struct, frozen=True):
    """How the lines of a source are read.

    `pattern`: a regex with named groups, a format string of Python's logging, or a log4j layout, depending on `log_format`.
    `time_zone`: for times without an offset; an IANA name, or "local" for this machine's. `fields`: pairs of an event's field
    and the key for it in JSON or logfmt lines. `deploy_pattern`: a regex for lines that report a deployment, with groups sha,
    environment and state. `is_strict`: lines that are not in the format become dead letters.
    """

    log_format: str
    pattern: str = ""
    time_zone: str = "UTC"
    fields: tuple[tuple[str, str], ...] = ()
    deploy_pattern: str = ""
    is_strict: bool = False


class BodyOrigin(msgspec.Struct, frozen=True):
    """Where a body of lines comes from.

    `key` and `start`: the file's key and the body's offset in the file; the events' ids consist of them. `written_at`: when the
    file was last written to; it tells the year of lines without one. `previous`: returns the time of the event before the body,
    or None; called only if a line needs it. `cut_bytes`: how many bytes of an overlong last line were left out.
    """

    source: str
    key: str
    start: int
    written_at: datetime
    previous: Callable[[], datetime | None]
    cut_bytes: int = 0


class Format(Protocol):
    @property
    def is_multiline(self) -> bool:
        """Whether an event may have several lines."""

    def begins(self, line: bytes) -> bool:
        """Return whether a line (without its newline) is the first of an event, not a continuation of the event before it."""

    def count(self, body: bytes) -> int:
        """Return how many events `read` will yield. Blank lines do not count."""

    def read(self, body: bytes, origin: BodyOrigin) -> Iterator[Good | Bad]:
        """Yield the events in the order of their lines; the fact of a Good is a LogEvent. Never raises, whatever the bytes are."""
