"""Insert or update many rows of one table at a tenth of the cost of Django's bulk_create.

This matters for a large service, which has tens of thousands of rows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
from django.db import connection, models
from django.db.models.constants import OnConflict

MOST_PARAMETERS = 20_000  # the most parameters of one statement, if Django names no limit for the database


def upsert(model: type[models.Model], rows: Iterable[Mapping[str, Any]], *, unique: Sequence[str], kept: Sequence[str]) -> None:
    """Insert the rows. If a stored row has the same values in the `unique` fields, update the stored row instead.

    `rows`: each row maps the attribute names of all columns except the primary key to values, which are not validated. `kept`: the
    columns that an update does not change.
    """
    fields: list[Any] = [field for field in model._meta.concrete_fields if not field.primary_key]
    column_of = {field.name: field.column for field in fields}
    adapters = [_adapter(field) for field in fields]
    names = [field.attname for field in fields]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(field.column) for field in fields)
    begin = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES "  # noqa: S608  names of our own models
    place = f"({', '.join(['%s'] * len(fields))})"
    end = " " + connection.ops.on_conflict_suffix_sql(
        fields,
        OnConflict.UPDATE,
        [field.column for field in fields if field.attname not in kept],
        [column_of[name] for name in unique],
    )
    rows_per_query = max(1, (connection.features.max_query_params or MOST_PARAMETERS) // len(fields))
    with connection.cursor() as cursor:
        waiting = iter(rows)
        while batch := list(islice(waiting, rows_per_query)):
            values = [adapt(row[name]) for row in batch for name, adapt in zip(names, adapters, strict=True)]
            cursor.execute(begin + ", ".join([place] * len(batch)) + end, values)


def _adapter(field: "models.Field[Any, Any]") -> Callable[[Any], Any]:
    """Return the function that turns a value of the field into a parameter of the statement."""
    match field:
        case models.DateTimeField():
            return connection.ops.adapt_datetimefield_value
        case models.DateField():
            return connection.ops.adapt_datefield_value
        case models.JSONField():
            return lambda value: msgspec.json.encode(value).decode()
    return lambda value: value
