"""What all formats share: a body becomes events, line by line, whatever is in it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar

import msgspec

from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.formats.clock import Clock, zone_named
from etl_tasks.sources.logs.formats.deploy_lines import Deploys
from etl_tasks.sources.logs.formats.interface import Place, Reading
from etl_tasks.sources.logs.formats.text import MESSAGE_LENGTH, fitting, lines_of, texts_of
from etl_tasks.sources.logs.formats.times import Notation, is_dated
from log_store.event import LogEvent, to_millisecond

Record = Any  # what a format makes of a line, for itself
Group = tuple[int, str, str, Record | None]  # offset, first line, the lines that go on, what the first says if it was asked already


class BadLine(ValueError):
    """The line is not what its format promises; the sentence says why and never quotes the line."""


class GoesOn(Enum):
    """Which line goes on with the event before it."""

    NEVER = "none: every line is an event"
    INDENTED = "one that begins with white space, unless an event with a time follows it"
    UNLIKE = "one that is not the beginning of an event, and begins with no date and time"


class LineFormat(ABC):
    """A Format that reads the first line of each event, and takes the lines that go on as they are."""

    goes_on: ClassVar[GoesOn]
    backslash: ClassVar[str] = "\\"

    def __init__(self, reading: Reading) -> None:
        """Raises ValueError, with a sentence, if lines cannot be read so."""
        self.notations: Sequence[Notation] = ()
        self.is_dated: Callable[[str], bool] = is_dated  # of a line that need not be of the format
        self.is_strict = reading.is_strict
        self._zone = zone_named(reading.time_zone)
        self._deploys = Deploys(reading.deploy_pattern) if reading.deploy_pattern else None

    @abstractmethod
    def parse(self, line: str) -> Record:
        """What the first line of an event says. Raises BadLine."""

    @abstractmethod
    def event(self, event_id: str, source: str, record: Record, rest: str, clock: Clock) -> LogEvent:
        """`rest`: the lines that go on, each after its newline. Raises BadLine."""

    def event_of(self, event_id: str, source: str, line: str, rest: str, clock: Clock) -> LogEvent:
        """The same from the first line as it stands. Raises BadLine."""
        return self.event(event_id, source, self.parse(line), rest, clock)

    @abstractmethod
    def times(self, line: str) -> Iterable[str]:
        """What of a line may be its time, in words. Raises BadLine."""

    # --- Format -----------------------------------------------------------------------------------------------------------

    @property
    def is_multiline(self) -> bool:
        return self.goes_on is not GoesOn.NEVER

    def begins(self, line: bytes) -> bool:
        for _, text in lines_of(line, backslash=self.backslash):
            if stripped := text.rstrip():
                return self._first(text, stripped)[0]
        return False

    def count(self, body: bytes) -> int:
        if self.goes_on is GoesOn.NEVER:
            return sum(map(bool, map(str.strip, texts_of(body, backslash=self.backslash))))
        return sum(1 for _ in self._groups(body))

    def read(self, body: bytes, place: Place) -> Iterator[Good | Bad]:
        clock = Clock(self._zone, place, self.notations, lambda: self._times_in(body))
        waiting: list[Good | Bad] = []  # for the first time of the body
        for found in self._results(body, place, clock):
            if clock.last is None:
                waiting.append(found)
                continue
            if waiting:
                yield from _at(clock.last, waiting)
                waiting.clear()
            yield found
        yield from _at(to_millisecond(place.written_at.astimezone(UTC)), waiting)

    def _results(self, body: bytes, place: Place, clock: Clock) -> Iterator[Good | Bad]:
        deploys = self._deploys if self._deploys and self._deploys.may_be_in(self._text(body)) else None
        cut_index = self.count(body) - 1 if place.cut_bytes else -1
        source, key, start = place.source, place.key, place.start
        for index, (offset, line, rest, record) in enumerate(self._groups(body)):
            event_id = f"{key}{start + offset:012x}"
            is_unparsed = False
            clock.mark = ""
            try:
                event = self.event_of(event_id, source, line, rest, clock) if record is None else self.event(event_id, source, record, rest, clock)
            except BadLine as exc:
                if self.is_strict:
                    yield Bad(index=index, key=event_id, data=line + rest, error=str(exc))
                    continue
                is_unparsed = True
                message = fitting(line + rest, MESSAGE_LENGTH)
                event = LogEvent(event_id, source, clock.inferred(), "unknown", message=message, extra={"unparsed": str(exc)})
            if clock.mark:
                event.extra["time_is"] = clock.mark
            if index == cut_index:
                event.extra["cut"] = str(place.cut_bytes)
            if deploys:
                event.extra.update(deploys.told_by(line + rest))
            yield Good(event, is_unparsed)

    def _text(self, body: bytes) -> str:
        """The body with the ends of its lines as they are in events."""
        lines = (text for _, text in lines_of(body, backslash=self.backslash))
        return "\n".join(line.strip() if self.goes_on is GoesOn.NEVER else line.rstrip() for line in lines)

    def _times_in(self, body: bytes) -> Iterator[str]:
        for _, line, _, _ in self._groups(body):
            try:
                yield from self.times(line)
            except BadLine:
                continue

    def _groups(self, body: bytes) -> Iterator[Group]:
        """The lines of each event. Before the first beginning every line is one, with the indented ones behind it.

        So a file that is not of its format shows as many bad lines, and not as one event that goes on and on.
        """
        lines = lines_of(body, backslash=self.backslash)
        if self.goes_on is GoesOn.NEVER:
            for offset, text in lines:
                if stripped := text.strip():
                    yield offset, stripped, "", None
            return
        begun: tuple[int, str, Record | None] | None = None
        rest: list[str] = []
        has_begun = False
        for offset, text in lines:
            stripped = text.rstrip()
            if not stripped:
                rest.append(text)
                continue
            is_first, record = self._first(text, stripped)
            has_begun = has_begun or is_first
            if is_first or begun is None or not (has_begun or text[0] in " \t"):
                if begun is not None:
                    yield begun[0], begun[1], _joined(rest), begun[2]
                begun, rest = (offset, stripped, record), []
            else:
                rest.append(text)
        if begun is not None:
            yield begun[0], begun[1], _joined(rest), begun[2]

    def _first(self, text: str, stripped: str) -> tuple[bool, Record | None]:
        """Whether a line that is not blank begins an event, and what it says if it had to be read to know.

        A line with a date and a time of its own is an event, even one that is not of the format: it must not disappear in the event before.
        """
        is_indented = text[0] in " \t"
        if self.goes_on is GoesOn.NEVER:
            return True, None
        if self.goes_on is GoesOn.UNLIKE:
            try:
                return True, self.parse(stripped)
            except BadLine:
                if not is_indented:
                    return self.is_dated(stripped), None
        if not is_indented:
            return True, None
        unindented = stripped.lstrip()
        if self.goes_on is GoesOn.UNLIKE and not self.is_dated(unindented):
            return False, None
        record = self.dated_record(unindented)
        return record is not None, record

    def dated_record(self, line: str) -> Record | None:
        """What a line says that was indented; None if it has no time of its own."""
        return None


def _joined(rest: list[str]) -> str:
    return "".join(f"\n{line}" for line in rest).rstrip() if rest else ""


def _at(time: datetime, waiting: Iterable[Good | Bad]) -> Iterator[Good | Bad]:
    """What waited for a time, which the first line that has one tells, or else the file."""
    for found in waiting:
        yield msgspec.structs.replace(found, fact=msgspec.structs.replace(found.fact, time=time)) if isinstance(found, Good) else found
