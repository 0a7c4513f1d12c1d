"""The interface of a format of log lines: where events begin, and how the lines of a body become events.

A body is the bytes of one chunk of a log file. It holds whole events.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

import msgspec

from etl_tasks.outcomes import Bad, Good


class FormatOptions(msgspec.Struct, frozen=True):
    """How the lines of a source are read.

    `pattern`: a regex with named groups, a format string of Python's logging, or a log4j layout, depending on `log_format`. `time_zone`: the zone
    of times without an offset, as an IANA name, or "local" for the zone of this machine. `fields`: pairs of a field of an event and the key that
    holds it in JSON or logfmt lines. `deploy_pattern`: a regex for lines that report a deployment, with the groups sha, environment and state.
    `is_strict`: whether a line that is not in the format becomes a dead letter (a stored error) and not an event of unknown level.
    """

    log_format: str
    pattern: str = ""
    time_zone: str = "UTC"
    fields: tuple[tuple[str, str], ...] = ()
    deploy_pattern: str = ""
    is_strict: bool = False


class BodyOrigin(msgspec.Struct, frozen=True):
    """Where a body comes from.

    `source`: the name of the source. `key`: the result of `file_key` for the file. `start`: the offset of the body in the file. The id of an event
    consists of the key and of the event's offset in the file. `written_at`: when the file was last written to; the year of times without one is
    derived from it. `previous`: a function that returns the time of the event before the body, or None. It is called only if the time of a line
    depends on it. `cut_bytes`: how many bytes of the last line were left out because the line was too long.
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
        """Return whether a line (without its newline) is the first line of an event. Otherwise it continues the event before it."""

    def count(self, body: bytes) -> int:
        """Return how many events `read` will yield. Blank lines do not count."""

    def read(self, body: bytes, origin: BodyOrigin) -> Iterator[Good | Bad]:
        """Yield a Good with a LogEvent, or a Bad, for each event, in the order of the lines. Raises nothing, whatever the bytes are."""
