"""Record to fact, pure: a fact is a plain dictionary of the model's columns, ready for JSON.

Times in a fact are ISO 8601 in UTC. Source of the meanings: docs/metrics.md.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from etl_tasks import records

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Good:
    fact: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bad:
    index: int
    key: str
    data: str
    error: str


class UnreadablePage(ValueError):
    """The page as a whole is not what the source is known to answer."""


def nodes(body: bytes, path: Iterable[str]) -> list[Any]:
    """The list of records in an answer; [] where the repository or object is null. Raises UnreadablePage."""
    try:
        found = json.loads(body)
    except ValueError as exc:
        raise UnreadablePage(f"the answer is not JSON: {exc}") from exc
    for key in path:
        if found is None:
            return []
        if not isinstance(found, dict) or key not in found:
            raise UnreadablePage(f"the answer has no {key!r} where one was expected ({'.'.join(path)})")
        found = found[key]
    if isinstance(found, dict):  # a GraphQL connection
        found = found.get("nodes")
    if found is None:
        return []
    if not isinstance(found, list):
        raise UnreadablePage(f"{'.'.join(path)} is no list")
    return found


def facts(fact: str, raw_records: Iterable[Any]) -> Iterator[Good | Bad]:
    """Validate each record; what fails comes back as Bad, its neighbours as Good, in order."""
    shape, build = SHAPES[fact]
    for index, raw in enumerate(raw_records):
        try:
            yield Good(build(msgspec.convert(raw, shape)))
        except (msgspec.ValidationError, ValueError) as exc:
            data = json.dumps(raw, ensure_ascii=False, separators=(",", ":"))
            yield Bad(index=index, key=_identity(raw), data=data, error=f"{fact}: {exc}")


def deployment(record: records.Deployment) -> dict[str, Any]:
    statuses = sorted(_present(record.statuses), key=lambda status: status.created_at)
    return {
        "external_id": record.database_id,
        "environment": _short(record.environment or "", 255),
        "sha": record.commit_oid,
        "ref": _short(record.ref.name if record.ref else "", 255),
        "task": _short(record.task or "", 255),
        "state": (record.state or "").lower(),
        "creator": _login(record.creator),
        "payload": _text(record.payload or ""),
        "created_at": _time(record.created_at),
        "version_at": _time(record.updated_at),
        "statuses": [{"state": s.state.lower(), "created_at": _time(s.created_at), "log_url": s.log_url or ""} for s in statuses],
        "status_count": record.statuses.total_count if record.statuses else 0,
        "url": "",
    }


def change(record: records.PullRequest) -> dict[str, Any]:
    commits = [node.commit for node in _present(record.commits)]
    reviews = [review for review in _present(record.reviews) if review.submitted_at]
    return {
        "number": record.number,
        "external_id": record.database_id,
        "title": _text(record.title),
        "state": record.state.lower(),
        "author": _login(record.author),
        "author_is_bot": bool(record.author and record.author.is_bot),
        "base_branch": _short(record.base_ref_name, 255),
        "head_branch": _short(record.head_ref_name, 255),
        "head_sha": record.head_ref_oid,
        # An unmerged pull request carries the sha of a trial merge: no commit of the history.
        "merge_sha": record.merge_commit.oid if record.merge_commit and record.merged_at else "",
        "is_draft": record.is_draft,
        "created_at": _time(record.created_at),
        "merged_at": _time(record.merged_at) if record.merged_at else None,
        "closed_at": _time(record.closed_at) if record.closed_at else None,
        "version_at": _time(record.updated_at),
        "additions": record.additions,
        "deletions": record.deletions,
        "changed_files": record.changed_files,
        "labels": [label.name for label in _present(record.labels)],
        "commits": [{"sha": commit.oid, "authored_at": _free_time(commit.authored_date)} for commit in commits],
        "commit_count": record.commits.total_count,
        "reviews": [
            {"login": _login(r.author), "is_bot": bool(r.author and r.author.is_bot), "submitted_at": _time(r.submitted_at)}
            for r in reviews
            if r.submitted_at
        ],
        "review_count": record.reviews.total_count,
        "draft_events": [{"kind": DRAFT_EVENTS[e.kind], "at": _time(e.created_at)} for e in _present(record.timeline_items)],
        "url": record.url,
    }


def commit(record: records.Commit) -> dict[str, Any]:
    return {
        "sha": record.oid,
        "parents": [parent.oid for parent in _present(record.parents)],
        "authored_at": _free_time(record.authored_date),
        "committed_at": _free_time(record.committed_date),
        "author": record.author.user.login if record.author and record.author.user else "",
        "url": "",
    }


def workflow_run(record: records.WorkflowRun) -> dict[str, Any]:
    return {
        "external_id": record.id,
        "attempt": record.run_attempt,
        "name": _short(record.name or "", 255),
        "path": _short(record.path or "", 500),
        "branch": _short(record.head_branch or "", 255),
        "sha": record.head_sha,
        "event": record.event or "",
        "status": record.status or "",
        "conclusion": record.conclusion or "",
        "created_at": _time(record.created_at),
        "started_at": _time(record.run_started_at or record.created_at),
        "version_at": _time(record.updated_at),
        "url": record.html_url,
    }


DRAFT_EVENTS = {"ReadyForReviewEvent": "ready_for_review", "ConvertToDraftEvent": "convert_to_draft"}
SHAPES: Mapping[str, tuple[type, Callable[[Any], dict[str, Any]]]] = {
    "deployment": (records.Deployment, deployment),
    "change": (records.PullRequest, change),
    "commit": (records.Commit, commit),
    "workflow_run": (records.WorkflowRun, workflow_run),
}


def _present(connection: Any) -> list[Any]:
    """The nodes of a connection that are there: GitHub gives null for what may not be read."""
    return [node for node in (connection.nodes or ()) if node is not None] if connection else []


def _login(actor: records.Actor | None) -> str:
    return actor.login if actor else ""


def _time(moment: datetime) -> str:
    """ISO 8601 in UTC. Raises ValueError for a time without a zone or beyond any real one."""
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no zone")
    if not EARLIEST <= moment <= LATEST:
        raise ValueError(f"the time {moment.isoformat()} is impossible")
    return moment.astimezone(UTC).isoformat()


def _free_time(moment: datetime) -> str:
    """A time that git took from somebody's clock: anything goes, within what a database can hold."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment, EARLIEST), LATEST).astimezone(UTC).isoformat()


def _text(text: str) -> str:
    return text.replace("\x00", "\\x00")


def _short(text: str, limit: int) -> str:
    return _text(text)[:limit]


def _identity(raw: object) -> str:
    if isinstance(raw, dict):
        for key in ("databaseId", "oid", "number", "id"):
            if raw.get(key) is not None:
                return f"{raw[key]}"[:60]
    return ""
