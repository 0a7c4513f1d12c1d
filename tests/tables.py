"""What the tables hold, to be compared with the stand-in's truth or with another run's tables."""

from datetime import datetime
from typing import Any

from demo.github.world import World
from dora_metrics.models import Change, Commit, Deployment, DORAMetric, WorkflowRun

BOOKKEEPING = ("id", "run_id", "page_id", "service_id", "moved_at")


def rows(model: Any, *keys: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in BOOKKEEPING} for row in model.objects.order_by(*keys).values()]


def facts() -> dict[str, list[dict[str, Any]]]:
    return {
        "deployments": rows(Deployment, "external_id"),
        "changes": rows(Change, "number"),
        "commits": rows(Commit, "sha"),
        "workflow_runs": rows(WorkflowRun, "external_id", "attempt"),
        "metrics": rows(DORAMetric, "metric", "period", "period_start"),
    }


def assert_equal_to_truth(world: World, clock: datetime) -> None:
    """Ids and fields, each once."""
    stored = facts()
    time = datetime.fromisoformat
    assert [(row["number"], row["state"], row["merge_sha"], row["merged_at"], row["head_sha"], len(row["reviews"])) for row in stored["changes"]] == [
        (
            pull["number"],
            pull["state"].lower(),
            (pull["mergeCommit"] or {"oid": ""})["oid"],
            pull["mergedAt"] and time(pull["mergedAt"]),
            pull["headRefOid"],
            len(pull["reviews"]["nodes"]),
        )
        for pull in sorted(world.pull_requests(clock), key=lambda pull: pull["number"])
    ]
    # That a success was superseded later ("inactive") decides nothing and is not asked for again.
    assert [
        (
            row["external_id"],
            row["sha"],
            row["environment"],
            [(s["state"], time(s["created_at"])) for s in row["statuses"] if s["state"] != "inactive"],
        )
        for row in stored["deployments"]
    ] == [
        (
            one["databaseId"],
            one["commitOid"],
            one["environment"],
            [(s["state"].lower(), time(s["createdAt"])) for s in reversed(one["statuses"]["nodes"]) if s["state"] != "INACTIVE"],
        )
        for one in sorted(world.deployments(clock), key=lambda one: one["databaseId"])
    ]
    head = world.head(clock)
    assert head
    history = sorted(world.history(head), key=lambda commit: commit.oid)
    assert [(row["sha"], row["parents"]) for row in stored["commits"]] == [(commit.oid, list(commit.parents)) for commit in history]
    latest = {row["external_id"]: row for row in stored["workflow_runs"]}  # sorted by attempt: the last one stands
    assert [(number, row["attempt"], row["conclusion"], row["version_at"]) for number, row in latest.items()] == [
        (run["id"], run["run_attempt"], run["conclusion"] or "", time(run["updated_at"]))
        for run in sorted(world.workflow_runs(clock), key=lambda run: run["id"])
    ]
