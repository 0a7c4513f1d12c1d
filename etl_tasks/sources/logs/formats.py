"""The declared formats of log lines: JSON lines, and the common and combined formats of Apache and nginx."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec

from etl_tasks.sources.logs.event import LogEvent, to_millisecond


class BadLine(ValueError):
    """The line is not what its format promises; the sentence says why and never quotes the line."""


TIME_KEYS = ("timestamp", "time", "ts", "@timestamp", "date")
LEVEL_KEYS = ("level", "severity", "levelname", "log.level")
MESSAGE_KEYS = ("message", "msg", "event")
LOGGER_KEYS = ("logger", "name")
HOST_KEYS = ("host", "hostname")

LEVELS = {
    **dict.fromkeys(("trace", "debug", "verbose", "fine", "finer", "finest"), "debug"),
    **dict.fromkeys(("info", "information", "informational", "notice", "default"), "info"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("err", "error", "severe"), "error"),
    **dict.fromkeys(("critical", "crit", "fatal", "alert", "emerg", "emergency", "panic"), "critical"),
}

# The columns of the log store; a longer text is cut, the staged page keeps the whole line.
HOST_LENGTH = LOGGER_LENGTH = 255
METHOD_LENGTH = 20
TRACE_ID_LENGTH = 100
# Far under the 16 MiB that one request to Cassandra may have.
MESSAGE_LENGTH = 1_000_000
VALUE_LENGTH = 100_000
CUT = "… (cut)"

_decode = msgspec.json.Decoder().decode
_NOT_UTF8 = re.compile("[\udc80-\udcff]")


def parse_line(log_format: str, line: bytes, *, source: str, event_id: str) -> LogEvent:
    """Read one line in the format named "json" or "combined".

    A time without an offset is taken as UTC; every time is cut to the millisecond. Bytes that are not UTF-8 and NUL
    become escapes such as \\xff. Raises BadLine, and KeyError on a format that is not declared.
    """
    # A program that keeps its offset over a truncation leaves a hole of zeros before its next line.
    fields = FORMATS[log_format](line.strip(b"\0 \t\r\n"))
    return LogEvent(event_id=event_id, source=source, **fields)


# --- JSON lines ---------------------------------------------------------------------------------------------------


def _parse_json(line: bytes) -> dict[str, Any]:
    record = _json_object(line)
    time = _take_time(record)
    level, unknown_level = _level(_take(record, LEVEL_KEYS))
    status = _status(record.get("status"))
    duration_ms = _number(record.get("duration_ms"))
    fields = {
        "time": time,
        "level": level,
        "host": _text(_name_of(_take(record, HOST_KEYS)), HOST_LENGTH),
        "logger": _text(_take(record, LOGGER_KEYS), LOGGER_LENGTH),
        "message": _text(_take(record, MESSAGE_KEYS), MESSAGE_LENGTH),
        "method": _text(_take(record, ("method",)), METHOD_LENGTH),
        "path": _text(_take(record, ("path",)), VALUE_LENGTH),
        "status": status,
        "duration_ms": duration_ms,
        "trace_id": _text(_take(record, ("trace_id",)), TRACE_ID_LENGTH),
    }
    # What is no number stays as it came, among the rest.
    if status is not None:
        del record["status"]
    if duration_ms is not None:
        del record["duration_ms"]
    return {**fields, "extra": _extra({**unknown_level, **record})}


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        record = _decode(_utf8(line))
    except msgspec.DecodeError as exc:
        raise BadLine(f"The line is not JSON: {exc}.") from exc
    except RecursionError as exc:
        raise BadLine("The line is JSON nested too deeply.") from exc
    if not isinstance(record, dict):
        raise BadLine(f"The line is JSON, but a {type(record).__name__} and not an object.")
    return record


def _utf8(line: bytes) -> bytes:
    """The line with foreign bytes as escapes, their backslash doubled so that JSON reads it as a backslash."""
    try:
        line.decode()
    except UnicodeDecodeError:
        text = line.decode(errors="surrogateescape")
        return _NOT_UTF8.sub(lambda found: f"\\\\x{ord(found[0]) - 0xDC00:02x}", text).encode()
    return line


def _take(record: dict[str, Any], keys: Iterable[str]) -> Any:
    """The value of the first key that has one, out of the record; its synonyms stay."""
    for key in keys:
        if record.get(key) not in (None, ""):
            return record.pop(key)
    return None


def _take_time(record: dict[str, Any]) -> datetime:
    problem = "The line has no timestamp: none of " + ", ".join(TIME_KEYS) + "."
    is_first = True
    for key in TIME_KEYS:
        value = record.get(key)
        if value is None or value == "":
            continue
        try:
            time = _utc(_moment(value))
        except (ValueError, OverflowError, OSError):
            # Another key may hold the real one, as beside a "time" that is a duration; else the first is to blame.
            if is_first:
                problem = f"The line's {key} is no possible date and time."
            is_first = False
            continue
        del record[key]
        return time
    raise BadLine(problem)


def _moment(value: object) -> datetime:
    """ISO 8601, or a number of seconds or milliseconds since 1970."""
    if isinstance(value, str):
        text = value.strip()
        if not re.fullmatch(r"\d{9,14}(\.\d+)?", text) or re.fullmatch(r"(19|20)\d{12}", text):
            return datetime.fromisoformat(re.sub(r"\s+(?=[+-]\d|Z$)", "", text.removesuffix(" UTC")))
        value = float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("neither text nor number")
    if value < 1e8:  # before March 1973: a duration or a counter
        raise ValueError("not a time since 1970")
    if value >= 1e11:  # seconds would be beyond the year 5138
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)


def _utc(time: datetime) -> datetime:
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if not 1970 <= aware.year <= 2999:
        raise ValueError("outside the years 1970 to 2999")
    return to_millisecond(aware)


def _level(value: object) -> tuple[str, dict[str, Any]]:
    """The level, and what to keep beside it when it is none that we know."""
    if value is None:
        return "unknown", {}
    level = LEVELS.get(value.strip().lower()) if isinstance(value, str) else None
    if level is None:
        return "unknown", {} if isinstance(value, str) and value.strip().lower() == "unknown" else {"level": value}
    return level, {}


def _name_of(host: object) -> object:
    """The name in the object that the Elastic Common Schema writes as host."""
    return host["name"] if isinstance(host, dict) and "name" in host else host


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


# --- Apache and nginx, common and combined ------------------------------------------------------------------------

_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
# The time's shape is fixed so that a search through a long user name stays linear. The last quote of the user agent
# may be missing: some servers cut long lines there.
_COMBINED = re.compile(
    r"(?P<host>\S+) \S+ (?P<user>.+?) \[(?P<time>[^\]\[]{1,40})\] "
    + _QUOTED.replace("(", "(?P<request>", 1)
    + r" (?P<status>\d{3}|-) (?P<size>\d+|-)"
    + "(?: "
    + _QUOTED.replace("(", "(?P<referrer>", 1)
    + r' "(?P<user_agent>[^"\\]*(?:\\.[^"\\]*)*)(?:"(?P<rest>.*))?)?'
)
_CLF_TIME = re.compile(r"(\d{1,2})/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")
_REQUEST = re.compile(r"([A-Za-z][A-Za-z_-]{0,19}) (\S.*?)(?: HTTP/\d(?:\.\d)?)?")
_MONTHS = dict(zip(("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), range(1, 13), strict=True))


def _parse_combined(line: bytes) -> dict[str, Any]:
    match = _COMBINED.fullmatch(line.decode(errors="backslashreplace"))
    if match is None:
        raise BadLine('The line is not in the common or combined log format: host ident user [time] "request" status size.')
    status = None if match["status"] == "-" else int(match["status"])
    request = _REQUEST.fullmatch(match["request"])
    extra = {name: match[name] for name in ("size", "referrer", "user_agent", "user")}
    extra["rest"] = (match["rest"] or "").strip()
    return {
        "time": _clf_time(match["time"]),
        "level": "error" if status and status >= 500 else "warning" if status and status >= 400 else "info",
        "host": _text(match["host"], HOST_LENGTH),
        "message": _text(match["request"], MESSAGE_LENGTH),
        "method": _text(request[1], METHOD_LENGTH) if request else "",
        "path": _text(request[2], VALUE_LENGTH) if request else "",
        "status": status,
        "extra": _extra({name: value for name, value in extra.items() if value not in (None, "", "-")}),
    }


def _clf_time(text: str) -> datetime:
    match = _CLF_TIME.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        raise BadLine("The line's time is not written as 17/May/2015:10:05:03 +0000.")
    try:
        offset = timedelta(hours=int(match[8]), minutes=int(match[9])) * (-1 if match[7] == "-" else 1)
        day, year, hour, minute, second = (int(match[i]) for i in (1, 3, 4, 5, 6))
        return _utc(datetime(year, _MONTHS[match[2]], day, hour, minute, second, tzinfo=timezone(offset)))
    except (ValueError, OverflowError) as exc:
        raise BadLine("The line's time is no possible date and time.") from exc


# --- text -----------------------------------------------------------------------------------------------------------


def _text(value: object, length: int) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = text.replace("\0", "\\x00")
    return text if len(text) <= length else text[: length - len(CUT)] + CUT


def _extra(values: Mapping[str, Any]) -> dict[str, str]:
    return {_text(key, VALUE_LENGTH): _text(value, VALUE_LENGTH) for key, value in values.items() if value is not None}


FORMATS: Mapping[str, Callable[[bytes], dict[str, Any]]] = {"json": _parse_json, "combined": _parse_combined}
