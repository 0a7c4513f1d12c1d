"""The record of a dead letter as lines of text, with the part marked at which it failed."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST_LINES = 3000
# A validation error of msgspec names the place in the record, as in: Expected `int`, got `str` - at `$.author.id`
PLACE = re.compile(r"- at `\$([^`]*)`")
MISSING = re.compile(r"missing required field `([^`]+)`")


@dataclass(frozen=True)
class Line:
    text: str
    is_marked: bool = False


def record_lines(data: str, error: str) -> list[Line]:
    """Return the record pretty-printed, at most MOST_LINES lines, with the failed field marked. A record that is not JSON is returned as it is."""
    try:
        record = json.loads(data)
    except ValueError:
        return [Line(text) for text in data.split("\n")[:MOST_LINES]]
    place = failed_place(error)
    lines: list[Line] = []
    for text, path in _printed(record, (), 0):
        if len(lines) == MOST_LINES:
            break
        lines.append(Line(text, is_marked=place is not None and _is_within(path, place)))
    return lines


def failed_place(error: str) -> tuple[str, ...] | None:
    """Return the path to the failed field that the error names, as keys and indexes; None if it names none.

    The path of a missing field is that of the object that lacks it. A key that the error does not name is "*", which stands for every key.
    """
    found = PLACE.search(error)
    if found is None:
        return () if MISSING.search(error) else None
    return tuple(part for part in re.split(r"[.\[\]]+", found[1].replace("[...]", ".*")) if part)


def _is_within(path: tuple[str, ...], place: tuple[str, ...]) -> bool:
    return len(path) >= len(place) and all(wanted in ("*", part) for part, wanted in zip(path, place, strict=False))


def _printed(value: Any, path: tuple[str, ...], depth: int, *, prefix: str = "", suffix: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each line with the path of the value that it belongs to."""
    indent = "  " * depth
    if isinstance(value, dict | list) and value:
        opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
        yield f"{indent}{prefix}{opening}", path
        items = list(value.items()) if isinstance(value, dict) else [(str(index), item) for index, item in enumerate(value)]
        for number, (key, item) in enumerate(items):
            name = f"{json.dumps(key, ensure_ascii=False)}: " if isinstance(value, dict) else ""
            yield from _printed(item, (*path, key), depth + 1, prefix=name, suffix="," if number < len(items) - 1 else "")
        yield f"{indent}{closing}{suffix}", path
        return
    yield f"{indent}{prefix}{json.dumps(value, ensure_ascii=False)}{suffix}", path
