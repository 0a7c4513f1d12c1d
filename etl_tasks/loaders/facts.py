"""Facts into the SQL database: one upsert for every kind, in natural-key order, the newer version winning."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.utils.dateparse import parse_datetime

from dora_metrics.models import Change, Commit, Deployment, Issue, Release, Service, WorkflowRun

ROWS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class Kind:
    model: type[models.Model]
    key: tuple[str, ...]
    version: str = ""  # the column that tells the newer of two answers; empty for a fact that never changes
    is_part: bool = False  # its lists are added to a row that is there; it makes none


KINDS: Mapping[str, Kind] = {
    "deployment": Kind(Deployment, ("external_id",), "version_at"),
    "workflow_run": Kind(WorkflowRun, ("external_id", "attempt"), "version_at"),
    "change": Kind(Change, ("number",), "version_at"),
    "change_rest": Kind(Change, ("number",), is_part=True),
    "issue": Kind(Issue, ("number",), "version_at"),
    "release": Kind(Release, ("external_id",), "version_at"),
    "commit": Kind(Commit, ("sha",)),
}


@dataclass(frozen=True, slots=True)
class Upserted:
    written: int
    skipped: int


def upsert(kind_name: str, facts: Iterable[Mapping[str, Any]], *, service: Service, run_id: int, page_id: int) -> Upserted:
    """Insert what is new, update what is newer, leave the rest alone; call it inside a transaction.

    Rows go in the order of their natural key: two writers that lock in the same order cannot deadlock.
    """
    kind = KINDS[kind_name]
    if kind.is_part:
        return _add_parts(kind, list(facts), service=service)
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    given = 0
    for fact in facts:
        given += 1
        row = _typed(kind.model, fact)
        key = tuple(row[name] for name in kind.key)
        if key not in newest or (kind.version and row[kind.version] >= newest[key][kind.version]):
            newest[key] = row
    written = 0
    keys = sorted(newest)
    for start in range(0, len(keys), ROWS_A_QUERY):
        chosen = {key: newest[key] for key in keys[start : start + ROWS_A_QUERY]}
        written += _upsert_rows(kind, chosen, service=service, origin={"run_id": run_id, "page_id": page_id})
    return Upserted(written=written, skipped=given - written)


def _upsert_rows(kind: Kind, rows: Mapping[tuple[Any, ...], dict[str, Any]], *, service: Service, origin: Mapping[str, int]) -> int:
    manager = kind.model._default_manager
    first, *_ = kind.key
    stored = manager.select_for_update().filter(service=service, **{f"{first}__in": sorted({key[0] for key in rows})}).order_by(*kind.key)
    known = {tuple(getattr(row, name) for name in kind.key): row for row in stored}
    new = [kind.model(service=service, **origin, **row) for key, row in rows.items() if key not in known]
    changed = []
    for key, row in rows.items():
        if key in known and _is_newer(kind, row, known[key]):
            for name, value in {**row, **origin}.items():
                setattr(known[key], name, value)
            changed.append(known[key])
    manager.bulk_create(new)
    if changed:
        columns = [name for name in next(iter(rows.values())) if name not in kind.key]
        manager.bulk_update(changed, [*columns, *origin], batch_size=100)
    return len(new) + len(changed)


def _add_parts(kind: Kind, parts: list[Mapping[str, Any]], *, service: Service) -> Upserted:
    """Append what the rows' lists do not hold yet. Loaded twice, it is there once; a part without its row is skipped."""
    written = 0
    for part in parts:
        key = {name: part[name] for name in kind.key}
        row = kind.model._default_manager.select_for_update().filter(service=service, **key).first()
        if row is None:
            continue
        news = {name: [one for one in items if one not in getattr(row, name)] for name, items in part.items() if name not in kind.key}
        for name, new in news.items():
            setattr(row, name, [*getattr(row, name), *new])
        if any(news.values()):
            row.save(update_fields=list(news))
            written += 1
    return Upserted(written=written, skipped=len(parts) - written)


def _is_newer(kind: Kind, row: Mapping[str, Any], stored: models.Model) -> bool:
    """Not older than what is stored, and different from it: the same answer twice writes nothing."""
    if not kind.version or row[kind.version] < getattr(stored, kind.version):
        return False
    return any(getattr(stored, name) != value for name, value in row.items())


def _typed(model: type[models.Model], fact: Mapping[str, Any]) -> dict[str, Any]:
    """The fact with its ISO times as datetimes, as the model's columns want them."""
    row = dict(fact)
    for field in model._meta.concrete_fields:
        if isinstance(field, models.DateTimeField) and isinstance(row.get(field.name), str):
            row[field.name] = parse_datetime(row[field.name])
    return row
