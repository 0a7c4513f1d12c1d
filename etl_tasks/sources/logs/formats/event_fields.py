"""The base class of formats whose lines consist of named values, and the names that stand for each field of an event.

One table of names (KEYS) covers ECS, bunyan, pino, structlog, journald's export, Docker's json-file and many others. A name with a dot, such as
host.name, is a key with a dot, or the key `name` in the object of the key `host`. Values with names that are not in the table go into the event's
`extra`.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from dora_metrics.calculators.sentences import Sentence, gettext_noop
from etl_tasks.sources.logs.formats.event_times import EventClock
from etl_tasks.sources.logs.formats.field_lengths import (
    HOST_LENGTH,
    LOGGER_LENGTH,
    MESSAGE_LENGTH,
    METHOD_LENGTH,
    SERVICE_LENGTH,
    TRACE_ID_LENGTH,
    VALUE_LENGTH,
    extra_name,
    truncated,
)
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.levels import LEVELS, level_of, level_of_status
from etl_tasks.sources.logs.formats.line_format import LineFormat
from etl_tasks.sources.logs.formats.multiline import BadLine
from etl_tasks.sources.logs.formats.time_notations import NotATime, is_time
from log_store.event import LogEvent

Values = dict[str, Any]
Path = str | tuple[str, ...]  # where a value is in a record: its key, or the keys that lead to it through nested objects

# The keys of each field. The field gets the value of the first key that has one. The values of the field's other keys go into `extra`.
KEYS: Mapping[str, tuple[str, ...]] = {
    "time": (
        *("timestamp", "time", "ts", "@timestamp", "date", "datetime", "asctime", "created"),
        *("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"),  # journald's, in microseconds
    ),
    "level": ("level", "severity", "levelname", "log.level", "loglevel", "lvl", "PRIORITY", "levelno"),
    "message": ("message", "msg", "event", "MESSAGE", "short_message", "log"),  # "log" is the key of Docker's json-file
    "logger": ("logger", "log.logger", "logger_name", "name", "SYSLOG_IDENTIFIER"),
    "host": ("host.name", "host", "hostname", "_HOSTNAME", "host.hostname"),
    "service": ("service.name", "service", "service_name", "_SYSTEMD_UNIT"),
    "method": ("method", "http.request.method", "req.method", "request.method"),
    "path": ("path", "url.path", "req.url", "request.uri"),
    "status": ("status", "http.response.status_code", "res.statusCode", "status_code"),
    "duration_ms": ("duration_ms", "responseTime", "elapsed_ms", "event.duration"),
    "trace_id": ("trace_id", "trace.id", "traceId", "traceID", "otelTraceID"),
}
FIELDS = tuple(KEYS)
IN_NANOSECONDS = ("event.duration", ("event", "duration"))
NANOSECONDS_PER_MILLISECOND = 1_000_000

TEXT_LENGTHS = {
    "message": MESSAGE_LENGTH,
    "logger": LOGGER_LENGTH,
    "host": HOST_LENGTH,
    "service": SERVICE_LENGTH,
    "method": METHOD_LENGTH,
    "path": VALUE_LENGTH,
    "trace_id": TRACE_ID_LENGTH,
}
MAX_KEPT_PATHS = 1000
CEE = "@cee:"  # rsyslog and liblognorm expect it before JSON in a syslog message
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class FieldPaths:
    """Where the fields may be in records that have the same keys, in order of precedence.

    `texts`: for each path of a text field, the index of the field in TEXT_LENGTHS, the maximum length and the path.
    """

    times: tuple[Path, ...]
    levels: tuple[Path, ...]
    texts: tuple[tuple[int, int, Path], ...]
    statuses: tuple[Path, ...]
    durations: tuple[Path, ...]


class RecordFormat(LineFormat):
    """A format whose `parse` returns a dictionary. `event` takes the values of the fields out of it, and what is left becomes `extra`."""

    has_times = True  # if False, a line without a time is valid even if the source is strict

    def __init__(self, options: FormatOptions) -> None:
        super().__init__(options)
        if unknown := [name for name, _ in options.fields if name not in FIELDS]:
            raise ValueError(Sentence(gettext_noop("an event has no field {}: name one of {}"), ", ".join(map(repr, unknown)), ", ".join(FIELDS)))
        own: dict[str, tuple[str, ...]] = {}
        for name, key in options.fields:
            own[name] = (*own.get(name, ()), key)
        self._keys = {name: (*own.get(name, ()), *keys) for name, keys in KEYS.items()}
        self._paths_by_keys: dict[tuple[str, ...], FieldPaths] = {}

    @abstractmethod
    def parse(self, line: str) -> Values:
        """Return the values by their names. Raises BadLine."""

    def times(self, line: str) -> Iterable[str]:
        return self._times_of(self.parse(line))

    def dated_record(self, line: str) -> Values | None:
        try:
            record = self.parse(line)
        except BadLine:
            return None
        return record if any(is_time(text, self.notations) for text in self._times_of(record)) else None

    def unwrapped(self, record: Values, key: str) -> Values:
        """If the text of `key` is a JSON line with a level, a time or a message, return the record merged with it. Otherwise return the record.

        The values of this inner line take precedence. Outer values of the same fields or keys are kept as `outer.<key>`.
        """
        text = record[key]
        if type(text) is not str or "{" not in text[: len(CEE) + 2]:
            return record
        try:
            inner = _decode(text.removeprefix(CEE))
        except (msgspec.DecodeError, RecursionError):
            return record
        if type(inner) is not dict or not any(self._paths(name, inner) for name in ("level", "time", "message")):
            return record
        inner_fields = {name for name in FIELDS if self._has_field(inner, name)}
        if "time" not in inner_fields:
            inner = {f"inner.{name}" if name in record and name in self._keys["time"] else name: value for name, value in inner.items()}
        hidden = {path if isinstance(path, str) else path[0] for name in inner_fields for path in self._paths(name, record)} | (
            record.keys() & inner.keys()
        )
        return {f"outer.{name}" if name in hidden else name: value for name, value in record.items() if name != key} | inner

    def _has_field(self, record: Values, field: str) -> bool:
        values = [value for path in self._paths(field, record) if (value := _get(record, path)) not in (None, "")]
        return any(not isinstance(value, str) or is_time(value, self.notations) for value in values) if field == "time" else bool(values)

    def _times_of(self, record: Values) -> list[str]:
        return [value for path in self.paths_of(record).times if isinstance(value := _get(record, path), str)]

    def event(self, event_id: str, source: str, record: Values, rest: str, clock: EventClock) -> LogEvent:
        paths = self._paths_by_keys.get(tuple(record)) or self.paths_of(record)
        time = self._time(record, paths, clock)
        level = _level(record, paths)
        texts = ["", "", "", "", "", "", ""]
        for index, length, path in paths.texts:
            if texts[index]:
                continue
            value = _take(record, path) if isinstance(path, tuple) else record.pop(path, None)
            if type(value) is str and len(value) <= length and "\0" not in value:
                texts[index] = value
            elif value is not None and value != "":
                texts[index] = truncated(_text_of_bytes(value) if path == "MESSAGE" else value, length)
        message, logger, host, service, method, request_path, trace_id = texts
        if message[-1:] == "\n":  # the newline that Docker keeps, and that some programs log with the message
            message = message.rstrip("\n")
        if rest:
            message = truncated(message + rest if message else rest.removeprefix("\n"), MESSAGE_LENGTH)
        status = _status(record, paths) if paths.statuses else None
        if status is not None and not paths.levels:
            level = level_of_status(status)
        duration_ms = _duration_ms(record, paths) if paths.durations else None
        extra = extra_of(record) if record else {}
        return LogEvent(event_id, source, time, level, service, host, logger, message, method, request_path, status, duration_ms, trace_id, extra)

    def _time(self, record: Values, paths: FieldPaths, clock: EventClock) -> datetime:
        mark = "inferred"
        for path in paths.times:
            value = _get(record, path) if isinstance(path, tuple) else record[path]
            if value is None or value == "":
                continue
            try:
                time = clock.at(value)
            except NotATime:
                # This value may be something else, such as a duration under the key "time". The real time may be under another key.
                mark = "impossible"
            else:
                _take(record, path)
                return time
        if self.is_strict and self.has_times and mark == "inferred":
            raise BadLine("The line has no time: none of " + ", ".join(self._keys["time"]) + ".")
        return clock.inferred(mark)

    def paths_of(self, record: Values) -> FieldPaths:
        paths = FieldPaths(
            times=self._paths("time", record),
            levels=self._paths("level", record),
            texts=tuple((index, length, path) for index, (name, length) in enumerate(TEXT_LENGTHS.items()) for path in self._paths(name, record)),
            statuses=self._paths("status", record),
            durations=self._paths("duration_ms", record),
        )
        if len(self._paths_by_keys) >= MAX_KEPT_PATHS:
            self._paths_by_keys.clear()
        self._paths_by_keys[tuple(record)] = paths
        return paths

    def _paths(self, name: str, record: Values) -> tuple[Path, ...]:
        """Return where the field `name` may be in records with the keys of `record`, in order of precedence."""
        found: list[Path] = []
        for key in self._keys[name]:
            if key in record:
                found.append(key)
            elif "." in key and (path := tuple(key.split(".")))[0] in record:
                found.append(path)
        return tuple(found)


def _get(record: Values, path: Path) -> Any:
    if not isinstance(path, tuple):
        return record.get(path)
    value: Any = record
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _take(record: Values, path: Path) -> Any:
    """Remove the value at a path from the record, and return the value or None. Objects that become empty are removed too."""
    if not isinstance(path, tuple):
        return record.pop(path)
    first, rest = path[0], path[1:]
    inner = record.get(first)
    if not rest:
        return record.pop(first, None)
    if not isinstance(inner, dict):
        return None
    value = _take(inner, rest)
    if not inner:
        del record[first]
    return value


def _level(record: Values, paths: FieldPaths) -> str:
    for path in paths.levels:
        value = _get(record, path)
        if value is None or value == "":
            continue
        level = (LEVELS.get(value) if type(value) is str else None) or level_of(value, path if isinstance(path, str) else path[-1])
        if level is None and value != "unknown":
            return "unknown"
        _take(record, path)
        return level or "unknown"
    return "unknown"


def _status(record: Values, paths: FieldPaths) -> int | None:
    for path in paths.statuses:
        number = _number(_get(record, path))
        if number is not None and 100 <= number <= 999 and number == int(number):
            _take(record, path)
            return int(number)
    return None


def _duration_ms(record: Values, paths: FieldPaths) -> float | None:
    for path in paths.durations:
        number = _number(_get(record, path))
        if number is not None:
            _take(record, path)
            return number / (NANOSECONDS_PER_MILLISECOND if path in IN_NANOSECONDS else 1)
    return None


def _number(value: object) -> float | None:
    if type(value) is float or type(value) is int or type(value) is str:
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    return None


def extra_of(record: Values) -> dict[str, str]:
    return {extra_name(name): truncated(value, VALUE_LENGTH) for name, value in record.items() if value is not None and value != ""}


def _text_of_bytes(value: object) -> object:
    """If the value is a list of bytes, return their text. Otherwise return the value.

    journald's export writes a message as a list of bytes if it has control characters or is not UTF-8.
    """
    if isinstance(value, list):
        try:
            return bytes(value).decode("utf-8", "backslashreplace")
        except (TypeError, ValueError):
            pass
    return value
