"""Facts into the SQL database: one upsert for every kind, in natural-key order, the newer version winning."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils.dateparse import parse_datetime

from dora_metrics.bulk_upsert import upsert as bulk_upsert
from dora_metrics.derivation.recompute import hold
from dora_metrics.models import Change, Commit, Deployment, GithubFact, Issue, Release, Repository, WorkflowRun
from etl_tasks.models import StagedPage

ROWS_A_QUERY = 500
RUNS_ARE_KEPT_FOR = timedelta(days=400)  # by GitHub


@dataclass(frozen=True, slots=True)
class Kind:
    model: type[GithubFact]
    key: tuple[str, ...]
    version: str = ""  # the column that tells the newer of two answers; empty for a fact that never changes
    part_of: str = ""  # the kind to whose row its lists are added; it makes no row
    sorted_by: Mapping[str, str] = field(default_factory=dict)  # of a part's lists, those that have an order: the key of their items
    kept_for: timedelta | None = None  # after which GitHub forgets it, which is no deletion


KINDS: Mapping[str, Kind] = {
    "deployment": Kind(Deployment, ("external_id",), "version_at"),
    "deployment_rest": Kind(Deployment, ("external_id",), "version_at", part_of="deployment", sorted_by={"statuses": "created_at"}),
    "workflow_run": Kind(WorkflowRun, ("external_id", "attempt"), "version_at", kept_for=RUNS_ARE_KEPT_FOR),
    "change": Kind(Change, ("number",), "version_at"),
    "change_rest": Kind(Change, ("number",), "version_at", part_of="change"),
    "issue": Kind(Issue, ("number",), "version_at"),
    "issue_rest": Kind(Issue, ("number",), "version_at", part_of="issue"),
    "release": Kind(Release, ("external_id",), "version_at"),
    "commit": Kind(Commit, ("sha",)),
    "commit_rest": Kind(Commit, ("sha",), part_of="commit"),
}


@dataclass(frozen=True, slots=True)
class Upserted:
    """`waiting`: parts whose record is not there, as it is a dead letter; its replay adds them."""

    written: int
    skipped: int
    waiting: int = 0


def upsert(kind_name: str, facts: Iterable[Mapping[str, Any]], *, repository: Repository, run_id: int, page_id: int) -> Upserted:
    """Insert what is new, update what is newer, leave the rest alone; call it inside a transaction that has written nothing of the service.

    One writer of a service at a time, so that nobody inserts what another has found missing. Rows go in the order of their natural key.
    """
    hold(repository.service)
    kind = KINDS[kind_name]
    if kind.part_of:
        return _add_parts(kind, list(facts), repository=repository)
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    gone: list[Mapping[str, Any]] = []
    given = 0
    for fact in facts:
        given += 1
        if "gone_at" in fact:
            gone.append(fact)
            continue
        row = _typed(kind.model, fact)
        key = tuple(row[name] for name in kind.key)
        if key not in newest or (kind.version and row[kind.version] >= newest[key][kind.version]):
            newest[key] = row
    written = _mark_gone(kind, gone, repository=repository)
    keys = sorted(newest)
    for start in range(0, len(keys), ROWS_A_QUERY):
        chosen = {key: newest[key] for key in keys[start : start + ROWS_A_QUERY]}
        written += _upsert_rows(kind, chosen, repository=repository, origin={"run_id": run_id, "page_id": page_id})
    return Upserted(written=written, skipped=given - written)


def _upsert_rows(kind: Kind, rows: Mapping[tuple[Any, ...], dict[str, Any]], *, repository: Repository, origin: Mapping[str, int]) -> int:
    manager = kind.model._default_manager
    first, *_ = kind.key
    stored = manager.select_for_update().filter(repository=repository, **{f"{first}__in": sorted({key[0] for key in rows})}).order_by(*kind.key)
    known = {tuple(getattr(row, name) for name in kind.key): row for row in stored}
    common = {**_defaults(kind.model), "service_id": repository.service_id, "repository_id": repository.pk, **origin}
    new = [{**common, **row} for key, row in rows.items() if key not in known]
    back = _back(known, page_id=origin["page_id"])
    changed = []
    for key, row in rows.items():
        if key in known and (key in back or _is_newer(kind, row, known[key])):
            for name, value in {**row, **origin, **({"gone_at": None} if key in back else {})}.items():
                setattr(known[key], name, value)
            changed.append(known[key])
    bulk_upsert(kind.model, new, unique=("repository", *kind.key), kept=("service_id", "repository_id", *kind.key))
    if changed:
        columns = [name for name in next(iter(rows.values())) if name not in kind.key]
        manager.bulk_update(changed, [*columns, *origin, "gone_at"], batch_size=100)
    return len(new) + len(changed)


def _defaults(model: type[models.Model]) -> dict[str, Any]:
    """By attribute name, what a row has that no fact sets."""
    return {field.attname: field.get_default() for field in model._meta.concrete_fields if not field.primary_key}


def _back(known: Mapping[tuple[Any, ...], GithubFact], *, page_id: int) -> set[tuple[Any, ...]]:
    """Of these, what was gone and was read again since: an older page, replayed, brings nothing back."""
    gone = {key: row.gone_at for key, row in known.items() if row.gone_at}
    read_at = StagedPage.objects.filter(pk=page_id).values_list("fetched_at", flat=True).first() if gone else None
    return {key for key, gone_at in gone.items() if read_at is None or read_at > gone_at}


def _mark_gone(kind: Kind, facts: Sequence[Mapping[str, Any]], *, repository: Repository) -> int:
    """The rows stay as they were last read, and count no more. How many facts had rows to mark."""
    manager: Any = kind.model._default_manager
    written = 0
    for fact in facts:
        gone_at = datetime.fromisoformat(fact["gone_at"])
        rows = manager.filter(repository=repository, gone_at=None, **{name: value for name, value in fact.items() if name != "gone_at"})
        forgotten = 0
        if kind.kept_for:
            forgotten = rows.filter(created_at__lt=gone_at - kind.kept_for).update(node_id="")  # it is never asked for again, and still counts
        written += bool(rows.update(gone_at=gone_at) + forgotten)
    if facts and kind.model is Issue:
        _drop_references({fact["number"] for fact in facts if "number" in fact}, repository=repository)
    return written


def _drop_references(numbers: Collection[int], *, repository: Repository) -> None:
    """GitHub's pull requests no longer name an issue that is gone as one that they close, and no update of theirs tells of it."""
    names = {name.lower() for name in (repository.name, *repository.names)}
    for change in Change.objects.select_for_update().filter(repository=repository).exclude(closes=[]).order_by("number"):
        kept = [one for one in change.closes if one["number"] not in numbers or one["repository"].lower() not in names]
        if kept != change.closes:
            change.closes = kept
            change.save(update_fields=["closes"])


def _add_parts(kind: Kind, parts: list[Mapping[str, Any]], *, repository: Repository) -> Upserted:
    """Append what the rows' lists do not hold yet. Loaded twice, it is there once; what is older than its row is skipped."""
    written = waiting = 0
    for part in parts:
        key = {name: part[name] for name in kind.key}
        row = kind.model._default_manager.select_for_update().filter(repository=repository, **key).first()
        if row is None:
            waiting += 1
        elif not _is_outdated(kind, part, row) and (changed := _longer(kind, part, row)):
            row.save(update_fields=changed)
            written += 1
    return Upserted(written=written, skipped=len(parts) - written - waiting, waiting=waiting)


def _is_outdated(kind: Kind, part: Mapping[str, Any], row: models.Model) -> bool:
    version = part.get(kind.version)
    moment = parse_datetime(version) if version else None
    return moment is not None and moment < getattr(row, kind.version)


def _longer(kind: Kind, part: Mapping[str, Any], row: models.Model) -> list[str]:
    """Set the lists of `row` to which `part` adds something, and name them."""
    changed = []
    for name in part.keys() - {*kind.key, kind.version}:
        stored = getattr(row, name)
        if new := [one for one in part[name] if one not in stored]:
            items = [*stored, *new]
            if order := kind.sorted_by.get(name):
                items.sort(key=lambda item: item[order])
            setattr(row, name, items)
            changed.append(name)
    return sorted(changed)


def _is_newer(kind: Kind, row: Mapping[str, Any], stored: GithubFact) -> bool:
    """Not older than what is stored, and different from it: the same answer twice writes nothing."""
    if not kind.version or row[kind.version] < getattr(stored, kind.version):
        return False
    return any(getattr(stored, name) != value for name, value in row.items())


def _typed(model: type[models.Model], fact: Mapping[str, Any]) -> dict[str, Any]:
    """The fact with its ISO times as datetimes, as the model's columns want them."""
    row = dict(fact)
    for column in model._meta.concrete_fields:
        if isinstance(column, models.DateTimeField) and isinstance(row.get(column.name), str):
            row[column.name] = parse_datetime(row[column.name])
    return row
