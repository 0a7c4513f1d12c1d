"""Load facts into the SQL database. An older version of a fact never replaces a newer one.

All kinds of facts are written by the same function, in the order of their natural keys.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec
from django.db import models
from django.utils.dateparse import parse_datetime
from msgspec import UNSET

from dora_metrics.bulk_upsert import time_parameter, upsert_prepared
from dora_metrics.derivation.recompute import hold
from dora_metrics.key_lists import listed
from dora_metrics.models import Change, GithubFact, Issue, Repository
from etl_tasks.fact_kinds import KINDS, FactKind
from etl_tasks.loaders.fact_rows import Row, RowFormat, row_format
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
    """Lock the service, and load the facts as `upsert_batches` does. Each fact maps columns to values that JSON can hold."""
    hold(repository.service)
    done = upsert_batches(kind_name, [(page_id, msgspec.json.encode(list(facts)))], repository=repository, run_id=run_id)
    if done.written:
        Repository.note_new_facts(repository.pk)
    return done


def upsert_batches(kind_name: str, batches: Iterable[tuple[int, bytes]], *, repository: Repository, run_id: int) -> Upserted:
    """Insert new facts and update older versions. A fact with the key "gone_at" marks the rows that have its other values
    as gone, which means deleted on GitHub.

    `kind_name`: a key of KINDS. `batches`: for each page, its id and a JSON list of facts, as its clean batch has it. `run_id` and the page's
    id are stored in the rows, as the origin of their values. Call it inside a transaction that has locked the service by `hold` before it wrote
    anything of the service. So there is no other writer of the service's facts, and the rows themselves need not be locked. To lock them,
    MariaDB would read a small table without its index, and so wait for the new rows of other services: two first nights would end in a
    deadlock. If facts were written, call Repository.note_new_facts in the same transaction.
    """
    kind = KINDS[kind_name]
    if kind.part_of:
        return _add_parts(kind, list(chain.from_iterable(msgspec.json.decode(batch) for _, batch in batches)), repository=repository)
    written = count = 0
    for pages, gone in _pages_at_once(row_format(kind.model), batches):
        written += _mark_gone(kind, gone, repository=repository)
        written += _upsert_pages(kind, pages, repository=repository, run_id=run_id)
        count += len(gone) + sum(len(rows) for _, rows in pages)
    return Upserted(written=written, skipped=count - written)


# The id of a page, and its rows.
Rows = tuple[int, list[Row]]


def _pages_at_once(table: RowFormat, batches: Iterable[tuple[int, bytes]]) -> Iterator[tuple[list[Rows], list[dict[str, Any]]]]:
    """Yield the rows of several pages that can be written together, and facts that mark rows as gone, which come before these rows.

    A page whose facts lack columns or mark rows as gone is by itself, because it depends on what the pages before it have written.
    """
    waiting: list[Rows] = []
    for page_id, batch in batches:
        if (rows := table.decode(batch)) is not None:
            waiting.append((page_id, rows))
            continue
        yield waiting, []
        waiting = []
        rows, gone = table.decode_leniently(batch)
        yield [(page_id, rows)], gone
    yield waiting, []


# --- whole facts ----------------------------------------------------------------------------------------------------


def _places(kind: FactKind, table: RowFormat) -> tuple[tuple[int, ...], int | None]:
    """Return where a row has the columns of its key, and where it has its version; None for kinds whose facts never change."""
    return tuple(table.columns.index(name) for name in kind.key), table.columns.index(kind.version) if kind.version else None


def _upsert_pages(kind: FactKind, pages: Iterable[Rows], *, repository: Repository, run_id: int) -> int:
    """Write the newest version of each row, as `_upsert_rows` does. Return how many rows were written."""
    key_places, version_place = _places(kind, row_format(kind.model))
    newest: dict[Row, Row] = {}
    page_ids: dict[Row, int] = {}
    for page_id, rows in pages:
        for row in rows:
            key = tuple([row[place] for place in key_places])
            if key not in newest or (version_place is not None and row[version_place] >= newest[key][version_place]):
                newest[key], page_ids[key] = row, page_id
    written, keys = 0, sorted(newest)
    for start in range(0, len(keys), ROWS_A_QUERY):
        chosen = {key: newest[key] for key in keys[start : start + ROWS_A_QUERY]}
        written += _upsert_rows(kind, chosen, page_ids, repository=repository, run_id=run_id)
    return written


def _upsert_rows(kind: FactKind, rows: Mapping[Row, Row], page_ids: Mapping[Row, int], *, repository: Repository, run_id: int) -> int:
    """Write each row that is new, that is newer than its stored version, or whose stored version is marked as gone but was seen again.

    `rows`, `page_ids`: the rows, and the pages that they are from, by natural key. Return how many rows were written.
    """
    table = row_format(kind.model)
    stored = _stored_versions(kind, rows, repository=repository)
    restored = _restored(stored, page_ids)
    changed = _changed(kind, {key: row for key, row in rows.items() if key in stored and key not in restored}, stored, repository=repository)
    written = {key: row for key, row in rows.items() if key not in stored or key in restored or key in changed}
    lacking = {key: row for key, row in written.items() if UNSET in row}
    if lacking:
        before = _stored_values(kind, lacking.keys() & stored.keys(), repository=repository)
        written |= {key: table.completed(row, before.get(key)) for key, row in lacking.items()}
    upsert_prepared(
        kind.model,
        [(*row, time_parameter(stored[key].gone_at) if key in changed else None, page_ids[key]) for key, row in written.items()],
        columns=(*table.columns, "gone_at", "page_id"),
        same={"service_id": repository.service_id, "repository_id": repository.pk, "run_id": run_id},
        unique=("repository", *kind.key),
        kept=("service_id", "repository_id", *kind.key),
    )
    return len(written)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What decides whether a stored row is overwritten. `version`: as a parameter, as rows have it; None for kinds without versions."""

    version: Any
    gone_at: datetime | None


def _stored_versions(kind: FactKind, rows: Collection[Row], *, repository: Repository) -> dict[Row, _Stored]:
    """Return what is known of each stored row by its natural key. `rows`: natural keys."""
    found = _stored_rows(kind, rows, repository=repository)
    if not kind.version:
        return {tuple(key): _Stored(None, gone_at) for *key, gone_at in found.values_list(*kind.key, "gone_at")}
    known = found.values_list(*kind.key, kind.version, "gone_at")
    return {tuple(key): _Stored(time_parameter(version), gone_at) for *key, version, gone_at in known}


def _stored_rows(kind: FactKind, keys: Collection[Row], *, repository: Repository) -> models.QuerySet[GithubFact]:
    first, *_ = kind.key
    return kind.model._default_manager.filter(repository=repository, **{f"{first}__in": listed(sorted({key[0] for key in keys}))})


def _restored(stored: Mapping[Row, _Stored], page_ids: Mapping[Row, int]) -> set[Row]:
    """Return the keys of the stored rows that are marked as gone, but are on a page that was fetched after they were marked.

    The replay of a page that is older than the mark restores nothing.
    """
    gone = {key: row.gone_at for key, row in stored.items() if row.gone_at}
    pages = StagedPage.objects.filter(pk__in={page_ids[key] for key in gone}) if gone else StagedPage.objects.none()
    fetched_at = dict(pages.values_list("pk", "fetched_at"))
    return {key for key, gone_at in gone.items() if (moment := fetched_at.get(page_ids[key])) is None or moment > gone_at}


def _changed(kind: FactKind, rows: Mapping[Row, Row], stored: Mapping[Row, _Stored], *, repository: Repository) -> set[Row]:
    """Return the keys of the rows that are newer than their stored version, or have the same version and other values.

    Always empty for kinds whose facts never change.
    """
    _, version_place = _places(kind, row_format(kind.model))
    if version_place is None:
        return set()
    newer = {key for key, row in rows.items() if row[version_place] > stored[key].version}
    same = {key: row for key, row in rows.items() if row[version_place] == stored[key].version}
    return newer | _different(kind, same, repository=repository)


def _different(kind: FactKind, rows: Mapping[Row, Row], *, repository: Repository) -> set[Row]:
    """Return the keys of the rows that have other values than their stored rows."""
    table, stored = row_format(kind.model), _stored_values(kind, rows, repository=repository)
    return {key for key, row in rows.items() if key in stored and not table.is_same(row, stored[key])}


def _stored_values(kind: FactKind, keys: Collection[Row], *, repository: Repository) -> dict[Row, Row]:
    """Return the values of the stored rows with these natural keys, as Django reads them, in the order of RowFormat.columns."""
    if not keys:
        return {}
    table = row_format(kind.model)
    key_places, _ = _places(kind, table)
    found = _stored_rows(kind, keys, repository=repository).values_list(*table.columns)
    return {tuple([values[place] for place in key_places]): values for values in found}


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
    for change in Change.objects.filter(repository=repository).exclude(closes=[]).order_by("number"):
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
        row = kind.model._default_manager.filter(repository=repository, **key).first()
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
