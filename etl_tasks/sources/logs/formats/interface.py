"""What a format of log lines must offer: where its events begin, and what they say. `formats/` has those there are."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

import msgspec

from etl_tasks.outcomes import Bad, Good


class Reading(msgspec.Struct, frozen=True):
    """How the lines of a source are to be read.

    `pattern`: a regex with named groups, a format string of Python's logging, or a log4j layout, as `log_format` wants it.
    `time_zone`: of times that name none; an IANA name, or "local" for this machine's. `fields`: pairs of an event's field
    and the key that JSON or logfmt lines have for it. `deploy_pattern`: a regex for lines that tell of a deployment, with
    groups sha, environment and state. `is_strict`: what is no event of the format becomes a dead letter.
    """

    log_format: str
    pattern: str = ""
    time_zone: str = "UTC"
    fields: tuple[tuple[str, str], ...] = ()
    deploy_pattern: str = ""
    is_strict: bool = False


class Place(msgspec.Struct, frozen=True):
    """Where a body of lines comes from.

    `key` and `start`: the file's key and the body's offset in it, of which the events' ids are made. `written_at`: when
    the file was last written to, by which a year that a line does not name is found. `previous`: the time of the event before
    the body, asked for only where a line cannot be read without it; None if there is none. `cut_bytes`: how many bytes of
    the last line were left out, for it was longer than is read; 0 for none.
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
        """Whether a line (without its newline) is the first of an event, and not one that goes on with the event before it."""

    def count(self, body: bytes) -> int:
        """How many events `read` will find; a blank line is none."""

    def read(self, body: bytes, place: Place) -> Iterator[Good | Bad]:
        """The events in the order of their lines. A Good's fact is a LogEvent. Raises nothing, whatever the bytes are."""
