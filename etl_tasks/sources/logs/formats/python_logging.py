"""Format strings of Python's logging."""

import re

from etl_tasks.sources.logs.formats import time_notations
from etl_tasks.sources.logs.formats.layout_regexes import ANY_TEXT, LEVEL, NUMBER, Layout, Part, Value, layout_of, split_pattern

# If a source has no pattern, each line is read by the first of these layouts that matches it. So a layout must not match lines of later layouts.
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
    "%(levelname)s:%(name)s:%(message)s",  # logging's default
)

_PYTHON_VALUES = {
    "asctime": ("time", time_notations.ANY_TIME),
    "created": ("created", r"\d+(?:\.\d+)?"),
    "levelname": ("level", LEVEL),
    "levelno": ("levelno", NUMBER),
    "name": ("logger", ANY_TEXT),
    "process": ("pid", NUMBER),
    "thread": ("thread_id", NUMBER),
    "threadName": ("thread", ANY_TEXT),
    "processName": ("process", ANY_TEXT),
    "funcName": ("function", ANY_TEXT),
    "lineno": ("line", NUMBER),
    "msecs": ("msecs", r"\d+(?:\.\d+)?"),
}

_PERCENT = re.compile(r"%\((\w+)\)([-#0 +]*\d*)(?:\.\d+)?[a-zA-Z]|%(%)")
_BRACE = re.compile(r"\{(\w+)(?:![rsa])?(?::([^{}]*))?\}|(\{\{|\}\})")


def python_layout(pattern: str, *, is_declared: bool = False) -> Layout:
    """Turn a format string, written with % or with {, into a Layout. Raises ValueError with an explanation."""
    regex = _PERCENT if "%(" in pattern else _BRACE
    parts: list[Part] = []
    for literal, found in split_pattern(pattern, regex):
        parts.append(literal)
        if found is None:
            continue
        name, padding, escaped = found.groups()
        if escaped:
            parts.append(escaped[0])
            continue
        field, shape = _PYTHON_VALUES.get(name, (name, ANY_TEXT))
        pad_left, pad_right = _padded(padding or "", is_left="-" in (padding or "") or (regex is _BRACE and shape != NUMBER))
        parts.append(Value(field, shape, pad_left=pad_left, pad_right=pad_right))
    return layout_of(_merged(parts), pattern, is_declared=is_declared)


def _padded(width: str, *, is_left: bool) -> tuple[bool, bool]:
    """Return whether spaces may be before a value, and whether they may be after it.

    `width`: what the format string has for the width, such as 8, -8, <8, >8 or ^8. `is_left`: whether the value is left-aligned if `width` has no
    sign for the alignment.
    """
    if not re.search(r"[1-9]", width):
        return False, False
    if "^" in width:
        return True, True
    is_left = "<" in width or (is_left and ">" not in width)
    return not is_left, is_left


def _merged(parts: list[Part]) -> list[Part]:
    """Leave out milliseconds that directly follow the time, as in %(asctime)s.%(msecs)03d, because the regex of the time matches them too."""
    merged: list[Part] = []
    for part in parts:
        if part == "":
            continue
        if isinstance(part, Value) and part.name == "msecs" and merged[-1:] in ([","], ["."]) and getattr(merged[-2], "name", "") == "time":
            merged.pop()
        else:
            merged.append(part)
    return merged
