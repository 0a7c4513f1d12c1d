"""Format strings of Python's logging and layouts of log4j, turned into regexes that read what they wrote.

A value goes up to the first place where what follows it in the layout stands, and a message as far as it can. Only a layout with more
values after its message needs an engine that is linear by itself; the regexes of all others are, for they never try again what they took.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from etl_tasks.sources.logs.formats import times
from etl_tasks.sources.logs.formats.fields import KEYS, Records, Values
from etl_tasks.sources.logs.formats.interface import Reading
from etl_tasks.sources.logs.formats.levels import LEVELS, level_of
from etl_tasks.sources.logs.formats.lines import BadLine, GoesOn
from etl_tasks.sources.logs.formats.patterns import Matcher, linear
from etl_tasks.sources.logs.formats.times import Notation, is_dated

NUMBER = r"\d+"
LEVEL = r"[A-Za-z][A-Za-z0-9_]{0,19}|Level \d{1,3}"
_CAPITALS = sorted((word for word in LEVELS if word.isupper()), key=len, reverse=True)
_A_LETTER = "(?=[A-Za-z])"  # without one no word need be tried
KNOWN_LEVEL = rf"{_A_LETTER}(?:{'|'.join(_CAPITALS)}|Level \d{{1,3}})"
# In small letters these are words of sentences, too.
_WORDS = ("DEFAULT", "CONFIG", "SUCCESS", "FINE", "FINER", "FINEST", "NOTSET")
_IN_ANY_CASE = "|".join((*_CAPITALS, *(f"{word.title()}|{word.lower()}" for word in _CAPITALS if word not in _WORDS)))
KNOWN_LEVEL_IN_ANY_CASE = rf"{_A_LETTER}(?:{_IN_ANY_CASE}|Level \d{{1,3}})"
PADDING = " {0,64}"
FREE = ""

# Where no pattern is set, the first of them that a line is of. Each must be told from those after it by its values' shapes.
PYTHON_LAYOUTS = (
    "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s",  # gunicorn
    "[%(asctime)s: %(levelname)s/%(processName)s] %(message)s",  # Celery
    "[%(asctime)s] %(levelname)s in %(module)s: %(message)s",  # Flask
    "[%(asctime)s] %(levelname)s %(name)s: %(message)s",
    "[%(asctime)s] %(levelname)s: %(message)s",
    "%(levelname)s %(asctime)s %(module)s %(process)d %(thread)d %(message)s",  # Django's documentation
    "%(asctime)s | %(levelname)-8s | %(name)s:%(funcName)s:%(lineno)d - %(message)s",  # loguru
    "%(asctime)s - %(name)s - %(levelname)s - %(message)s",  # Python's documentation
    "%(asctime)s - %(levelname)s - %(message)s",
    "%(asctime)s [%(levelname)-8s] %(name)s: %(message)s",
    "%(asctime)s [%(levelname)-8s] %(message)s",  # structlog, and nginx's error log
    "%(asctime)s %(levelname)s %(name)s: %(message)s",
    "%(asctime)s %(levelname)s: %(message)s",
    "%(asctime)s %(levelname)s %(message)s",
    "%(asctime)s %(name)s %(levelname)s: %(message)s",
    "%(asctime)s %(name)s %(levelname)s %(message)s",
    "%(levelname)s:%(name)s:%(message)s",  # what logging does by itself
)
LOG4J_LAYOUTS = (
    "%d %5p %pid --- [%t] %-40c : %m%n",  # Spring Boot
    "%d %-5p [%c] (%t) %m%n",  # WildFly
    "%d [%t] %-5p %c - %m%n",  # log4j's and logback's documentation
    "%d [%t] %-5p %c: %m%n",
    "%d %-5p [%t] %c - %m%n",
    "%d %-5p [%t] %c: %m%n",
    "%d{yyMMdd HHmmss} %pid %p %c: %m%n",  # HDFS
    "%d %-5p %c - %m%n",
    "%d %-5p %c: %m%n",  # Hadoop
    "%r [%t] %-5p %c - %m%n",  # log4j's TTCC
    "%r [%t] %-5p %c %x - %m%n",
)

_PYTHON_VALUES = {
    "asctime": ("time", times.ANY),
    "created": ("created", r"\d+(?:\.\d+)?"),
    "levelname": ("level", LEVEL),
    "levelno": ("levelno", NUMBER),
    "name": ("logger", FREE),
    "process": ("pid", NUMBER),
    "thread": ("thread_id", NUMBER),
    "threadName": ("thread", FREE),
    "processName": ("process", FREE),
    "funcName": ("function", FREE),
    "lineno": ("line", NUMBER),
    "msecs": ("msecs", r"\d+(?:\.\d+)?"),
}
_LOG4J_VALUES = {
    **dict.fromkeys(("d", "date"), ("time", times.ANY)),
    **dict.fromkeys(("p", "level", "le"), ("level", LEVEL)),
    **dict.fromkeys(("c", "logger", "lo"), ("logger", FREE)),
    **dict.fromkeys(("m", "msg", "message"), ("message", FREE)),
    **dict.fromkeys(("t", "tn", "thread", "threadName"), ("thread", FREE)),
    **dict.fromkeys(("T", "tid", "threadId"), ("thread_id", NUMBER)),
    **dict.fromkeys(("pid", "processId"), ("pid", NUMBER)),
    **dict.fromkeys(("C", "class"), ("class", FREE)),
    **dict.fromkeys(("M", "method"), ("function", FREE)),
    **dict.fromkeys(("F", "file"), ("file", FREE)),
    **dict.fromkeys(("L", "line"), ("line", r"\d+|\?")),
    **dict.fromkeys(("l", "location"), ("location", FREE)),
    **dict.fromkeys(("r", "relative"), ("uptime_ms", NUMBER)),
    **dict.fromkeys(("sn", "sequenceNumber"), ("sequence", NUMBER)),
    **dict.fromkeys(("x", "NDC"), ("ndc", FREE)),
    **dict.fromkeys(("X", "mdc", "MDC"), ("mdc", FREE)),
    **dict.fromkeys(("marker", "markerSimpleName"), ("marker", FREE)),
    **dict.fromkeys(("u", "uuid"), ("uuid", r"[0-9A-Fa-f-]{36}")),
}
# A stack trace has lines of its own, which go on with the event.
_LOG4J_TRACES = (
    "ex",
    "exception",
    "throwable",
    "xEx",
    "xException",
    "xThrowable",
    "rEx",
    "rException",
    "rThrowable",
    "wEx",
    "wex",
    "nopex",
    "nopexception",
)
_LOG4J_TIMES = re.compile(r"(?:DEFAULT|ISO8601|ABSOLUTE|DATE|UNIX)\w*")
_ISO_PATTERN = re.compile(r"yyyy-MM-dd(?:'T'| )HH:mm:ss(?:[.,]S+)?(?: ?[XxZ]+)?")

_PERCENT = re.compile(r"%\((\w+)\)([-#0 +]*\d*)(?:\.\d+)?[a-zA-Z]|%(%)")
_BRACE = re.compile(r"\{(\w+)(?:![rsa])?(?::([^{}]*))?\}|(\{\{|\}\})")
_CONVERSION = re.compile(r"%(-?\d*)(?:\.-?\d+)?([A-Za-z]+)((?:\{[^{}]*\})*)|%(%)")


@dataclass(frozen=True)
class Value:
    """One value of a layout. `shape`: a regex without groups, FREE for any text. `pad_left`, `pad_right`: where spaces fill it up."""

    name: str
    shape: str
    pad_left: bool = False
    pad_right: bool = False


@dataclass(frozen=True)
class Layout:
    names: tuple[str, ...]
    match: Matcher
    has_time: bool
    notations: tuple[Notation, ...] = ()
    beginning: re.Pattern[str] | None = None  # up to a time in a notation of its own


Part = Value | str  # a string stands for itself


class Layouts(Records):
    """The format python or log4j: the layout that is set, or those that programs usually have."""

    goes_on: ClassVar[GoesOn] = GoesOn.UNLIKE

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        read = python_layout if reading.log_format == "python" else log4j_layout
        declared = DECLARED[reading.log_format]
        layouts = [read(reading.pattern)] if reading.pattern else [read(pattern, is_declared=True) for pattern in declared]
        self._layouts = [(layout.names, layout.match) for layout in layouts]
        self._problem = f"The line does not begin as {'the layout does' if reading.pattern else 'one of the usual layouts'}."
        self.notations = tuple(dict.fromkeys(notation for layout in layouts for notation in layout.notations))
        if beginnings := [layout.beginning.match for layout in layouts if layout.beginning]:
            self.is_dated = lambda line: is_dated(line) or any(begins(line) for begins in beginnings)
        self.detail = min(len(layout.names) for layout in layouts)
        self.has_times = all(layout.has_time for layout in layouts)

    def parse(self, line: str) -> Values:
        for names, match in self._layouts:
            values = match(line)
            if values is not None:
                record = {name: value for name, value in zip(names, values, strict=True) if value}
                # Without a message, any two words are a time and a level.
                if "message" in record or "level" not in record or level_of(record["level"]) is not None:
                    return record
        raise BadLine(self._problem)


DECLARED = {"python": PYTHON_LAYOUTS, "log4j": LOG4J_LAYOUTS}


def python_layout(pattern: str, *, is_declared: bool = False) -> Layout:
    """A format string in %- or {-style. Raises ValueError with a sentence."""
    regex = _PERCENT if "%(" in pattern else _BRACE
    parts: list[Part] = []
    for literal, found in _split(pattern, regex):
        parts.append(literal)
        if found is None:
            continue
        name, padding, escaped = found.groups()
        if escaped:
            parts.append(escaped[0])
            continue
        field, shape = _PYTHON_VALUES.get(name, (name, FREE))
        pad_left, pad_right = _padded(padding or "", is_left="-" in (padding or "") or (regex is _BRACE and shape != NUMBER))
        parts.append(Value(field, shape, pad_left=pad_left, pad_right=pad_right))
    return _layout(_merged(parts), pattern, is_declared=is_declared)


def _padded(width: str, *, is_left: bool) -> tuple[bool, bool]:
    """Where spaces fill a value up, on its left and on its right: 8, -8, <8, >8, ^8. `is_left`: it stands there if nothing else is said."""
    if not re.search(r"[1-9]", width):
        return False, False
    if "^" in width:
        return True, True
    is_left = "<" in width or (is_left and ">" not in width)
    return not is_left, is_left


def log4j_layout(pattern: str, *, is_declared: bool = False) -> Layout:
    """A pattern of log4j's or logback's PatternLayout, up to its first line's end. Raises ValueError with a sentence."""
    parts: list[Part] = []
    notations: list[Notation] = []
    for literal, found in _split(pattern, _CONVERSION):
        parts.append(literal)
        if found is None:
            continue
        padding, letters, options, escaped = found.groups()
        if escaped:
            parts.append("%")
            continue
        # As log4j does: the longest name there is, and what is left of the word stands for itself.
        word = next((letters[:end] for end in range(len(letters), 0, -1) if letters[:end] in (*_LOG4J_VALUES, *_LOG4J_TRACES, "n")), None)
        if word is None:
            raise ValueError(f"the layout {pattern!r} has %{letters}, which is not read here: write a regex for these lines, with --format regex")
        if word == "n":
            break
        if word in _LOG4J_TRACES:
            continue
        name, shape = _LOG4J_VALUES[word]
        option = options[1:].partition("}")[0] if letters == word else ""
        if name == "time" and option:
            if options.count("{") > 1:
                raise ValueError(f"the layout {pattern!r} names a zone for its times: leave it out and set it with --time-zone")
            shape = _shape_of_time(option, notations)
        if name == "mdc" and option:
            name = option.partition(":-")[0]
        parts.append(Value(name, shape, pad_left=padding.isdecimal(), pad_right=padding.startswith("-")))
        if letters != word:
            parts.append(letters[len(word) :] + options)
    return _layout(parts, pattern, notations, is_declared=is_declared)


def _shape_of_time(option: str, notations: list[Notation]) -> str:
    if _LOG4J_TIMES.fullmatch(option) or _ISO_PATTERN.fullmatch(option):
        return times.ANY
    notation = times.notation("yyyyMMddHHmmssSSS" if option == "COMPACT" else option)
    if notation not in times.KNOWN:
        notations.append(notation)
    return notation.unnamed


def _split(pattern: str, regex: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str] | None]]:
    end = 0
    for found in regex.finditer(pattern):
        yield pattern[end : found.start()], found
        end = found.end()
    yield pattern[end:], None


def _merged(parts: list[Part]) -> list[Part]:
    """Milliseconds right after the time are part of it: %(asctime)s.%(msecs)03d."""
    merged: list[Part] = []
    for part in parts:
        if part == "":
            continue
        if isinstance(part, Value) and part.name == "msecs" and merged[-1:] in ([","], ["."]) and getattr(merged[-2], "name", "") == "time":
            merged.pop()
        else:
            merged.append(part)
    return merged


def _layout(parts: Sequence[Part], pattern: str, notations: Sequence[Notation] = (), *, is_declared: bool) -> Layout:
    parts = [part for part in parts if part]
    while isinstance(parts[-1:][0] if parts else None, str) and not str(parts[-1]).strip():
        parts = parts[:-1]  # lines are read without the white space at their ends
    names = tuple(part.name for part in parts if isinstance(part, Value))
    if not any(name in KEYS["message"] for name in names):
        raise ValueError(f"the layout {pattern!r} has no message: it needs %(message)s or {{message}} in Python's style, or %m in log4j's")
    if len(set(names)) < len(names):
        raise ValueError(f"the layout {pattern!r} has a value twice: leave one of them out, or write a regex, with --format regex")
    has_time = any(name in KEYS["time"] for name in names)
    if is_declared or not has_time:  # else nothing would tell a beginning from any line
        parts = _with_known_levels(parts)
    message = names.index("message") if "message" in names else len(names) - 1
    is_simple = message == len(names) - 1 and isinstance(parts[-1], Value)
    read = partial(_regex, pattern=pattern, is_simple=is_simple, is_word=is_declared)
    return Layout(
        names=names,
        match=_fast(_nested(parts, read)) if is_simple else _any_end(parts, read, len(names)),
        has_time=has_time,
        notations=tuple(notations),
        beginning=_beginning(parts, read) if notations else None,
    )


def _with_known_levels(parts: Sequence[Part]) -> list[Part]:
    """With levels that are told from other words: by capitals, or by their place, behind a time or a number and beside brackets or the like."""
    found: list[Part] = []
    begins_with = next((part for part in parts if isinstance(part, Value)), None)
    is_told = begins_with is not None and begins_with.shape != FREE and begins_with.name != "level"
    for index, part in enumerate(parts):
        if isinstance(part, Value) and part.name == "level":
            beside = (*parts[max(0, index - 1) : index], *parts[index + 1 : index + 2])
            is_marked = is_told and any(isinstance(one, str) and one.strip() for one in beside)
            part = replace(part, shape=KNOWN_LEVEL_IN_ANY_CASE if is_marked else KNOWN_LEVEL)
        found.append(part)
    return found


def _nested(parts: Sequence[Part], read: Callable[[Part, Sequence[Part]], str]) -> str:
    """The whole layout; of values at its end that are empty, the blank before them may be missing, too, for lines lose their last blanks."""
    regex = ""
    for index in range(len(parts) - 1, -1, -1):
        part, rest = parts[index], parts[index + 1 :]
        if isinstance(part, str) and _may_be_empty(rest):
            stem = part.rstrip()
            regex = f"{re.escape(stem)}(?:{re.escape(part[len(stem) :])}{regex})?" if stem != part else re.escape(part) + regex
        else:
            regex = read(part, rest) + regex
    return regex


def _any_end(parts: Sequence[Part], read: Callable[[Part, Sequence[Part]], str], count: int) -> Matcher:
    """The same where a greedy message would take what belongs to the values after it: each end is a regex of its own, the longest first."""
    pieces = [read(part, parts[index + 1 :]) for index, part in enumerate(parts)]
    ends = ["".join(pieces)]
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if isinstance(part, str) and part != part.rstrip() and _may_be_empty(parts[index + 1 :]):
            ends.append("".join(pieces[:index]) + re.escape(part.rstrip()))
    matchers = [linear(end, tuple(range(1, re.compile(end).groups + 1))) for end in ends]

    def match(line: str) -> tuple[str | None, ...] | None:
        for one in matchers:
            if (found := one(line)) is not None:
                return found + (None,) * (count - len(found))
        return None

    return match


def _may_be_empty(rest: Sequence[Part]) -> bool:
    return bool(rest) and all(not part.strip() if isinstance(part, str) else part.shape == FREE for part in rest)


def _beginning(parts: Sequence[Part], read: Callable[[Part, Sequence[Part]], str]) -> re.Pattern[str] | None:
    """The layout up to its time; None if it has none, or only behind its message."""
    names = [part.name if isinstance(part, Value) else "" for part in parts]
    place = next((index for index, name in enumerate(names) if name in KEYS["time"]), len(parts))
    if "message" in names[: place + 1] or place == len(parts):
        return None
    return re.compile("".join(read(part, parts[index + 1 :]) for index, part in enumerate(parts[: place + 1])), re.ASCII)


def _regex(part: Part, rest: Sequence[Part], *, pattern: str, is_simple: bool, is_word: bool) -> str:
    if isinstance(part, str):
        return re.escape(part)
    left, right = (PADDING if is_padded else "" for is_padded in (part.pad_left, part.pad_right))
    if part.shape:
        return f"{left}({part.shape}){right}"
    if not rest:
        return "(.*)"
    following = rest[0]
    if isinstance(following, Value):
        raise ValueError(f"the layout {pattern!r} has nothing between {part.name} and {following.name}, so nobody can tell where one ends")
    if part.name == "message" and not is_simple:
        return f"{left}(.*){right}"
    character = r"\S" if is_word and part.name == "logger" else "."
    if not is_simple:
        return f"{left}({character}*?){right}"
    stem, end = following.rstrip(), re.escape(following)
    if stem != following and _may_be_empty(rest[1:]):
        end = f"{re.escape(stem)}(?:{re.escape(following[len(stem) :])}|\\Z)"
    return f"(?>{left}({character}*?){right}(?={end}))"


def _fast(regex: str) -> Matcher:
    fullmatch = re.compile(regex, re.ASCII).fullmatch

    def match(line: str) -> tuple[str | None, ...] | None:
        found = fullmatch(line)
        return None if found is None else found.groups()

    return match
