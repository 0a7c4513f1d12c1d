"""The base class of all formats. It turns the bytes of a log chunk (a body) into events, whatever these bytes are."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.formats.decoding import lines_with_offsets
from etl_tasks.sources.logs.formats.deploy_lines import DeployPattern
from etl_tasks.sources.logs.formats.event_times import EventClock
from etl_tasks.sources.logs.formats.field_lengths import MESSAGE_LENGTH, truncated
from etl_tasks.sources.logs.formats.interface import BodyOrigin, FormatOptions
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation, LineGrouping, Record
from etl_tasks.sources.logs.formats.time_notations import Notation
from etl_tasks.sources.logs.formats.time_zones import zone_named
from log_store.event import LogEvent, to_millisecond


class LineFormat(LineGrouping):
    """A Format that parses the first line of each event and keeps the continuation lines unchanged."""

    def __init__(self, options: FormatOptions) -> None:
        """Raises ValueError, with an explanation, if the options do not fit the format."""
        super().__init__()
        self.notations: Sequence[Notation] = ()
        self.is_strict = options.is_strict
        self._zone = zone_named(options.time_zone)
        self._deploy_pattern = DeployPattern(options.deploy_pattern) if options.deploy_pattern else None

    @abstractmethod
    def event(self, event_id: str, source: str, record: Record, rest: str, clock: EventClock) -> LogEvent:
        """Return the event whose first line was parsed into `record`. Raises BadLine.

        `rest`: the continuation lines of the event, each with a newline before it.
        """

    def event_of(self, event_id: str, source: str, line: str, rest: str, clock: EventClock) -> LogEvent:
        """Return the event whose first line is `line`, which has not been parsed yet. `rest`: as in `event`. Raises BadLine."""
        return self.event(event_id, source, self.parse(line), rest, clock)

    @abstractmethod
    def times(self, line: str) -> Iterable[str]:
        """Return the parts of a line that may be its time, as they are written. Raises BadLine."""

    def read(self, body: bytes, origin: BodyOrigin) -> Iterator[Good | Bad]:
        clock = EventClock(self._zone, origin, self.notations, lambda: self._times_in(body))
        # The events before the first time in the body. They get this time, or if the body has no time, the time when the file was last written to.
        untimed: list[Good | Bad] = []
        for outcome in self._outcomes(body, origin, clock):
            if clock.last is None:
                untimed.append(outcome)
                continue
            if untimed:
                yield from _with_time(untimed, clock.last)
                untimed.clear()
            yield outcome
        yield from _with_time(untimed, to_millisecond(origin.written_at.astimezone(UTC)))

    def _outcomes(self, body: bytes, origin: BodyOrigin, clock: EventClock) -> Iterator[Good | Bad]:
        deploy_pattern = self._deploy_pattern if self._deploy_pattern and self._deploy_pattern.may_match(self._text(body)) else None
        cut_index = self.count(body) - 1 if origin.cut_bytes else -1
        source, key, start = origin.source, origin.key, origin.start
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
                message = truncated(line + rest, MESSAGE_LENGTH)
                event = LogEvent(event_id, source, clock.inferred(), "unknown", message=message, extra={"unparsed": str(exc)})
            if clock.mark:
                event.extra["time_is"] = clock.mark
            if index == cut_index:
                event.extra["cut"] = str(origin.cut_bytes)
            if deploy_pattern:
                event.extra.update(deploy_pattern.marks(line + rest))
            yield Good(event, is_unparsed)

    def _text(self, body: bytes) -> str:
        """Return the body as text. White space is stripped from its lines in the same way as from the lines of events."""
        lines = (text for _, text in lines_with_offsets(body, backslash=self.backslash))
        return "\n".join(line.strip() if self.continuation is Continuation.NEVER else line.rstrip() for line in lines)

    def _times_in(self, body: bytes) -> Iterator[str]:
        for _, line, _, _ in self._groups(body):
            try:
                yield from self.times(line)
            except BadLine:
                continue


def _with_time(outcomes: Iterable[Good | Bad], time: datetime) -> Iterator[Good | Bad]:
    """Yield the outcomes, and set the time of each event to `time`."""
    for outcome in outcomes:
        if isinstance(outcome, Good):
            yield msgspec.structs.replace(outcome, fact=msgspec.structs.replace(outcome.fact, time=time))
        else:
            yield outcome
