"""Load facts into the SQL database. An older version of a fact never replaces a newer one.

All kinds of facts are written by the same function, in the order of their natural keys.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models
from django.utils.dateparse import parse_datetime

from dora_metrics.bulk_upsert import upsert as bulk_upsert
from dora_metrics.derivation.recompute import hold
from dora_metrics.models import Change, GithubFact, Issue, Repository
from etl_tasks.fact_kinds import KINDS, FactKind
from etl_tasks.models import StagedPage

ROWS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class Upserted:
    """How many facts were written, how many were skipped because the stored version is the same or newer, and how many wait.

    `waiting`: further parts (FactKind.part_of) of records that are dead letters and so have no row yet. The replay of the dead letter loads
    the parts, too.
    """

    written: int
    skipped: int
    waiting: int = 0


def upsert(kind_name: str, facts: Iterable[Mapping[str, Any]], *, repository: Repository, run_id: int, page_id: int) -> Upserted:
    """Insert new facts and update older versions. A fact with the key "gone_at" marks the rows that have its other values
    as gone, which means deleted on GitHub.

    `kind_name`: a key of KINDS. `run_id`, `page_id`: stored in the rows, as the origin of their values. This function locks the service,
    so that two writers cannot both insert a row that each found missing. Call it inside a transaction that has written nothing of the
    service yet; `hold` says why.
    """
    hold(repository.service)
    kind = KINDS[kind_name]
    if kind.part_of:
        return _add_parts(kind, list(facts), repository=repository)
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    gone: list[Mapping[str, Any]] = []
    received = 0
    for fact in facts:
        received += 1
        if "gone_at" in fact:
            gone.append(fact)
            continue
        row = _with_datetimes(kind.model, fact)
        key = tuple(row[name] for name in kind.key)
        if key not in newest or (kind.version and row[kind.version] >= newest[key][kind.version]):
            newest[key] = row
    written = _mark_gone(kind, gone, repository=repository)
    keys = sorted(newest)
    for start in range(0, len(keys), ROWS_A_QUERY):
        chosen = {key: newest[key] for key in keys[start : start + ROWS_A_QUERY]}
        written += _upsert_rows(kind, chosen, repository=repository, origin={"run_id": run_id, "page_id": page_id})
    return Upserted(written=written, skipped=received - written)


# --- whole facts ----------------------------------------------------------------------------------------------------


def _upsert_rows(kind: FactKind, rows: Mapping[tuple[Any, ...], dict[str, Any]], *, repository: Repository, origin: Mapping[str, int]) -> int:
    """Write each row that is new, that is newer than its stored version, or whose stored version is marked as gone but was seen again.

    `rows`: the rows by natural key. `origin`: the ids of the run and the page. Return how many rows were written.
    """
    first, *_ = kind.key
    stored = kind.model._default_manager.select_for_update().filter(repository=repository, **{f"{first}__in": sorted({key[0] for key in rows})})
    known = {tuple(getattr(row, name) for name in kind.key): row for row in stored.order_by(*kind.key)}
    columns = [column for column in kind.model._meta.concrete_fields if not column.primary_key]
    defaults = {column.attname: column.get_default() for column in columns}
    defaults |= {"service_id": repository.service_id, "repository_id": repository.pk}
    restored = _restored(known, page_id=origin["page_id"])
    changed = []
    for key, row in rows.items():
        if key not in known:
            changed.append({**defaults, **row, **origin})
        elif key in restored or _is_newer(kind, row, known[key]):
            before = {column.attname: getattr(known[key], column.attname) for column in columns}
            changed.append({**before, **row, **origin, **({"gone_at": None} if key in restored else {})})
    bulk_upsert(kind.model, changed, unique=("repository", *kind.key), kept=("service_id", "repository_id", *kind.key))
    return len(changed)


def _restored(known: Mapping[tuple[Any, ...], GithubFact], *, page_id: int) -> set[tuple[Any, ...]]:
    """Return the keys of the stored rows that are marked as gone, but are on a page that was fetched after they were marked.

    `known`: the stored rows by natural key. The replay of a page that is older than the mark restores nothing.
    """
    gone = {key: row.gone_at for key, row in known.items() if row.gone_at}
    fetched_at = StagedPage.objects.filter(pk=page_id).values_list("fetched_at", flat=True).first() if gone else None
    return {key for key, gone_at in gone.items() if fetched_at is None or fetched_at > gone_at}


def _is_newer(kind: FactKind, row: Mapping[str, Any], stored: GithubFact) -> bool:
    """Return whether the row differs from the stored version and is not older. Always False for kinds whose facts never change."""
    if not kind.version or row[kind.version] < getattr(stored, kind.version):
        return False
    return any(getattr(stored, name) != value for name, value in row.items())


def _with_datetimes(model: type[models.Model], fact: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fact with datetimes in place of ISO 8601 texts, for the datetime columns of the model."""
    row = dict(fact)
    for column in model._meta.concrete_fields:
        if isinstance(column, models.DateTimeField) and isinstance(row.get(column.name), str):
            row[column.name] = parse_datetime(row[column.name])
    return row


# --- facts that are gone --------------------------------------------------------------------------------------------


def _mark_gone(kind: FactKind, facts: Sequence[Mapping[str, Any]], *, repository: Repository) -> int:
    """Mark rows as deleted on GitHub: they keep their values, but metrics leave them out. Return how many facts matched a row."""
    manager: Any = kind.model._default_manager
    columns = {column.name for column in kind.model._meta.concrete_fields}
    written = 0
    for fact in facts:
        if not fact.keys() <= columns:
            continue  # pull requests and issues are stored without their global ids: the recheck finds the deleted ones by their numbers
        gone_at = datetime.fromisoformat(fact["gone_at"])
        rows = manager.filter(repository=repository, gone_at=None, **{name: value for name, value in fact.items() if name != "gone_at"})
        expired = 0
        if kind.kept_for:
            # GitHub deletes records of this age itself, so such a row still counts. Without a node id it is not requested again.
            expired = rows.filter(created_at__lt=gone_at - kind.kept_for).update(node_id="")
        written += bool(rows.update(gone_at=gone_at) + expired)
    if facts and kind.model is Issue:
        _drop_references({fact["number"] for fact in facts if "number" in fact}, repository=repository)
    return written


def _drop_references(numbers: Collection[int], *, repository: Repository) -> None:
    """Remove deleted issues from the `closes` lists of pull requests.

    GitHub removes them, too, but the update time of the pull request stays the same, so the pull request is not read again.
    """
    names = {name.lower() for name in (repository.name, *repository.names)}
    for change in Change.objects.select_for_update().filter(repository=repository).exclude(closes=[]).order_by("number"):
        kept = [issue for issue in change.closes if issue["number"] not in numbers or issue["repository"].lower() not in names]
        if kept != change.closes:
            change.closes = kept
            change.save(update_fields=["closes"])


# --- parts of facts -------------------------------------------------------------------------------------------------


def _add_parts(kind: FactKind, parts: list[Mapping[str, Any]], *, repository: Repository) -> Upserted:
    """Append the items of each part to the lists of its row, except items that the row has already.

    So loading a part twice adds nothing. A part that is older than its row is skipped.
    """
    written = waiting = 0
    for part in parts:
        key = {name: part[name] for name in kind.key}
        row = kind.model._default_manager.select_for_update().filter(repository=repository, **key).first()
        if row is None:
            waiting += 1
        elif not _is_outdated(kind, part, row) and (changed := _append_items(kind, part, row)):
            row.save(update_fields=changed)
            written += 1
    return Upserted(written=written, skipped=len(parts) - written - waiting, waiting=waiting)


def _is_outdated(kind: FactKind, part: Mapping[str, Any], row: models.Model) -> bool:
    version = part.get(kind.version)
    moment = parse_datetime(version) if version else None
    return moment is not None and moment < getattr(row, kind.version)


def _append_items(kind: FactKind, part: Mapping[str, Any], row: models.Model) -> list[str]:
    """Extend the lists of `row` by the items that only `part` has; return the names of the changed columns, sorted."""
    changed = []
    for name in part.keys() - {*kind.key, kind.version}:
        stored = getattr(row, name)
        if new := [item for item in part[name] if item not in stored]:
            items = [*stored, *new]
            if order := kind.sorted_by.get(name):
                items.sort(key=lambda item: item[order])
            setattr(row, name, items)
            changed.append(name)
    return sorted(changed)
