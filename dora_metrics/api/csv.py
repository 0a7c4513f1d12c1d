"""Rows as CSV, for the API and the commands."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Columns = Mapping[str, Callable[[Mapping[str, Any]], Any]]


def csv_lines(rows: Iterable[Mapping[str, Any]], columns: Columns) -> Iterator[str]:
    """Yield a header line, and one line for each row. `columns`: for the name of each column, the function that reads its cell from a row."""
    writer = csv.writer(_Lines())
    yield writer.writerow(columns)
    for row in rows:
        yield writer.writerow([cell(read(row)) for read in columns.values()])


def cell(value: Any) -> Any:
    """Return the value as it is written in a cell. An unknown value is an empty cell, which no spreadsheet counts as 0."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return without_formula(value)
    return value


def without_formula(text: str) -> str:
    """Put an apostrophe in front of a text that a spreadsheet would run as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


class _Lines:
    """Stands in for the file that csv.writer needs. The writer's `writerow` returns what `write` returns, so it returns the line."""

    def write(self, line: str) -> str:
        return line
