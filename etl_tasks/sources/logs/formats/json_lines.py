"""The format json: each line is a JSON object."""

from typing import ClassVar

import msgspec

from etl_tasks.sources.logs.formats.event_fields import RecordFormat, Values
from etl_tasks.sources.logs.formats.event_times import EventClock
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.json_fast_path import NUL, LineType, line_type_of
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation
from log_store.event import LogEvent

_decode = msgspec.json.Decoder().decode
DOCKER_KEYS = frozenset(("log", "stream", "time", "attrs"))
# After this many lines in a row with the same keys, the next lines are first decoded with the LineType of these keys. It is not done sooner,
# because a line that is of another type has to be decoded twice.
LINES_ALIKE = 8
# How many line types are kept for later lines with the same keys. Making a line type takes as long as reading twenty lines.
MAX_KEPT_TYPES = 100


class JsonLines(RecordFormat):
    continuation: ClassVar[Continuation] = Continuation.NEVER
    backslash: ClassVar[str] = "\\\\"  # JSON decodes two backslashes as one

    def __init__(self, options: FormatOptions) -> None:
        super().__init__(options)
        self._expected: LineType | None = None
        self._keys_before: tuple[str, ...] = ()
        self._alike = 0
        self._line_types: dict[tuple[str, ...], LineType | None] = {}

    def event_of(self, event_id: str, source: str, line: str, rest: str, clock: EventClock) -> LogEvent:
        line_type = self._expected
        if line_type is not None and NUL not in line:
            try:
                event = line_type.event(event_id, source, line_type.decode(line), clock)
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
        """Unwrap a line of Docker's json-file. Docker cuts lines at 16 KiB, and only the last part of a line ends with a newline.

        A log shipper may remove all newlines. So a record with other keys than Docker's is not taken for a part of a line.
        """
        if log[-1:] != "\n" and record.keys() <= DOCKER_KEYS:
            return {**record, "partial": "true"}
        return self.unwrapped(record, "log")

    def _learn(self, keys: tuple[str, ...], record: Values) -> None:
        self._alike = self._alike + 1 if keys == self._keys_before else 1
        self._keys_before = keys
        if self._alike == LINES_ALIKE:
            if keys not in self._line_types:
                if len(self._line_types) >= MAX_KEPT_TYPES:
                    self._line_types.clear()
                self._line_types[keys] = line_type_of(keys, self.paths_of(record))
            self._expected = self._line_types[keys]
