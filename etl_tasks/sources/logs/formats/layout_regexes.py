"""Turn a layout of Python's logging or of log4j into a regex for the lines that are written by this layout.

A value ends where the text that follows it in the layout first occurs. A message is as long as possible. The regexes never backtrack, so they take
linear time in Python's `re`. If a layout has values after its message, RE2 is used instead.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dora_metrics.calculators.sentences import Sentence, gettext_noop
from etl_tasks.sources.logs.formats.event_fields import KEYS
from etl_tasks.sources.logs.formats.levels import LEVELS
from etl_tasks.sources.logs.formats.time_notations import Notation
from etl_tasks.sources.logs.formats.user_patterns import Matcher, line_matcher

NUMBER = r"\d+"
LEVEL = r"[A-Za-z][A-Za-z0-9_]{0,19}|Level \d{1,3}"
_CAPITALS = sorted((word for word in LEVELS if word.isupper()), key=len, reverse=True)
_A_LETTER = "(?=[A-Za-z])"  # so that the words are tried only where there is a letter
KNOWN_LEVEL = rf"{_A_LETTER}(?:{'|'.join(_CAPITALS)}|Level \d{{1,3}})"
# These words are accepted only in capitals, because in lower case they are also words of sentences.
_WORDS = ("DEFAULT", "CONFIG", "SUCCESS", "FINE", "FINER", "FINEST", "NOTSET")
_IN_ANY_CASE = "|".join((*_CAPITALS, *(f"{word.title()}|{word.lower()}" for word in _CAPITALS if word not in _WORDS)))
KNOWN_LEVEL_IN_ANY_CASE = rf"{_A_LETTER}(?:{_IN_ANY_CASE}|Level \d{{1,3}})"
PADDING = " {0,64}"
ANY_TEXT = ""


@dataclass(frozen=True)
class Value:
    """One value of a layout. `shape`: a regex without groups, or ANY_TEXT. `pad_left`, `pad_right`: whether spaces may be before or after it."""

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
    beginning: re.Pattern[str] | None = None  # matches a line up to its time, if the layout has its own notation for times


Part = Value | str  # a string is literal text


def split_pattern(pattern: str, regex: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str] | None]]:
    end = 0
    for found in regex.finditer(pattern):
        yield pattern[end : found.start()], found
        end = found.end()
    yield pattern[end:], None


def layout_of(parts: Sequence[Part], pattern: str, notations: Sequence[Notation] = (), *, is_declared: bool) -> Layout:
    parts = [part for part in parts if part]
    while isinstance(parts[-1:][0] if parts else None, str) and not str(parts[-1]).strip():
        parts = parts[:-1]  # lines are read without trailing white space
    names = tuple(part.name for part in parts if isinstance(part, Value))
    if not any(name in KEYS["message"] for name in names):
        raise ValueError(
            Sentence(gettext_noop("the layout {!r} has no message: it needs %(message)s or {{message}} in Python's style, or %m in log4j's"), pattern)
        )
    if len(set(names)) < len(names):
        raise ValueError(
            Sentence(gettext_noop("the layout {!r} has a value twice: leave one of them out, or write a regex, with --format regex"), pattern)
        )
    has_time = any(name in KEYS["time"] for name in names)
    if is_declared or not has_time:  # if the level could be any word, any line would match the beginning of the layout
        parts = _with_known_levels(parts)
    message = names.index("message") if "message" in names else len(names) - 1
    is_simple = message == len(names) - 1 and isinstance(parts[-1], Value)
    read = partial(_regex, pattern=pattern, is_simple=is_simple, is_word=is_declared)
    return Layout(
        names=names,
        match=_re_matcher(_nested(parts, read)) if is_simple else _matcher_of_any_end(parts, read, len(names)),
        has_time=has_time,
        notations=tuple(notations),
        beginning=_beginning(parts, read) if notations else None,
    )


def _with_known_levels(parts: Sequence[Part]) -> list[Part]:
    """Return all the parts, but with the level replaced by one that accepts only the known levels, in capitals.

    Levels in lower case are accepted too if the first value of the layout is a time or a number, and the level is beside brackets or punctuation.
    """
    found: list[Part] = []
    begins_with = next((part for part in parts if isinstance(part, Value)), None)
    is_after_value = begins_with is not None and begins_with.shape != ANY_TEXT and begins_with.name != "level"
    for index, part in enumerate(parts):
        if isinstance(part, Value) and part.name == "level":
            beside = (*parts[max(0, index - 1) : index], *parts[index + 1 : index + 2])
            is_marked = is_after_value and any(isinstance(neighbour, str) and neighbour.strip() for neighbour in beside)
            part = replace(part, shape=KNOWN_LEVEL_IN_ANY_CASE if is_marked else KNOWN_LEVEL)
        found.append(part)
    return found


def _nested(parts: Sequence[Part], read: Callable[[Part, Sequence[Part]], str]) -> str:
    """Return the regex of a whole layout. `read`: a function that returns the regex of a part, given the part and the parts after it.

    If the last values may be empty, the blank before them is optional, because lines are read without trailing blanks.
    """
    regex = ""
    for index in range(len(parts) - 1, -1, -1):
        part, rest = parts[index], parts[index + 1 :]
        if isinstance(part, str) and _may_be_empty(rest):
            stem = part.rstrip()
            regex = f"{re.escape(stem)}(?:{re.escape(part[len(stem) :])}{regex})?" if stem != part else re.escape(part) + regex
        else:
            regex = read(part, rest) + regex
    return regex


def _matcher_of_any_end(parts: Sequence[Part], read: Callable[[Part, Sequence[Part]], str], count: int) -> Matcher:
    """Return the matcher of a layout that has values after its message. `count`: the number of its values.

    If the last values of a line are empty, the blank before them is missing too, because lines are read without trailing blanks. So there is one
    regex for each place where a line may end. The longest regex is tried first.
    """
    pieces = [read(part, parts[index + 1 :]) for index, part in enumerate(parts)]
    ends = ["".join(pieces)]
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if isinstance(part, str) and part != part.rstrip() and _may_be_empty(parts[index + 1 :]):
            ends.append("".join(pieces[:index]) + re.escape(part.rstrip()))
    matchers = [line_matcher(end, tuple(range(1, re.compile(end).groups + 1))) for end in ends]

    def match(line: str) -> tuple[str | None, ...] | None:
        for matcher in matchers:
            if (found := matcher(line)) is not None:
                return found + (None,) * (count - len(found))
        return None

    return match


def _may_be_empty(rest: Sequence[Part]) -> bool:
    return bool(rest) and all(not part.strip() if isinstance(part, str) else part.shape == ANY_TEXT for part in rest)


def _beginning(parts: Sequence[Part], read: Callable[[Part, Sequence[Part]], str]) -> re.Pattern[str] | None:
    """Return the regex of a layout up to its time. Returns None if the layout has no time, or if the time comes after the message."""
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
        raise ValueError(
            Sentence(
                gettext_noop("the layout {!r} has nothing between {} and {}, so it is not clear where the first one ends"),
                pattern,
                part.name,
                following.name,
            )
        )
    if part.name == "message" and not is_simple:
        return f"{left}(.*){right}"
    character = r"\S" if is_word and part.name == "logger" else "."
    if not is_simple:
        return f"{left}({character}*?){right}"
    stem, end = following.rstrip(), re.escape(following)
    if stem != following and _may_be_empty(rest[1:]):
        end = f"{re.escape(stem)}(?:{re.escape(following[len(stem) :])}|\\Z)"
    return f"(?>{left}({character}*?){right}(?={end}))"


def _re_matcher(regex: str) -> Matcher:
    fullmatch = re.compile(regex, re.ASCII).fullmatch

    def match(line: str) -> tuple[str | None, ...] | None:
        found = fullmatch(line)
        return None if found is None else found.groups()

    return match
