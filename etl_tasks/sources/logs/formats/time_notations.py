"""The notations of times in log lines. A notation is declared as a date pattern of Java, as in log4j layouts.

The letters are those of Java's DateTimeFormatter (yyyy, MMM, dd, HH, SSS, XXX, …; 'quoted text', [optional part]), with three additions: a fraction
may have any number of digits, the name of a month may be long or short, and a number with one letter, such as d or H, may be padded with a space.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache

from dora_metrics.calculators.sentences import Sentence, gettext_noop
from etl_tasks.sources.logs.formats.levels import LEVELS


class NotATime(ValueError):
    """The value is not written in any notation of a time."""


class ImpossibleTime(NotATime):
    """The value is written as a time, but there is no such date or hour."""


@dataclass(frozen=True)
class PartialTime:
    """A time without its year, or without its date."""

    time: time
    month: int | None = None
    day: int | None = None


@dataclass(frozen=True)
class Notation:
    """A notation. `regex`: has named groups and no anchors. `unnamed`: the same regex without names of groups, for use inside another regex."""

    pattern: str
    regex: re.Pattern[str]
    unnamed: str


Stamp = datetime | PartialTime

MONTHS = {name: number for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1)}
LEAP_YEAR = 2000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_NUMBER = 1e8  # in seconds: March 1973. A smaller number is a duration or a counter

_ONE_OR_TWO = r"[ \d]?\d"
# For each letter of a date pattern: how many times it stands in a row, and the regex for that. The key 0 stands for any other number of times.
_LETTERS: dict[str, dict[int, str]] = {
    "y": {2: r"(?P<short_year>\d\d)", 0: r"(?P<year>\d{4})"},
    "M": {1: rf"(?P<month>{_ONE_OR_TWO})", 2: r"(?P<month>\d\d)", 0: r"(?P<month_name>[A-Za-z]{3,9})\.?"},
    "d": {1: rf"(?P<day>{_ONE_OR_TWO})", 0: r"(?P<day>\d\d)"},
    "D": {0: r"(?P<day_of_year>\d{1,3})"},
    "E": {0: r"[A-Za-z]{2,9}\.?"},
    "H": {1: rf"(?P<hour>{_ONE_OR_TWO})", 0: r"(?P<hour>\d\d)"},
    "h": {1: rf"(?P<half_hour>{_ONE_OR_TWO})", 0: r"(?P<half_hour>\d\d)"},
    "a": {0: r"(?P<half>[AaPp])\.?[Mm]\.?"},
    "m": {1: rf"(?P<minute>{_ONE_OR_TWO})", 0: r"(?P<minute>\d\d)"},
    "s": {1: rf"(?P<second>{_ONE_OR_TWO})", 0: r"(?P<second>\d\d)"},
    "S": {0: r"(?P<fraction>\d{1,9})"},
    "Z": {0: r"(?P<zone>Z|[+-]\d\d:?\d\d)"},
    "X": {0: r"(?P<zone>Z|[+-]\d\d(?::?\d\d)?)"},
    "z": {0: r"(?P<zone>Z|(?:UTC|GMT)?[+-]\d\d?(?::?\d\d)?|[A-Za-z/_]{1,40})"},
}
_SAME_LETTER = {"u": "y", "L": "M", "x": "X", "O": "z", "V": "z", "n": "S", "e": "E"}
_PIECE = re.compile(r"'([^']*)'|([A-Za-z])\2*|(.)", re.DOTALL)
_NAME = re.compile(r"\?P<\w+>")


@cache
def notation(pattern: str) -> Notation:
    """Turn a date pattern into a Notation. Raises ValueError, with an explanation, if a letter is not supported."""
    regex = ""
    for found in _PIECE.finditer(pattern):
        quoted, letter, other = found.groups()
        if letter:
            letters = _LETTERS.get(_SAME_LETTER.get(letter, letter))
            if letters is None:
                raise ValueError(
                    Sentence(
                        gettext_noop("the date pattern {!r} has {!r}, which is not read here: use y, M, d, D, H, h, a, m, s, S, Z, X or z"),
                        pattern,
                        letter,
                    )
                )
            regex += letters.get(len(found[0]), letters[0])
        elif other in ("[", "]"):
            regex += "(?:" if other == "[" else ")?"
        else:
            regex += re.escape(found[0].replace("''", "'") if other or not quoted else quoted)
    try:
        return Notation(pattern=pattern, regex=re.compile(regex, re.ASCII), unnamed=_NAME.sub("?:", regex))
    except re.error as exc:
        raise ValueError(
            Sentence(gettext_noop("the date pattern {!r} cannot be read: each part of a time may occur once, and brackets must be in pairs"), pattern)
        ) from exc


# ISO 8601 is missing here, because datetime.fromisoformat reads it many times faster.
KNOWN_NOTATIONS = tuple(
    notation(pattern)
    for pattern in (
        "dd/MMM/yyyy:HH:mm:ss Z",  # Apache's and nginx's access logs
        "EEE MMM d HH:mm:ss[.SSSSSS] yyyy",  # Apache's error log, ctime
        "EEE MMM d HH:mm:ss z yyyy",  # date(1)
        "MMM d HH:mm:ss[.SSSSSS]",  # syslog
        "yyyy/MM/dd HH:mm:ss[.SSSSSS]",  # nginx's error log, Go
        "yyMMdd HHmmss",  # Hadoop
        "dd MMM yyyy HH:mm:ss[,SSS]",  # log4j's DATE
        "[EEE, ]d MMM yyyy HH:mm:ss z",  # RFC 5322
        "HH:mm:ss[,SSS]",  # log4j's ABSOLUTE
        "HH:mm:ss.SSS",
    )
)
# Seconds, milliseconds, microseconds or nanoseconds since 1970. But fourteen digits that begin with a year are a date.
_NUMBER = re.compile(r"\d{9,19}(?:\.\d+)?", re.ASCII)
_DIGITS_OF_A_DATE = re.compile(r"(?:19|20)\d{12}", re.ASCII)
_ISO = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:[Zz]|UTC|[+-]\d\d(?::?\d\d)?))?"
_ISO_SHAPE = re.compile(r"\d{4}-?\d\d-?\d\d(?:[Tt ]\d\d[\d:.,]*)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
SYSLOG_TIME = r"[A-Za-z]{3} [ \d]?\d \d\d:\d\d:\d\d(?:\.\d{1,6})?"
# A date and a time at the beginning of a line, after at most a few brackets or quotes and one word. A time of day alone does not match, because any
# sentence may begin with one.
_DATED = re.compile(
    r"""(?=\D{0,20}+\d)[\[(<"']{0,2}(?:([A-Za-z]{3,13}+)[\]):|,]*+[ \t]*+[\[(]?)?"""
    r"(?:\d{4}[-/.]\d\d[-/.]\d\d[Tt \t]*\d\d:\d\d|\d{1,2}[-/.]\d{1,2}[-/.]\d{4},?[Tt \t]*\d\d:\d\d"
    r"|\d{1,2}/[A-Za-z]{3}/\d{4}[: ]\d\d:\d\d|\d{1,2} [A-Za-z]{3} \d{4} \d\d:\d\d|\d{6}[ \t]+\d{6}[ \t]"
    r"|[A-Za-z]{3}[ \t]+\d{1,2}[ \t]+\d\d:\d\d:\d\d)",
    re.ASCII,
).match
ANY_TIME = "|".join((_ISO, *(known.unnamed for known in KNOWN_NOTATIONS), r"\d{9,19}(?:\.\d+)?"))


def parse_time(text: str, notations: Sequence[Notation] = ()) -> Stamp:
    """Return the time that a text means: a PartialTime if it has no year or no date, a naive datetime if it has no offset, otherwise an aware one.

    `notations`: are tried before the known notations. Raises NotATime, ImpossibleTime.
    """
    text = text.strip()
    for notation in notations:
        if found := notation.regex.fullmatch(text):
            return _from_parts(found)
    if text[:1].isalpha() or text[2:3] in "/: ":
        return _in_known_notation(text)
    if _NUMBER.fullmatch(text) and not _DIGITS_OF_A_DATE.fullmatch(text):
        return from_number(float(text) if "." in text else int(text))
    iso = re.sub(r"\s+(?=[+-]\d|[Zz]$)", "", f"{text.removesuffix('UTC').rstrip()}Z" if text.endswith("UTC") else text)
    if _ISO_SHAPE.fullmatch(iso):
        try:
            return datetime.fromisoformat(iso.upper())
        except ValueError as exc:
            raise ImpossibleTime("it is not a possible date and time") from exc
    return _in_known_notation(text)


def is_dated(line: str) -> bool:
    """Return whether a line begins with a date and a time, perhaps after a level or the name of a day."""
    found = _DATED(line)
    return found is not None and (found[1] is None or found[1].isupper() or len(found[1]) == 3 or found[1].lower() in LEVELS)


def is_time(text: str, notations: Sequence[Notation] = ()) -> bool:
    """Return whether a text is written as a time, even if the time is impossible. `notations`: as in `parse_time`."""
    try:
        parse_time(text, notations)
    except ImpossibleTime:
        return True
    except NotATime:
        return False
    return True


def _in_known_notation(text: str) -> Stamp:
    for known in KNOWN_NOTATIONS:
        if found := known.regex.fullmatch(text):
            return _from_parts(found)
    raise NotATime("it is written in no notation of a time that is known here")


def from_number(value: float) -> datetime:
    """Return the time of a number of seconds, milliseconds, microseconds or nanoseconds since 1970.

    The unit follows from the size of the number. A number below 1e11 is in seconds, because 1e11 seconds are only reached in the year 5138.
    """
    if not EARLIEST_NUMBER <= value < 1e20:
        raise NotATime("it is not a number of seconds since 1970")
    for limit, unit in ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000)):
        if value < limit:
            return EPOCH + timedelta(microseconds=value * 1_000_000 // unit if unit != 1 else round(value * 1_000_000))
    return EPOCH + timedelta(microseconds=value // 1_000)


def _from_parts(found: re.Match[str]) -> Stamp:
    parts = {name: part for name, part in found.groupdict().items() if part}
    try:
        clock = _time(parts)
        if "day_of_year" in parts and "year" in parts:
            day = date(int(parts["year"]), 1, 1) + timedelta(days=int(parts["day_of_year"]) - 1)
        elif "day" not in parts:
            return PartialTime(time=clock)
        else:
            month = int(parts["month"]) if "month" in parts else MONTHS[parts["month_name"][:3].lower()]
            year = int(parts["year"]) if "year" in parts else _full_year(parts["short_year"]) if "short_year" in parts else None
            day = date(year or LEAP_YEAR, month, int(parts["day"]))
            if year is None:
                return PartialTime(time=clock, month=day.month, day=day.day)
        return datetime.combine(day, clock, tzinfo=_zone(parts.get("zone", "")))
    except (ValueError, KeyError, OverflowError) as exc:
        raise ImpossibleTime("it is not a possible date and time") from exc


def _time(parts: dict[str, str]) -> time:
    hour = int(parts.get("hour", 0))
    if "half_hour" in parts:
        hour = int(parts["half_hour"]) % 12 + (12 if parts.get("half", "").lower() == "p" else 0)
    microsecond = int(parts.get("fraction", "0").ljust(6, "0")[:6])
    second = int(parts.get("second", 0))
    return time(hour, int(parts.get("minute", 0)), second, microsecond)


def _full_year(short: str) -> int:
    """Return the year that two digits mean. As in POSIX, 69 to 99 are 1969 to 1999, and 00 to 68 are 2000 to 2068."""
    return int(short) + (1900 if int(short) >= 69 else 2000)


def _zone(text: str) -> tzinfo | None:
    """Return the zone that an offset, UTC or GMT means. Other names are ambiguous. For them, return None, so that the source's time zone is used."""
    name = text.upper()
    if name in ("Z", "UTC", "GMT"):
        return UTC
    digits = re.sub(r"\D", "", name)
    if not digits:
        return None
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if "-" in name else offset)
