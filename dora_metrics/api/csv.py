"""Rows as CSV: the same lines from the API and from the commands."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Columns = Mapping[str, Callable[[Mapping[str, Any]], Any]]


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
