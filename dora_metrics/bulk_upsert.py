"""Insert or update many rows of one table at a tenth of the cost of Django's bulk_create.

This matters for a large service, which has tens of thousands of rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from itertools import chain, islice
from types import MappingProxyType
from typing import Any

import msgspec
from django.db import connection, models
from django.db.models.constants import OnConflict

MOST_PARAMETERS = 20_000  # the most parameters of one statement, if Django names no limit for the database
ROWS_AT_ONCE = 1000

Prepare = Callable[[Any], Any]


def upsert(model: type[models.Model], rows: Iterable[Mapping[str, Any]], *, unique: Sequence[str], kept: Sequence[str]) -> None:
    """Insert the rows. If a stored row has the same values in the `unique` fields, update the stored row instead.

    `rows`: each row maps the attribute names of all columns except the primary key to values, which are not validated. `kept`: the
    columns that an update does not change.
    """
    columns = {field.attname: preparation(field) for field in model._meta.concrete_fields if not field.primary_key}
    upsert_prepared(model, _prepared(rows, columns), columns=list(columns), unique=unique, kept=kept)


def _prepared(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Prepare | None]) -> Iterator[Sequence[Any]]:
    """Yield the parameters of each row. They are prepared column by column, which takes half of the time."""
    waiting = iter(rows)
    while batch := list(islice(waiting, ROWS_AT_ONCE)):
        values = {name: [row[name] for row in batch] for name in columns}
        yield from zip(*(map(prepare, values[name]) if prepare else values[name] for name, prepare in columns.items()), strict=True)


def upsert_prepared(
    model: type[models.Model],
    rows: Iterable[Sequence[Any]],
    *,
    columns: Sequence[str],
    unique: Sequence[str],
    kept: Sequence[str],
    same: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Insert or update rows as `upsert` does. Each row has the parameters of the statement, in the order of `columns`.

    `columns`: attribute names of the model. A parameter is what `preparation` makes of a value. `same`: the values of further columns,
    which are the same in all rows. They are part of the statement's text, because each parameter costs time.
    """
    fields: list[Any] = [field for field in model._meta.concrete_fields if not field.primary_key]
    column_of = {name: field.column for field in fields for name in (field.name, field.attname)}
    quote = connection.ops.quote_name
    begin = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(quote(column_of[name]) for name in (*columns, *same))}) VALUES "  # noqa: S608  names of our own models
    fixed = "".join(f", {int(value)}" for value in same.values())
    place = f"({', '.join(['%s'] * len(columns))}{fixed})"
    end = " " + connection.ops.on_conflict_suffix_sql(
        fields,
        OnConflict.UPDATE,
        [column_of[name] for name in (*columns, *same) if name not in kept],
        [column_of[name] for name in unique],
    )
    rows_per_query = max(1, (connection.features.max_query_params or MOST_PARAMETERS) // len(columns))
    with connection.cursor() as cursor:
        waiting = iter(rows)
        while batch := list(islice(waiting, rows_per_query)):
            if connection.vendor == "mysql":
                cursor.execute(begin + _mysql_rows(batch, fixed) + end)
            else:
                cursor.execute(begin + ", ".join([place] * len(batch)) + end, list(chain.from_iterable(batch)))


def _mysql_rows(rows: Sequence[Sequence[Any]], fixed: str) -> str:
    """Return the rows as text of a statement, with the literals that MySQLdb would put in the places of the parameters.

    MySQLdb writes each parameter into the text, too, one after the other. Here each value of a column is escaped once, however many rows have
    it, which takes half of the time. `fixed`: what follows the values of each row.
    """
    driver: Any = connection.connection
    escape, text_of_float, literal_of_others = driver.string_literal, driver.encoders[float], driver.literal

    def literal(value: Any) -> bytes:
        kind = type(value)
        if kind is str:
            return escape(value)
        if kind is float:
            return text_of_float(value, None).encode()
        return b"%d" % value if kind is int else literal_of_others(value)

    columns = []
    for column in zip(*rows, strict=True):
        values = set(column)
        literals = dict(zip(values, map(escape if set(map(type, values)) == {str} else literal, values), strict=True))
        columns.append(map(literals.__getitem__, column))
    end = fixed.encode()
    return (b"(" + (end + b"), (").join(map(b", ".join, zip(*columns, strict=True))) + end + b")").decode()


def preparation(field: "models.Field[Any, Any]") -> Prepare | None:
    """Return the function that turns a value of the field into a parameter of the statement; None if the value is one as it is."""
    match field:
        case models.DateTimeField():
            return time_parameter
        case models.DateField():
            return _date_parameter
        case models.JSONField():
            return _json_text
    return None


def time_parameter(moment: datetime | None) -> Any:
    """Return a time as a parameter. Parameters of the same database are in the order of their times."""
    if moment is not None and moment.tzinfo is UTC and _takes_utc():
        return moment.isoformat(" ")[:-6]  # what Django returns, too, at a tenth of the cost
    return connection.ops.adapt_datetimefield_value(moment)


@cache
def _takes_utc() -> bool:
    """Return whether the database is MySQL and stores times in UTC. Django's connection takes longer to answer that than a time to be written."""
    return connection.vendor == "mysql" and connection.timezone is UTC


def _date_parameter(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
