"""Syslog: RFC 5424 and RFC 3164."""

import re
from collections.abc import Iterable
from typing import ClassVar

from etl_tasks.sources.logs.formats.event_fields import CEE, RecordFormat, Values
from etl_tasks.sources.logs.formats.levels import SYSLOG
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation
from etl_tasks.sources.logs.formats.time_notations import SYSLOG_TIME

_ISO_TIME = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:?\d\d)"

# A tag (the program's name before the message) is one word, or a daemon and its version (syslogd writes this in its own lines), or "-- root"
# (written by login).
_TAG = r" ?((?:-- )?[^\s:\[\]]+(?: \d[\d.]*)?)(?:\[([^\]\s]*)\])?:(?:\s+|$)"
_RFC_3164 = re.compile(rf"(?:<(\d{{1,3}})>)?({SYSLOG_TIME}) (?:(\S*[^\s:]) )?(?:{_TAG})?(.*)", re.ASCII)
# The format of rsyslog with full dates. Host and tag are required, because the lines of many other logs begin with such a time too.
_RSYSLOG_WITH_DATE = re.compile(rf"(?:<(\d{{1,3}})>)?({_ISO_TIME}) (\S*[^\s:]) {_TAG}(.*)", re.ASCII)
_RFC_3164_NAMES = ("time", "host", "logger", "pid", "message")
_PARAMETER = r' [^ \]="]+="(?:[^"\\\]]|\\.)*+"'
_RFC_5424 = re.compile(
    rf'<(\d{{1,3}})>1 ({_ISO_TIME}|-) (\S+) (\S+) (\S+) (\S+) (-|(?:\[[^ \]="]+(?:{_PARAMETER})*+\])++)(?: (.*))?',
    re.ASCII,
)
_RFC_5424_NAMES = ("time", "host", "logger", "pid", "msgid", "message")
_ELEMENT = re.compile(rf'\[([^ \]="]+)((?:{_PARAMETER})*+)\]', re.ASCII)
_NAME_AND_VALUE = re.compile(r' ([^ \]="]+)="((?:[^"\\\]]|\\.)*+)"', re.ASCII)
_ESCAPED = re.compile(r'\\(["\\\]])')
_TIME_WITHOUT_YEAR = re.compile(rf"(?:<\d{{1,3}}>)?({SYSLOG_TIME})", re.ASCII)

LONGEST_TIME = len("<191>Mar  1 12:00:00.123456")
JSON_BEGINS = "{" + CEE[0]
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", *(f"local{number}" for number in range(8))),
)


class Syslog(RecordFormat):
    """Reads RFC 5424, and RFC 3164 with or without its priority, also with the full dates that rsyslog can write."""

    continuation: ClassVar[Continuation] = Continuation.INDENTED
    has_times = False  # RFC 5424 allows a - for an unknown time

    def parse(self, line: str) -> Values:
        # RFC 3164 has a blank after the time. If the line ends there, this blank was stripped, so the line is tried again with a blank.
        if (
            found := _RFC_3164.fullmatch(line)
            or _RSYSLOG_WITH_DATE.fullmatch(line)
            or (len(line) <= LONGEST_TIME and _RFC_3164.fullmatch(f"{line} "))
        ):
            priority, *values = found.groups()
            record = {name: value for name, value in zip(_RFC_3164_NAMES, values, strict=True) if value}
        elif found := _RFC_5424.fullmatch(line):
            priority, *values, data, message = found.groups()
            values.append(message and message.removeprefix("\ufeff"))
            record = {name: value for name, value in zip(_RFC_5424_NAMES, values, strict=True) if value and (value != "-" or name == "message")}
            if data != "-":
                record |= _structured(data)
        else:
            raise BadLine("The line is not syslog: <priority>1 time host app pid id data message, or time host tag: message.")
        if priority and int(priority) < len(_FACILITIES) * len(SYSLOG):
            facility, severity = divmod(int(priority), len(SYSLOG))
            record["facility"], record["level"] = _FACILITIES[facility], SYSLOG[severity]
        if (text := record.get("message")) and text[0] in JSON_BEGINS:
            return self.unwrapped(record, "message")
        return record

    def times(self, line: str) -> Iterable[str]:
        """Find the time without parsing the line. Before a body without years is read, all its times are collected, so this must be fast."""
        found = _TIME_WITHOUT_YEAR.match(line)
        return (found[1],) if found else ()


def _structured(data: str) -> Values:
    return {
        f"{element[1]}.{parameter[1]}": _ESCAPED.sub(r"\1", parameter[2])
        for element in _ELEMENT.finditer(data)
        for parameter in _NAME_AND_VALUE.finditer(element[2])
    }
