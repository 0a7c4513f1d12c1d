"""Map records to facts. A fact is a dictionary of the model's columns that can be written as JSON. The functions are pure.

Times in a fact are in ISO 8601 and UTC. docs/metrics.md defines what the fields mean.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import msgspec

from etl_tasks.outcomes import Bad, Good, UnreadablePage
from etl_tasks.sources.github import records, text_references
from etl_tasks.sources.github.raw_values import decoded_json, decoded_part, object_type

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
NULLABLE = ("object", "pullRequest", "issue", "node")


def nodes(body: bytes, path: Iterable[str]) -> list[Any]:
    """Return the records at `path` in an answer, as `nodes_in` does. Raises UnreadablePage also if the body is not JSON."""
    return nodes_in(decoded(body), path)


def decoded(body: bytes) -> Any:
    """Return the decoded answer. Raises UnreadablePage if it is not JSON."""
    try:
        return decoded_json(body)
    except (ValueError, RecursionError) as exc:  # RecursionError: lists in lists in lists, a thousand deep
        raise UnreadablePage(f"the answer is not JSON: {exc}") from exc


def nodes_in(answer: Any, path: Iterable[str]) -> list[Any]:
    """Return the records at `path` in a decoded answer: the nodes of a connection, the items of a list, or a single object as a list of one.

    Returns [] if a single record is null (its key is in NULLABLE), because it is gone. Raises UnreadablePage if `path` leads to nothing or
    to another null, because records would be missed.
    """
    found, is_nullable = answer, False
    for key in path:
        if found is None and is_nullable:
            return []
        is_nullable = key in NULLABLE
        if not isinstance(found, dict) or key not in found:
            raise UnreadablePage(f"the answer has no {key!r} where one was expected ({'.'.join(path)})")
        found = found[key]
    if isinstance(found, dict):
        found = found.get("nodes") if "nodes" in found else [found]
    if found is None and is_nullable:
        return []
    if not isinstance(found, list):
        raise UnreadablePage(f"{'.'.join(path)} is not a list")
    return found


def facts_of_page(fact: str, body: bytes, path: tuple[str, ...]) -> list[Good | Bad] | None:
    """Return the facts of a page whose records are all good; None for any other page, of which `nodes` and `to_facts` say what is bad.

    The records are decoded directly into their types. There is no dictionary in between, which costs as much as the facts.
    """
    record_type, build = MAPPINGS[fact]
    try:
        found = decoded_part(body, list_decoder(path, record_type))
        for key in path:
            found = found[key]
        return [Good(build(record)) for record in (found["nodes"] if isinstance(found, dict) else found)]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


@cache
def list_decoder(path: tuple[str, ...], record: Any) -> msgspec.json.Decoder[Any]:
    """Return a decoder of pages with a list of records of this type at `path`. It raises for a page of another form."""
    found: Any = list[record]
    if path[-1] not in ("nodes", "workflow_runs"):
        found = object_type({"nodes": found}, has_all=True)
    for key in reversed(path):
        found = object_type({key: found}, has_all=True)
    return msgspec.json.Decoder(found)


def to_facts(fact: str, raw_records: Iterable[Any]) -> Iterator[Good | Bad]:
    """Validate the records and map them to facts of one kind. Yields a Good or a Bad for each record, in their order."""
    record_type, build = MAPPINGS[fact]
    for index, raw in enumerate(raw_records):
        try:
            yield _good(msgspec.convert(raw, record_type), build)
        except (msgspec.ValidationError, ValueError, RecursionError) as exc:
            # msgspec does not say where the unpaired surrogate is that it cannot take for a time, for example.
            reason = next(_impossible(raw), str(exc)) if isinstance(exc, UnicodeEncodeError) else str(exc)
            yield Bad(index=index, key=_identity(raw), data=_as_json(raw), error=f"{fact}: {reason}")


def _good(record: msgspec.Struct, build: Callable[[Any], dict[str, Any]]) -> Good:
    """Map the record. Raises ValueError, which names the field, for a value that its type allows and the tables do not."""
    try:
        good = Good(build(record))
        msgspec.json.encode(good.fact)  # raises for an unpaired surrogate, which would fail the stage later
    except ValueError as exc:
        raise ValueError(next(_impossible(record), str(exc))) from exc
    return good


def _impossible(value: Any, place: str = "$", *, is_git_time: bool = False) -> Iterator[str]:
    """Yield a sentence for each impossible time and text in a record, with its place as msgspec's own messages name it."""
    match value:
        case datetime() if not is_git_time and not EARLIEST <= value <= LATEST:
            yield f"The time {value.isoformat()} is impossible - at `{place}`"
        case str() if any("\ud800" <= letter <= "\udfff" for letter in value):
            yield f"The text has half of a character (an unpaired surrogate) - at `{place}`"
        case list():
            for item in value:
                yield from _impossible(item, f"{place}[...]")
        case dict():
            for key, item in value.items():
                yield from _impossible(item, f"{place}.{key}")
        case msgspec.Struct():
            for field in msgspec.structs.fields(value):
                is_git_time = field.name in ("authored_date", "committed_date")
                yield from _impossible(getattr(value, field.name), f"{place}.{field.encode_name}", is_git_time=is_git_time)


def _as_json(raw: Any) -> str:
    try:
        return json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace").decode()
    except RecursionError:
        return "lists in lists in lists, too deep to be written here: the staged page has the record"


def deployment(record: records.Deployment) -> dict[str, Any]:
    statuses = _statuses(record.statuses)
    moments = [record.updated_at, *(status.created_at for status in statuses)]
    return {
        "external_id": record.database_id,
        "node_id": record.id,
        "environment": _short(record.environment or "", 255),
        "sha": record.commit_oid,
        "ref": _short(record.ref.name if record.ref else "", 255),
        "task": _short(record.task or "", 255),
        "state": _lower(record.state or ""),
        "creator": _login(record.creator),
        "created_at": checked_time(record.created_at),
        # Some GitHub servers do not change the deployment's own time when it gets a new status.
        "version_at": checked_time(max(moments)),
        "statuses": [_status(status) for status in statuses],
        "status_count": record.statuses.total_count if record.statuses else 0,
        # GitHub has no page for a single deployment. This page lists all deployments of its environment.
        "url": f"{record.repository.url}/deployments/{quote(record.environment or '', safe='')}" if record.repository else "",
    }


def deployment_rest(record: records.DeploymentNextPages) -> dict[str, Any]:
    """Map a page, after the first, of a deployment's statuses. Its statuses are older than those of the first page."""
    moments = [record.updated_at, *([record.latest_status.created_at] if record.latest_status else [])]
    return {
        "external_id": record.database_id,
        "version_at": checked_time(max(moments)),
        "statuses": [_status(status) for status in _statuses(record.statuses)],
    }


def change(record: records.PullRequest) -> dict[str, Any]:
    return {
        "number": record.number,
        "external_id": _number(record.database_id),
        "title": _text(record.title),
        "state": _lower(record.state),
        "author": _login(record.author),
        "author_is_bot": bool(record.author and record.author.is_bot),
        "base_branch": _short(record.base_ref_name, 255),
        "head_branch": _short(record.head_ref_name, 255),
        "head_sha": record.head_ref_oid,
        # GitHub gives an unmerged pull request the sha of a test merge, which is not in the history.
        "merge_sha": record.merge_commit.oid if record.merge_commit and record.merged_at else "",
        "is_draft": record.is_draft,
        "created_at": checked_time(record.created_at),
        "merged_at": checked_time(record.merged_at) if record.merged_at else None,
        "closed_at": checked_time(record.closed_at) if record.closed_at else None,
        "version_at": checked_time(record.updated_at),
        "additions": record.additions,
        "deletions": record.deletions,
        "changed_files": record.changed_files,
        **_lists_of_change(record),
        "commit_count": record.commits.total_count,
        "review_count": record.reviews.total_count,
        "revert_signs": text_references.revert_signs(title=record.title, branch=record.head_ref_name, body=record.body),
        "links": text_references.incident_links(record.body),
        "url": record.url,
    }


def change_rest(record: records.PullRequestNextPages) -> dict[str, Any]:
    """Map pages, after the first, of the lists inside a pull request. A list that was not requested is empty."""
    return {"number": record.number, "version_at": checked_time(record.updated_at) if record.updated_at else None, **_lists_of_change(record)}


def _lists_of_change(record: records.PullRequest | records.PullRequestNextPages) -> dict[str, list[Any]]:
    return {
        "labels": _names(record.labels),
        "commits": [{"sha": node.commit.oid, "authored_at": _git_time(node.commit.authored_date)} for node in _present(record.commits)],
        "reviews": _reviews(record.reviews),
        "paths": [file.path for file in _present(record.files)],
        "draft_events": _events(record.timeline_items),
        "closes": [
            {"repository": closed.repository.name_with_owner, "number": closed.number} for closed in _present(record.closing_issues_references)
        ],
    }


def issue(record: records.Issue) -> dict[str, Any]:
    return {
        "number": record.number,
        "external_id": _number(record.database_id),
        "title": _text(record.title),
        "state": _lower(record.state),
        "state_reason": _lower(record.state_reason or ""),
        "author": _login(record.author),
        "labels": _names(record.labels),
        "created_at": checked_time(record.created_at),
        "closed_at": checked_time(record.closed_at) if record.closed_at else None,
        "version_at": checked_time(record.updated_at),
        "events": _events(record.timeline_items),
        "links": text_references.incident_links(record.body),
        "url": record.url,
    }


def issue_rest(record: records.IssueNextPages) -> dict[str, Any]:
    return {
        "number": record.number,
        "version_at": checked_time(record.updated_at),
        "labels": _names(record.labels),
        "events": _events(record.timeline_items),
    }


def release(record: records.Release) -> dict[str, Any]:
    return {
        "external_id": record.database_id,
        "node_id": record.id,
        "tag": _short(record.tag_name, 255),
        "name": _text(record.name or ""),
        "sha": record.tag_commit.oid if record.tag_commit else "",
        "is_draft": record.is_draft,
        "is_prerelease": record.is_prerelease,
        "created_at": checked_time(record.created_at),
        "published_at": checked_time(record.published_at) if record.published_at else None,
        "version_at": checked_time(record.updated_at),
        "url": record.url,
    }


def commit(record: records.Commit) -> dict[str, Any]:
    return {
        "sha": record.oid,
        "parents": _parents(record),
        "authored_at": _git_time(record.authored_date),
        "committed_at": _git_time(record.committed_date),
        "author": record.author.user.login if record.author and record.author.user else "",
        "url": record.url,
    }


def commit_rest(record: records.CommitNextPages) -> dict[str, Any]:
    return {"sha": record.oid, "parents": _parents(record)}


def _parents(record: records.Commit | records.CommitNextPages) -> list[str]:
    """Return the commit's parents. Raises ValueError if it is its own parent: whoever walks through the history would never come to an end."""
    found = [parent.oid for parent in _present(record.parents)]
    if record.oid in found:
        raise ValueError("The commit is its own parent - at `$.parents`")
    return found


def workflow_run(record: records.WorkflowRun) -> dict[str, Any]:
    return {
        "external_id": record.id,
        "node_id": record.node_id,
        "attempt": record.run_attempt,
        "name": _short(record.name or "", 255),
        "path": _short(record.path or "", 500),
        "branch": _short(record.head_branch or "", 255),
        "sha": record.head_sha,
        "event": _short(record.event or "", 60),
        "status": record.status or "",
        "conclusion": record.conclusion or "",
        "created_at": checked_time(record.created_at),
        "started_at": checked_time(record.run_started_at or record.created_at),
        "version_at": checked_time(record.updated_at),
        "url": record.html_url,
    }


EVENTS = {
    "ReadyForReviewEvent": "ready_for_review",
    "ConvertToDraftEvent": "convert_to_draft",
    "ClosedEvent": "closed",
    "ReopenedEvent": "reopened",
}
MAPPINGS: Mapping[str, tuple[type, Callable[[Any], dict[str, Any]]]] = {
    "deployment": (records.Deployment, deployment),
    "deployment_rest": (records.DeploymentNextPages, deployment_rest),
    "change": (records.PullRequest, change),
    "change_rest": (records.PullRequestNextPages, change_rest),
    "issue": (records.Issue, issue),
    "issue_rest": (records.IssueNextPages, issue_rest),
    "release": (records.Release, release),
    "commit": (records.Commit, commit),
    "commit_rest": (records.CommitNextPages, commit_rest),
    "workflow_run": (records.WorkflowRun, workflow_run),
}


def _present(connection: Any) -> list[Any]:
    """Return the nodes of a connection without nulls, which stand for records that the token may not read."""
    return [node for node in (connection.nodes or ()) if node is not None] if connection else []


def _names(labels: records.Labels | None) -> list[str]:
    return [label.name for label in _present(labels)]


def _statuses(statuses: records.DeploymentStatuses | None) -> list[records.DeploymentStatus]:
    """Return the statuses, the oldest first."""
    return sorted(_present(statuses), key=lambda status: status.created_at)


def _status(status: records.DeploymentStatus) -> dict[str, str]:
    return {"state": status.state.lower(), "created_at": checked_time(status.created_at), "log_url": status.log_url or ""}


def _reviews(reviews: records.Reviews | None) -> list[dict[str, Any]]:
    return [
        {"login": _login(review.author), "is_bot": bool(review.author and review.author.is_bot), "submitted_at": checked_time(review.submitted_at)}
        for review in _present(reviews)
        if review.submitted_at
    ]


def _events(events: records.Events | None) -> list[dict[str, Any]]:
    return [{"kind": EVENTS[event.kind], "at": checked_time(event.created_at)} for event in _present(events) if event.kind in EVENTS]


def _number(number: int | str | None) -> int | None:
    return None if number is None else int(number)


def _login(actor: records.Actor | None) -> str:
    return actor.login if actor else ""


def checked_time(moment: datetime) -> str:
    """Return the time in ISO 8601 and UTC. Raises ValueError for a time without a zone, or before 1970 or after 2100."""
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no zone")
    if not EARLIEST <= moment <= LATEST:
        raise ValueError(f"the time {moment.isoformat()} is impossible")
    return _iso(moment)


def _git_time(moment: datetime) -> str:
    """Return a time that git took from a person's clock, in ISO 8601 and UTC.

    Such a clock may be wrong, so a time before 1970 or after 2100 is moved to that limit instead of making a bad record.
    """
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _iso(min(max(moment, EARLIEST), LATEST))


def _iso(moment: datetime) -> str:
    """Return what `moment.astimezone(UTC).isoformat()` returns, at a quarter of its cost."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{msgspec.to_builtins(in_utc)[:-1]}+00:00"  # msgspec writes "Z"


def _text(text: str) -> str:
    return text.replace("\x00", "\\x00")


def _lower(state: str) -> str:
    """Return the state in small letters, which may be more letters than it had: there is a capital I with a dot that becomes two."""
    return _short(state.lower(), 30)


def _short(text: str, limit: int) -> str:
    return _text(text)[:limit]


def _identity(raw: object) -> str:
    if isinstance(raw, dict):
        for key in ("databaseId", "oid", "number", "id"):
            if raw.get(key) is not None:
                return f"{raw[key]}"[:60]
    return ""
