"""Formats whose first line has one of a few shapes: Apache's error log, syslog, and regexes that users enter."""

import re
from collections.abc import Callable, Iterable
from typing import ClassVar

from etl_tasks.sources.logs.formats.deploy_lines import compiled
from etl_tasks.sources.logs.formats.fields import CEE, KEYS, Records, Values
from etl_tasks.sources.logs.formats.interface import Reading
from etl_tasks.sources.logs.formats.levels import SYSLOG
from etl_tasks.sources.logs.formats.lines import BadLine, GoesOn

Matcher = Callable[[str], tuple[str | None, ...] | None]

_WORD_TIME = r"[A-Za-z]{3} [ \d]?\d \d\d:\d\d:\d\d(?:\.\d{1,6})?"
_ISO_TIME = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:?\d\d)"


_APACHE = re.compile(
    rf"\[([A-Za-z]{{3}} {_WORD_TIME} \d{{4}})\] \[(?:([\w-]*):)?([A-Za-z]+\d?)\]"
    r"(?: \[pid (\d+)(?::tid (\d+))?\])?(?: ((?:\[client ([^\]]*)\](?: |$))?.*))?",
    re.ASCII,
)
_APACHE_NAMES = ("time", "logger", "level", "pid", "tid", "message", "client")

# A tag is one word, or a daemon with its version, as syslogd writes about itself, or login's "-- root".
_TAG = r" ?((?:-- )?[^\s:\[\]]+(?: \d[\d.]*)?)(?:\[([^\]\s]*)\])?:(?:\s+|$)"
_RFC_3164 = re.compile(rf"(?:<(\d{{1,3}})>)?({_WORD_TIME}) (?:(\S*[^\s:]) )?(?:{_TAG})?(.*)", re.ASCII)
# rsyslog's other one. Host and tag must be there, for many logs begin with such a time.
_WHOLE_TIME = re.compile(rf"(?:<(\d{{1,3}})>)?({_ISO_TIME}) (\S*[^\s:]) {_TAG}(.*)", re.ASCII)
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
_TIME_WITHOUT_YEAR = re.compile(rf"(?:<\d{{1,3}}>)?({_WORD_TIME})", re.ASCII)
# \S+ takes any word: "ValueError: bad" is no time, nor is what follows it in its line.
_may_be_a_time = re.compile(r"\D*+\d\D*+\d\D*+\d\D*+\d", re.ASCII).match
LONGEST_TIME = len("<191>Mar  1 12:00:00.123456")
JSON_BEGINS = "{" + CEE[0]
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", *(f"local{number}" for number in range(8))),
)


class ApacheError(Records):
    """Of 2.2, [time] [level] [client …] message, and of 2.4, [time] [module:level] [pid …:tid …] [client …] message.

    The client is an extra value and stays in the message.
    """

    goes_on: ClassVar[GoesOn] = GoesOn.INDENTED

    def parse(self, line: str) -> Values:
        found = _APACHE.fullmatch(line)
        if found is None:
            raise BadLine("The line is not of Apache's error log: [time] [level] message.")
        return {name: value for name, value in zip(_APACHE_NAMES, found.groups(), strict=True) if value}


class Syslog(Records):
    """RFC 5424; RFC 3164 with and without its priority; and the latter with the whole times that rsyslog can write."""

    goes_on: ClassVar[GoesOn] = GoesOn.INDENTED
    has_times = False  # RFC 5424 has a - where the sender knows none

    def parse(self, line: str) -> Values:
        # Without a word behind its time a line has lost the blank between them.
        if found := _RFC_3164.fullmatch(line) or _WHOLE_TIME.fullmatch(line) or (len(line) <= LONGEST_TIME and _RFC_3164.fullmatch(f"{line} ")):
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
        """Without parsing: a body without years is looked through for them before it is read."""
        found = _TIME_WITHOUT_YEAR.match(line)
        return (found[1],) if found else ()


def _structured(data: str) -> Values:
    return {
        f"{element[1]}.{parameter[1]}": _ESCAPED.sub(r"\1", parameter[2])
        for element in _ELEMENT.finditer(data)
        for parameter in _NAME_AND_VALUE.finditer(element[2])
    }


class NamedGroups(Records):
    """A regex of the user's own, matched with the whole of an event's first line on an engine that is linear in it."""

    goes_on: ClassVar[GoesOn] = GoesOn.UNLIKE

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        if not reading.pattern:
            raise ValueError("the format regex needs a pattern: a regular expression with named groups, as (?P<time>…) (?P<level>…) (?P<message>…)")
        names = compiled(reading.pattern, "pattern").groupindex
        if not any(name in names for name in self._keys["time"]):
            raise ValueError(f"the pattern {reading.pattern!r} has no group named time: write (?P<time>…) around what is the time")
        self._names = tuple(names)
        self._match = linear(reading.pattern, tuple(names.values()))
        self._has_message = any(name in names for name in KEYS["message"])
        time_names = [name for name in names if name in self._keys["time"]]
        self._only_time = time_names[0] if len(time_names) == 1 else ""

    def parse(self, line: str) -> Values:
        values = self._match(line)
        if values is None and line[0] not in " \t":
            # The pattern may want a blank before its last group, which is empty here: lines are read without blanks at their ends.
            values = self._match(f"{line} ") or self._match(f"{line}\t")
        if values is None:
            raise BadLine("The line does not match the pattern.")
        record = {name: value for name, value in zip(self._names, values, strict=True) if value}
        time = record.get(self._only_time)
        if time is not None and not _may_be_a_time(time):
            raise BadLine("The line has no time where the pattern has one.")
        if not self._has_message:
            record["message"] = line
        return record


def linear(pattern: str, groups: tuple[int, ...]) -> Matcher:
    """What groups of a regex are in a whole line, on RE2: as bytes, for it counts every character of a text again."""
    fullmatch = compiled(pattern, "pattern", as_bytes=True).fullmatch

    def match(line: str) -> tuple[str | None, ...] | None:
        found = fullmatch(line.encode())
        return None if found is None else tuple([None if (value := found[group]) is None else value.decode() for group in groups])

    return match
