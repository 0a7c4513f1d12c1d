"""Write the rows of a derived table that differ from the stored rows, and delete stored rows that no longer follow from the facts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from types import SimpleNamespace
from typing import Any

from django.db import connection, models

from dora_metrics.bulk_upsert import upsert
from dora_metrics.derivation.derived_rows import Row
from dora_metrics.key_lists import listed
from dora_metrics.models import Attempt, DORAMetric, Incident, Service

ROWS_PER_DELETE, ROWS_PER_READ, ROWS_PER_WRITE = 500, 2000, 1000
METRIC_KEY = ("environment", "metric", "period", "period_start")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of derived rows.

    `key`: the columns that identify a row within a service. `unique`: the fields of the unique constraint. `moment`: the column
    with the earliest time at which a row counts in any metric.
    """

    model: type[models.Model]
    key: tuple[str, ...]
    unique: tuple[str, ...]
    moment: str = ""


ATTEMPTS = Table(Attempt, ("key",), ("service", "key"), "finished_at")
INCIDENTS = Table(Incident, ("key",), ("service", "key"), "started_at")
METRICS = Table(DORAMetric, METRIC_KEY, ("service", *METRIC_KEY))


@dataclass(frozen=True, slots=True)
class Difference:
    """A row before and after the update. `before`: None if the row is new. `after`: None if the row was deleted."""

    before: Row | None
    after: Row | None


def write_changed_rows(table: Table, service: Service, rows: Iterable[Row], *, only: models.Q, **origin: Any) -> list[Difference]:
    """Make the service's rows of the table equal to `rows`, and return the differences in the order of their keys.

    `only`: a condition; stored rows that do not meet it are neither changed nor deleted. `origin`: the values of columns that say
    what wrote a row, such as `run_id`. A row that differs only in these columns is not written.
    """
    wanted = {_key(row, table.key): row for row in rows}
    columns = [field.attname for field in table.model._meta.concrete_fields if field.attname not in ("id", "service_id", *origin)]
    places = [columns.index(name) for name in table.key]
    manager = table.model._default_manager
    found: dict[tuple[Any, ...], Difference] = {key: Difference(None, row) for key, row in wanted.items()}
    gone: list[int] = []
    for pk, *values in manager.filter(only, service=service).values_list("pk", *columns).iterator(chunk_size=ROWS_PER_READ):
        key = tuple(values[place] for place in places)
        after = wanted.get(key)
        if after is None:
            gone.append(pk)
        elif values == [after[name] for name in columns]:
            del found[key]
            continue
        found[key] = Difference(dict(zip(columns, values, strict=True)), after)
    delete_rows(table.model, gone)
    differences = [found[key] for key in sorted(found)]
    changed = [{"service_id": service.pk, **origin, **difference.after} for difference in differences if difference.after]
    if table is METRICS:
        _save_metrics(changed)
    else:
        upsert(table.model, changed, unique=table.unique, kept=("service_id", *table.key))
    return differences


def write_linked_rows(table: Table, service: Service, rows: Iterable[tuple[str, Row]]) -> list[datetime]:
    """Make the service's attempts or incidents equal to `rows`, each with its key. Return when the changed rows count, before and now.

    Only some rows are in memory at a time, because a large service has tens of thousands.
    """
    keys: set[str] = set()
    touched: list[datetime] = []
    waiting = iter(rows)
    while group := dict(islice(waiting, ROWS_PER_WRITE)):
        keys.update(group)
        differences = write_changed_rows(table, service, group.values(), only=models.Q(key__in=listed(list(group))))
        touched += [row[table.moment] for difference in differences for row in (difference.before, difference.after) if row]
    stored = table.model._default_manager.filter(service=service).values_list("pk", "key", table.moment).iterator(chunk_size=ROWS_PER_READ)
    gone = {pk: moment for pk, key, moment in stored if key not in keys}
    delete_rows(table.model, list(gone))
    return [*touched, *gone.values()]


def delete_rows(model: type[models.Model], ids: Sequence[int]) -> None:
    for start in range(0, len(ids), ROWS_PER_DELETE):
        model._default_manager.filter(pk__in=ids[start : start + ROWS_PER_DELETE]).delete()


def _save_metrics(rows: list[Row]) -> None:
    """Insert or update metrics with `DORAMetric.objects.bulk_create`, which the specification of the project names."""
    unique = METRICS.unique
    DORAMetric.objects.bulk_create(
        [SimpleNamespace(**row) for row in rows],
        update_conflicts=True,
        update_fields=[field.name for field in DORAMetric._meta.concrete_fields if not field.primary_key and field.name not in unique],
        # MySQL determines the conflicting key itself and refuses this argument; SQLite requires it.
        unique_fields=None if connection.vendor == "mysql" else unique,
    )


def _key(row: Mapping[str, Any], key: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in key)
