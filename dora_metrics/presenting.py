"""Rows as CSV, the same from the commands and the API; and text of others as a terminal can show it safely."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Columns = Mapping[str, Callable[[Mapping[str, Any]], Any]]
# What a terminal obeys instead of showing it, what turns or hides text, what ends a line, and what no encoding has; not line feed and tab.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


def printable(text: str) -> str:
    """Lines stay lines; what else could control a terminal is shown as an escape."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    return printable(text).replace("\n", "\\n")


def printable_json(text: str) -> str:
    """The same value without a letter that could control a terminal, which only its strings can have."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def csv_lines(rows: Iterable[Mapping[str, Any]], columns: Columns) -> Iterator[str]:
    """The header, then a line a row, as they come. `columns`: its name, and how its cell is read from a row."""
    writer = csv.writer(_Lines())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([cell(read(row)) for read in columns.values()])


def cell(value: Any) -> Any:
    """Unknown is an empty cell, which no spreadsheet counts as 0."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return neutral(value)
    return value


def neutral(text: str) -> str:
    """A spreadsheet would run a cell that begins like a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


class _Lines:
    """csv writes into it and returns what its write returns: the line."""

    def write(self, line: str) -> str:
        return line
