"""JSON lines."""

from typing import ClassVar

import msgspec

from etl_tasks.sources.logs.formats.event_fields import RecordFormat, Values
from etl_tasks.sources.logs.formats.event_times import EventClock
from etl_tasks.sources.logs.formats.interface import Reading
from etl_tasks.sources.logs.formats.json_fast_path import NUL, LineType, line_type_of
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation
from log_store.event import LogEvent

_decode = msgspec.json.Decoder().decode
DOCKER_KEYS = frozenset(("log", "stream", "time", "attrs"))
# A line that is not of the shape expected is read twice, so one is expected only after so many lines of it.
LINES_ALIKE = 8
# To make one takes as long as reading some twenty lines, and they come again.
MAX_KEPT_SHAPES = 100


class JsonLines(RecordFormat):
    continuation: ClassVar[Continuation] = Continuation.NEVER
    backslash: ClassVar[str] = "\\\\"  # JSON reads two as one

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self._expected: LineType | None = None
        self._keys_before: tuple[str, ...] = ()
        self._alike = 0
        self._shapes: dict[tuple[str, ...], LineType | None] = {}

    def event_of(self, event_id: str, source: str, line: str, rest: str, clock: EventClock) -> LogEvent:
        shape = self._expected
        if shape is not None and NUL not in line:
            try:
                event = shape.event(event_id, source, shape.decode(line), clock)
            except (msgspec.DecodeError, RecursionError):
                self._expected, self._alike = None, 0
            else:
                if event is not None:
                    return event
        record = self.parse(line)
        if self._expected is None:
            self._learn(tuple(record), record)
        return self.event(event_id, source, record, rest, clock)

    def parse(self, line: str) -> Values:
        try:
            record = _decode(line)
        except msgspec.DecodeError as exc:
            raise BadLine(f"The line is not JSON: {exc}.") from exc
        except RecursionError as exc:
            raise BadLine("The line is JSON nested too deeply.") from exc
        if type(record) is not dict:
            raise BadLine(f"The line is JSON, but a {type(record).__name__} and not an object.")
        if type(log := record.get("log")) is str:
            is_plain = log[-1:] == "\n" and log[:1] != "{"
            return record if is_plain or "stream" not in record else self._of_docker(record, log)
        return self.unwrapped(record, "MESSAGE") if "MESSAGE" in record else record

    def _of_docker(self, record: Values, log: str) -> Values:
        """Docker's json-file cuts lines at 16 KiB: a part that is not the last has no newline. What passes them on may drop it from all."""
        if log[-1:] != "\n" and record.keys() <= DOCKER_KEYS:
            return {**record, "partial": "true"}
        return self.unwrapped(record, "log")

    def _learn(self, keys: tuple[str, ...], record: Values) -> None:
        self._alike = self._alike + 1 if keys == self._keys_before else 1
        self._keys_before = keys
        if self._alike == LINES_ALIKE:
            if keys not in self._shapes:
                if len(self._shapes) >= MAX_KEPT_SHAPES:
                    self._shapes.clear()
                self._shapes[keys] = line_type_of(keys, self.plan(record))
            self._expected = self._shapes[keys]
