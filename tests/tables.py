"""Read the tables of facts and metrics, to compare them with what the stand-in for GitHub serves, or one service's rows with another's.

The "world" is the simulated repository whose data the stand-in serves.
"""

from datetime import datetime
from typing import Any

from dora_metrics.models import (
    Attempt,
    Change,
    Commit,
    Delivery,
    Deployment,
    DORAMetric,
    Incident,
    Issue,
    Release,
    Service,
    WorkflowRun,
)
from etl_tasks.sources.github.needed_deployment_sources import is_undecided
from etl_tasks.sources.github.needed_workflow_runs import named_by_failures
from github_stand_in.worlds.world import World

MOST_SHOWN = 8
BOOKKEEPING = ("id", "run_id", "page_id", "service_id", "repository_id", "moved_at", "gone_at")


def rows(model: Any, *keys: str) -> list[dict[str, Any]]:
    """Return all rows of a model, except those that were deleted on GitHub since they were stored."""
    there = getattr(model, "present", model.objects)
    return [{name: value for name, value in row.items() if name not in BOOKKEEPING} for row in there.order_by(*keys).values()]


def facts() -> dict[str, list[dict[str, Any]]]:
    return {
        "deployments": rows(Deployment, "external_id"),
        "changes": rows(Change, "number"),
        "issues": rows(Issue, "number"),
        "releases": rows(Release, "external_id"),
        "commits": rows(Commit, "sha"),
        "workflow_runs": rows(WorkflowRun, "external_id", "attempt"),
        "metrics": rows(DORAMetric, "metric", "period", "period_start"),
    }


def assert_equal_to_truth(world: World, clock: datetime, *, has_runs: bool = True, has_deployments: bool = True) -> None:
    """Check that the world's changes, issues, deployments, commits and runs are stored once each, with the same fields."""
    stored = facts()
    assert different(stored["changes"], [change(row) for row in by(world.pull_requests(clock), "number")]) == []
    assert different(stored["issues"], [issue(row) for row in by(world.issues(clock), "number")]) == []
    if has_deployments:
        assert different(stored["deployments"], [deployment(row) for row in by(world.deployments(clock), "databaseId")]) == []
    head = world.head(clock)
    history = world.history(head) if head else []
    assert [(row["sha"], row["parents"], row["authored_at"]) for row in stored["commits"]] == [
        (commit.oid, list(commit.parents), commit.authored.replace(microsecond=0)) for commit in sorted(history, key=lambda commit: commit.oid)
    ]
    if has_runs:
        # The rows are sorted by attempt, so the last attempt of each run remains. Earlier ones of deploying workflows are compared below.
        latest = {row["external_id"]: row for row in stored["workflow_runs"]}
        assert different(list(latest.values()), [workflow_run(row) for row in by(world.workflow_runs(clock), "id")]) == []
        earlier = [
            row for row in stored["workflow_runs"] if row["path"].endswith("deploy.yml") and row["attempt"] < latest[row["external_id"]]["attempt"]
        ]
        assert earlier == [
            workflow_run(row)
            for run in by(world.workflow_runs(clock), "id")
            if run["path"].endswith("deploy.yml")
            for attempt in range(1, run["run_attempt"])
            if (row := world.workflow_run_attempt(run["run_number"], attempt, clock))
        ]


def different(stored: list[dict[str, Any]], truth: list[dict[str, Any]]) -> list[Any]:
    """Return the first few differences, only with the fields that differ; [] if the lists are equal."""
    if len(stored) != len(truth):
        return [f"{len(stored)} are stored, {len(truth)} are there"]
    pairs = [(ours, theirs) for ours, theirs in zip(stored, truth, strict=True) if ours != theirs]
    return [{name: (ours.get(name), value) for name, value in theirs.items() if ours.get(name) != value} for ours, theirs in pairs[:MOST_SHOWN]]


def releases_of(world: World, clock: datetime) -> list[dict[str, Any]]:
    return [release(row) for row in by(world.releases(clock), "databaseId")]


# --- the expected fact of each row, written by hand and not with the pipeline's own transform -------------------------


def by(found: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return sorted(found, key=lambda row: row[key])


def time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def iso(text: str) -> str:
    return text.replace("Z", "+00:00")


def login(actor: dict[str, str] | None) -> str:
    return actor["login"] if actor else ""


def is_bot(actor: dict[str, str] | None) -> bool:
    return bool(actor) and (actor or {})["__typename"] == "Bot"


def change(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": row["number"],
        "external_id": row["databaseId"],
        "title": row["title"],
        "state": row["state"].lower(),
        "author": login(row["author"]),
        "author_is_bot": is_bot(row["author"]),
        "base_branch": row["baseRefName"],
        "head_branch": row["headRefName"],
        "head_sha": row["headRefOid"],
        "merge_sha": row["mergeCommit"]["oid"] if row["mergeCommit"] and row["mergedAt"] else "",
        "is_draft": row["isDraft"],
        "created_at": time(row["createdAt"]),
        "merged_at": time(row["mergedAt"]),
        "closed_at": time(row["closedAt"]),
        "version_at": time(row["updatedAt"]),
        "additions": row["additions"],
        "deletions": row["deletions"],
        "changed_files": row["changedFiles"],
        "labels": [label["name"] for label in row["labels"]["nodes"]],
        "commits": [{"sha": node["commit"]["oid"], "authored_at": iso(node["commit"]["authoredDate"])} for node in row["commits"]["nodes"]],
        "commit_count": row["commits"]["totalCount"],
        "reviews": [
            {"login": login(node["author"]), "is_bot": is_bot(node["author"]), "submitted_at": iso(node["submittedAt"])}
            for node in row["reviews"]["nodes"]
        ],
        "review_count": row["reviews"]["totalCount"],
        "paths": [],
        "draft_events": events(row),
        "closes": [{"repository": one["repository"]["nameWithOwner"], "number": one["number"]} for one in row["closingIssuesReferences"]["nodes"]],
        "revert_signs": signs(row),
        "links": links(row["body"]),
        "url": row["url"],
    }


def signs(row: dict[str, Any]) -> dict[str, Any]:
    """Find the signs of a revert in a pull request of the world, whose texts are simpler than those that people write."""
    found: dict[str, Any] = {}
    words = row["body"].split()
    if words[:1] == ["Reverts"]:
        repository, _, number = words[1].partition("#")
        found["pull"] = {"repository": repository, "number": int(number)}
    if row["headRefName"].startswith("revert-"):
        found["branch"] = int(row["headRefName"].split("-")[1])
    if "This reverts commit " in row["body"]:
        found["sha"] = row["body"].partition("This reverts commit ")[2].strip().rstrip(".")
    if row["title"].startswith('Revert "'):
        found["title"] = True
    return found


KINDS = {
    "ReadyForReviewEvent": "ready_for_review",
    "ConvertToDraftEvent": "convert_to_draft",
    "ClosedEvent": "closed",
    "ReopenedEvent": "reopened",
}


def events(row: dict[str, Any]) -> list[dict[str, str]]:
    return [{"kind": KINDS[node["__typename"]], "at": iso(node["createdAt"])} for node in row["timelineItems"]["nodes"]]


def issue(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": row["number"],
        "external_id": row["databaseId"],
        "title": row["title"],
        "state": row["state"].lower(),
        "state_reason": (row["stateReason"] or "").lower(),
        "author": login(row["author"]),
        "labels": [label["name"] for label in row["labels"]["nodes"]],
        "created_at": time(row["createdAt"]),
        "closed_at": time(row["closedAt"]),
        "version_at": time(row["updatedAt"]),
        "events": events(row),
        "links": links(row["body"]),
        "url": row["url"],
    }


def links(body: str) -> dict[str, list[Any]]:
    """Find what the text of an issue or pull request of the world names as the cause of an incident: one thing, nothing, or "unknown"."""
    for start, name, kind in (("deployment: ", "deployments", str), ("root cause: ", "root_causes", str), ("caused by #", "caused_by", int)):
        named = body.partition(start)[2].split(".")[0].strip()
        if named and named != "unknown":
            return {name: [kind(named)]}
    return {}


def deployment(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "external_id": row["databaseId"],
        "node_id": row["id"],
        "environment": row["environment"],
        "sha": row["commitOid"],
        "ref": row["ref"]["name"] if row["ref"] else "",
        "task": row["task"],
        "state": row["state"].lower(),
        "creator": login(row["creator"]),
        "created_at": time(row["createdAt"]),
        "version_at": time(row["updatedAt"]),
        "statuses": [
            {"state": one["state"].lower(), "created_at": iso(one["createdAt"]), "log_url": one["logUrl"] or ""}
            for one in reversed(row["statuses"]["nodes"])
        ],
        "status_count": row["statuses"]["totalCount"],
        "url": f"{row['repository']['url']}/deployments/{row['environment']}",
    }


def release(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "external_id": row["databaseId"],
        "node_id": row["id"],
        "tag": row["tagName"],
        "name": row["name"],
        "sha": row["tagCommit"]["oid"] if row["tagCommit"] else "",
        "is_draft": row["isDraft"],
        "is_prerelease": row["isPrerelease"],
        "created_at": time(row["createdAt"]),
        "published_at": time(row["publishedAt"]),
        "version_at": time(row["updatedAt"]),
        "url": row["url"],
    }


def workflow_run(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "external_id": row["id"],
        "node_id": row["node_id"],
        "attempt": row["run_attempt"],
        "name": row["name"],
        "path": row["path"],
        "branch": row["head_branch"],
        "sha": row["head_sha"],
        "event": row["event"],
        "status": row["status"],
        "conclusion": row["conclusion"] or "",
        "created_at": time(row["created_at"]),
        "started_at": time(row["run_started_at"]),
        "version_at": time(row["updated_at"]),
        "url": row["html_url"],
    }


# --- comparison of two services with the same repository --------------------------------------------------------------


def difference_of_services(ours: Service, fresh: Service) -> list[str]:
    """Return the first few differences in facts and metrics between two services that collected the same repositories."""
    found: list[str] = []
    for model, keys in TABLES.items():
        one, other = _rows_of(model, keys, ours), _rows_of(model, keys, fresh)
        for key in sorted({*one, *other}, key=str):
            if one.get(key) != other.get(key):
                found.append(f"{model.__name__} {', '.join(map(str, key))}: {_difference(one.get(key), other.get(key))}")
    return found[:MOST_SHOWN]


def _is_compared(model: Any, row: dict[str, Any], service: Service, named: set[int]) -> bool:
    """Whether the service's metrics are computed from the row. No other rows are compared, because they are not kept up to date."""
    if model is Release:
        return service.deployments_from == "releases" or is_undecided(service)
    if model is WorkflowRun:
        is_deploying = "deploy" in f"{row['name']} {row['path']}".lower()
        return row["external_id"] in named or (is_deploying and (service.deployments_from == "workflows" or is_undecided(service)))
    return True


TABLES: dict[Any, tuple[str, ...]] = {
    Deployment: ("repository__name", "external_id"),
    Change: ("repository__name", "number"),
    Issue: ("repository__name", "number"),
    Release: ("repository__name", "external_id"),
    Commit: ("repository__name", "sha"),
    WorkflowRun: ("repository__name", "external_id", "attempt"),
    Attempt: ("key",),
    Delivery: ("change__repository__name", "change__number"),
    Incident: ("key",),
    DORAMetric: ("environment", "metric", "period", "period_start"),
}


def _rows_of(model: Any, keys: tuple[str, ...], service: Service) -> dict[tuple[Any, ...], dict[str, Any]]:
    chosen: dict[str, Any] = {"change__service": service} if model is Delivery else {"service": service}
    if hasattr(model, "present"):
        chosen["gone_at"] = None
    columns = [field.attname for field in model._meta.concrete_fields if field.attname not in (*BOOKKEEPING, "change_id", "computed_at")]
    rows = model.objects.filter(**chosen).values(*columns, *keys)
    named = {one for repository in service.repositories.all() for one in named_by_failures(repository)}
    return {tuple(row[key] for key in keys): row for row in rows if _is_compared(model, row, service, named)}


def _difference(one: dict[str, Any] | None, other: dict[str, Any] | None) -> Any:
    if one is None or other is None:
        return "only the fresh one has it" if one is None else "only ours has it"
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}
