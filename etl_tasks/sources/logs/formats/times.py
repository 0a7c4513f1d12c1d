"""Times as lines write them. A notation is declared as Java's date patterns are, which log4j layouts have anyway.

Beside those of DateTimeFormatter (yyyy, MMM, dd, HH, SSS, XXX, …; 'text' in quotes, [what may be missing]): any number of digits is a
fraction, a name of a month may be long or short, and a day or an hour of one letter may be padded with a space.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache

from etl_tasks.sources.logs.formats.levels import LEVELS


class NoTime(ValueError):
    """The value is written in no notation of a time."""


class NoSuchTime(NoTime):
    """It is written as a time, but there is no such date or hour."""


@dataclass(frozen=True)
class Partial:
    """A time of which the year, or the whole date, is not written."""

    time: time
    month: int | None = None
    day: int | None = None


@dataclass(frozen=True)
class Notation:
    """`regex` has named groups and is anchored nowhere; `unnamed` is the same without them, to be part of another one."""

    pattern: str
    regex: re.Pattern[str]
    unnamed: str


Stamp = datetime | Partial

MONTHS = {name: number for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1)}
LEAP_YEAR = 2000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_NUMBER = 1e8  # of seconds: before March 1973 it is a duration or a counter

_ONE_OR_TWO = r"[ \d]?\d"
# By letter and how often it is repeated; 0 for any other number.
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
    """A date pattern as a regex. Raises ValueError, with a sentence, on letters that we do not read."""
    regex = ""
    for found in _PIECE.finditer(pattern):
        quoted, letter, other = found.groups()
        if letter:
            letters = _LETTERS.get(_SAME_LETTER.get(letter, letter))
            if letters is None:
                raise ValueError(f"the date pattern {pattern!r} has {letter!r}, which is not read here: use y, M, d, D, H, h, a, m, s, S, Z, X or z")
            regex += letters.get(len(found[0]), letters[0])
        elif other in ("[", "]"):
            regex += "(?:" if other == "[" else ")?"
        else:
            regex += re.escape(found[0].replace("''", "'") if other or not quoted else quoted)
    try:
        return Notation(pattern=pattern, regex=re.compile(regex, re.ASCII), unnamed=_NAME.sub("?:", regex))
    except re.error as exc:
        raise ValueError(f"the date pattern {pattern!r} cannot be read: every part of a time may be there once, and brackets in pairs") from exc


# ISO 8601 is not among them: datetime.fromisoformat reads it, many times as fast.
KNOWN = tuple(
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
# Seconds, milliseconds, microseconds or nanoseconds since 1970; fourteen digits that begin as a year are a date.
_NUMBER = re.compile(r"\d{9,19}(?:\.\d+)?", re.ASCII)
_DIGITS_OF_A_DATE = re.compile(r"(?:19|20)\d{12}", re.ASCII)
_ISO = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:[Zz]|UTC|[+-]\d\d(?::?\d\d)?))?"
_ISO_SHAPE = re.compile(r"\d{4}-?\d\d-?\d\d(?:[Tt ]\d\d[\d:.,]*)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
# A date and a time, behind a bracket or one word at most. A time of day alone may begin any sentence.
_DATED = re.compile(
    r"""(?=\D{0,20}+\d)[\[(<"']{0,2}(?:([A-Za-z]{3,13}+)[\]):|,]*+[ \t]*+[\[(]?)?"""
    r"(?:\d{4}[-/.]\d\d[-/.]\d\d[Tt \t]*\d\d:\d\d|\d{1,2}[-/.]\d{1,2}[-/.]\d{4},?[Tt \t]*\d\d:\d\d"
    r"|\d{1,2}/[A-Za-z]{3}/\d{4}[: ]\d\d:\d\d|\d{1,2} [A-Za-z]{3} \d{4} \d\d:\d\d|\d{6}[ \t]+\d{6}[ \t]"
    r"|[A-Za-z]{3}[ \t]+\d{1,2}[ \t]+\d\d:\d\d:\d\d)",
    re.ASCII,
).match
ANY = "|".join((_ISO, *(known.unnamed for known in KNOWN), r"\d{9,19}(?:\.\d+)?"))


def stamp(text: str, notations: Sequence[Notation] = ()) -> Stamp:
    """What a text says: aware, or naive where no offset is written. Raises NoTime, NoSuchTime.

    `notations` are asked first, then those that are known anyway.
    """
    text = text.strip()
    for asked in notations:
        if found := asked.regex.fullmatch(text):
            return _from_parts(found)
    if text[:1].isalpha() or text[2:3] in "/: ":
        return _in_words(text)
    if _NUMBER.fullmatch(text) and not _DIGITS_OF_A_DATE.fullmatch(text):
        return from_number(float(text) if "." in text else int(text))
    iso = re.sub(r"\s+(?=[+-]\d|[Zz]$)", "", f"{text.removesuffix('UTC').rstrip()}Z" if text.endswith("UTC") else text)
    if _ISO_SHAPE.fullmatch(iso):
        try:
            return datetime.fromisoformat(iso.upper())
        except ValueError as exc:
            raise NoSuchTime("it is no possible date and time") from exc
    return _in_words(text)


def is_dated(line: str) -> bool:
    """Whether a line begins with a date and a time, perhaps behind a level or the name of a day."""
    found = _DATED(line)
    return found is not None and (found[1] is None or found[1].isupper() or len(found[1]) == 3 or found[1].lower() in LEVELS)


def is_time(text: str, notations: Sequence[Notation] = ()) -> bool:
    """Whether a text is written as a time, possible or not."""
    try:
        stamp(text, notations)
    except NoSuchTime:
        return True
    except NoTime:
        return False
    return True


def _in_words(text: str) -> Stamp:
    for known in KNOWN:
        if found := known.regex.fullmatch(text):
            return _from_parts(found)
    raise NoTime("it is written in no notation of a time that is known here")


def from_number(value: float) -> datetime:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size: seconds reach 1e11 in the year 5138."""
    if not EARLIEST_NUMBER <= value < 1e20:
        raise NoTime("it is no number of seconds since 1970")
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
            return Partial(time=clock)
        else:
            month = int(parts["month"]) if "month" in parts else MONTHS[parts["month_name"][:3].lower()]
            year = int(parts["year"]) if "year" in parts else _full_year(parts["short_year"]) if "short_year" in parts else None
            day = date(year or LEAP_YEAR, month, int(parts["day"]))
            if year is None:
                return Partial(time=clock, month=day.month, day=day.day)
        return datetime.combine(day, clock, tzinfo=_zone(parts.get("zone", "")))
    except (ValueError, KeyError, OverflowError) as exc:
        raise NoSuchTime("it is no possible date and time") from exc


def _time(parts: dict[str, str]) -> time:
    hour = int(parts.get("hour", 0))
    if "half_hour" in parts:
        hour = int(parts["half_hour"]) % 12 + (12 if parts.get("half", "").lower() == "p" else 0)
    microsecond = int(parts.get("fraction", "0").ljust(6, "0")[:6])
    second = int(parts.get("second", 0))
    return time(hour, int(parts.get("minute", 0)), second, microsecond)


def _full_year(short: str) -> int:
    """As POSIX has it: 69 to 99 are of the last century."""
    return int(short) + (1900 if int(short) >= 69 else 2000)


def _zone(text: str) -> tzinfo | None:
    """An offset; names but for UTC's are not unique in the world, so the setting decides as if none were there."""
    name = text.upper()
    if name in ("Z", "UTC", "GMT"):
        return UTC
    digits = re.sub(r"\D", "", name)
    if not digits:
        return None
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "0")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if "-" in name else offset)
