"""Lines that are values with names: which name is which field of an event, for all the programs that we know.

One table stands for what ECS, bunyan, pino, structlog, journald's export, docker's json-file and many others write; a name with a
point is a key as it stands, or one inside the object of an outer key. What no field takes is kept in `extra`.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from etl_tasks.sources.logs.event import LogEvent
from etl_tasks.sources.logs.format import Reading
from etl_tasks.sources.logs.formats.clock import Clock
from etl_tasks.sources.logs.formats.levels import level_of
from etl_tasks.sources.logs.formats.lines import BadLine, LineFormat
from etl_tasks.sources.logs.formats.text import (
    HOST_LENGTH,
    LOGGER_LENGTH,
    MESSAGE_LENGTH,
    METHOD_LENGTH,
    SERVICE_LENGTH,
    TRACE_ID_LENGTH,
    VALUE_LENGTH,
    extra_name,
    fitting,
)
from etl_tasks.sources.logs.formats.times import NoSuchTime, NoTime

Values = dict[str, Any]
Path = tuple[str, ...]

# The first of them that has a value is the field; the others are kept as they are.
KEYS: Mapping[str, tuple[str, ...]] = {
    "time": (
        *("timestamp", "time", "ts", "@timestamp", "date", "datetime", "asctime", "created"),
        *("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"),  # journald's, in microseconds
    ),
    "level": ("level", "severity", "levelname", "log.level", "loglevel", "lvl", "PRIORITY", "levelno"),
    "message": ("message", "msg", "event", "MESSAGE", "short_message", "log"),  # log: docker's json-file
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
PER_MILLISECOND = {"event.duration": 1e6}  # ECS counts nanoseconds

TEXTS = ("message", "logger", "host", "service", "method", "path", "trace_id")
_LENGTHS = (MESSAGE_LENGTH, LOGGER_LENGTH, HOST_LENGTH, SERVICE_LENGTH, METHOD_LENGTH, VALUE_LENGTH, TRACE_ID_LENGTH)
MAX_SHAPES = 1000


@dataclass(frozen=True)
class Plan:
    """Where the fields of records with the same keys are. `texts`: by place among TEXTS."""

    times: tuple[Path, ...]
    levels: tuple[Path, ...]
    texts: tuple[tuple[int, int, Path], ...]
    statuses: tuple[Path, ...]
    durations: tuple[Path, ...]


class Records(LineFormat):
    """`parse` makes a dictionary of a line, which `event` empties."""

    has_times = True  # else a record without a time is as it should be

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        if unknown := [name for name, _ in reading.fields if name not in FIELDS]:
            raise ValueError(f"an event has no field {', '.join(map(repr, unknown))}: name one of {', '.join(FIELDS)}")
        own: dict[str, tuple[str, ...]] = {}
        for name, key in reading.fields:
            own[name] = (*own.get(name, ()), key)
        self._keys = {name: (*own.get(name, ()), *keys) for name, keys in KEYS.items()}
        self._plans: dict[tuple[str, ...], Plan] = {}

    @abstractmethod
    def parse(self, line: str) -> Values:
        """The values by their names. Raises BadLine."""

    def times(self, line: str) -> Iterable[str]:
        values = self.parse(line)
        plan = self._plan(values)
        return [value for path in plan.times if isinstance(value := _get(values, path), str)]

    def event(self, event_id: str, source: str, record: Values, rest: str, clock: Clock) -> LogEvent:
        plan = self._plans.get(tuple(record)) or self._plan(record)
        time = self._time(record, plan, clock)
        level = "unknown"
        for path in plan.levels:
            value = _get(record, path)
            if value is not None and value != "":
                level = level_of(value, path[-1]) or "unknown"
                if level != "unknown" or value == "unknown":
                    _remove(record, path)
                break
        texts = ["", "", "", "", "", "", ""]
        for index, length, path in plan.texts:
            if not texts[index]:
                value = record.get(path[0]) if len(path) == 1 else _get(record, path)
                if value is None or value == "":
                    continue
                if type(value) is str and len(value) <= length and "\0" not in value:
                    texts[index] = value
                else:
                    texts[index] = fitting(_text_of_bytes(value) if path[-1] == "MESSAGE" else value, length)
                if len(path) == 1:
                    del record[path[0]]
                else:
                    _remove(record, path)
        status = duration = None
        for path in plan.statuses:
            status = _status(_get(record, path))
            if status is not None:
                _remove(record, path)
                break
        for path in plan.durations:
            duration = _number(_get(record, path))
            if duration is not None:
                duration /= PER_MILLISECOND.get(".".join(path), 1)
                _remove(record, path)
                break
        extra = _extra(record) if record else {}
        message, logger, host, service, method, path_, trace_id = texts
        if message[-1:] == "\n":  # as docker keeps it, or a program that logs a whole line
            message = message.rstrip("\n")
        if rest:
            message = fitting(message + rest, MESSAGE_LENGTH)
        return LogEvent(event_id, source, time, level, service, host, logger, message, method, path_, status, duration, trace_id, extra)

    def _time(self, record: Values, plan: Plan, clock: Clock) -> Any:
        mark = "inferred"
        for path in plan.times:
            value = _get(record, path)
            if value is None or value == "":
                continue
            try:
                time = clock.at(value)
            except NoSuchTime:
                mark = "impossible"
            except NoTime:
                # Another name may hold the real one, as beside a "time" that is a duration.
                mark = "impossible" if mark == "inferred" else mark
            else:
                _remove(record, path)
                return time
        if self.is_strict and self.has_times and mark == "inferred":
            raise BadLine("The line has no time: none of " + ", ".join(self._keys["time"]) + ".")
        return clock.inferred(mark)

    def _plan(self, record: Values) -> Plan:
        plan = Plan(
            times=self._paths("time", record),
            levels=self._paths("level", record),
            texts=tuple(
                (index, length, path) for index, (name, length) in enumerate(zip(TEXTS, _LENGTHS, strict=True)) for path in self._paths(name, record)
            ),
            statuses=self._paths("status", record),
            durations=self._paths("duration_ms", record),
        )
        if len(self._plans) >= MAX_SHAPES:
            self._plans.clear()
        self._plans[tuple(record)] = plan
        return plan

    def _paths(self, name: str, record: Values) -> tuple[Path, ...]:
        """Where the field may be in records with these keys, in order of precedence."""
        found: list[Path] = []
        for key in self._keys[name]:
            if key in record:
                found.append((key,))
            elif "." in key and (path := tuple(key.split(".")))[0] in record:
                found.append(path)
        return tuple(found)


def _get(record: Values, path: Path) -> Any:
    value: Any = record
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _remove(record: Values, path: Path) -> None:
    """The value out of the record, and the objects that are empty without it."""
    if len(path) == 1:
        del record[path[0]]
        return
    inner = record[path[0]]
    _remove(inner, path[1:])
    if not inner:
        del record[path[0]]


def _extra(record: Values) -> dict[str, str]:
    return {extra_name(name): fitting(value, VALUE_LENGTH) for name, value in record.items() if value is not None and value != ""}


def _text_of_bytes(value: object) -> object:
    """journald's export writes a message that is not UTF-8, or has control characters, as a list of its bytes."""
    if isinstance(value, list):
        try:
            return bytes(value).decode("utf-8", "backslashreplace")
        except (TypeError, ValueError):
            pass
    return value


def _status(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 100 <= number <= 999 and number.is_integer() else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
