"""Join the lines of a log chunk into events: a traceback or an indented line belongs to the event before it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, ClassVar

from etl_tasks.sources.logs.formats.decoding import decoded_lines, lines_with_offsets
from etl_tasks.sources.logs.formats.time_notations import is_dated

Record = Any  # what a format's `parse` returns for the first line of an event; each format has its own type
# The offset of an event, its first line, its continuation lines, and the record of its first line if that has been parsed already.
Group = tuple[int, str, str, Record | None]


class BadLine(ValueError):
    """The line is not in the expected format. The message says why and never quotes the line, which may hold secrets."""


class Continuation(Enum):
    """Which lines continue the event before them."""

    NEVER = "none: every line is an event"
    INDENTED = "lines that begin with white space, unless they are an event with a time"
    NOT_AN_EVENT = "lines that neither start an event nor begin with a date and time"


class LineGrouping(ABC):
    """Groups the lines of a log chunk (its body) into events. Each format sets `continuation`, and its `parse` reads the first line of an event."""

    continuation: ClassVar[Continuation]
    backslash: ClassVar[str] = "\\"

    def __init__(self) -> None:
        self.is_dated: Callable[[str], bool] = is_dated  # whether a line, even in another format, begins with a date and time

    @abstractmethod
    def parse(self, line: str) -> Record:
        """Parse the first line of an event. Raises BadLine."""

    def dated_record(self, line: str) -> Record | None:
        """Parse an indented line, which is given without its indentation. Returns None if it has no time of its own, and so starts no event."""
        return None

    @property
    def is_multiline(self) -> bool:
        return self.continuation is not Continuation.NEVER

    def begins(self, line: bytes) -> bool:
        for _, text in lines_with_offsets(line, backslash=self.backslash):
            if stripped := text.rstrip():
                return self._starts_event(text, stripped)[0]
        return False

    def count(self, body: bytes) -> int:
        if self.continuation is Continuation.NEVER:
            return sum(map(bool, map(str.strip, decoded_lines(body, backslash=self.backslash))))
        return sum(1 for _ in self._groups(body))

    def _groups(self, body: bytes) -> Iterator[Group]:
        """Yield a Group for each event of the body.

        Until the first event is recognised, each line that is not indented is an event, together with the indented lines after it. So a file in
        another format becomes many bad lines, not one endless event.
        """
        lines = lines_with_offsets(body, backslash=self.backslash)
        if self.continuation is Continuation.NEVER:
            for offset, text in lines:
                if stripped := text.strip():
                    yield offset, stripped, "", None
            return
        first: tuple[int, str, Record | None] | None = None
        rest: list[str] = []
        has_begun = False
        for offset, text in lines:
            stripped = text.rstrip()
            if not stripped:
                rest.append(text)
                continue
            is_start, record = self._starts_event(text, stripped)
            has_begun = has_begun or is_start
            if is_start or first is None or not (has_begun or text[0] in " \t"):
                if first is not None:
                    yield first[0], first[1], _joined(rest), first[2]
                first, rest = (offset, stripped, record), []
            else:
                rest.append(text)
        if first is not None:
            yield first[0], first[1], _joined(rest), first[2]

    def _starts_event(self, text: str, stripped: str) -> tuple[bool, Record | None]:
        """Return whether a line that is not blank starts an event. Also return its record, if the line was parsed to find this out.

        `text`: the line. `stripped`: the line without trailing white space. A line that begins with a date and a time starts an event even if it is
        in another format. Otherwise it would be hidden in the event before it.
        """
        is_indented = text[0] in " \t"
        if self.continuation is Continuation.NEVER:
            return True, None
        if self.continuation is Continuation.NOT_AN_EVENT:
            try:
                return True, self.parse(stripped)
            except BadLine:
                if not is_indented:
                    return self.is_dated(stripped), None
        if not is_indented:
            return True, None
        unindented = stripped.lstrip()
        if self.continuation is Continuation.NOT_AN_EVENT and not self.is_dated(unindented):
            return False, None
        record = self.dated_record(unindented)
        return record is not None, record


def _joined(rest: list[str]) -> str:
    return "".join(f"\n{line}" for line in rest).rstrip() if rest else ""
