"""The watched records: stored records whose changes no list shows. The survey of each night asks for their versions."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, QuerySet

from dora_metrics.calculators.deployment_sources import FAILED_STATES, is_deploying_workflow
from dora_metrics.models import Deployment, Release, Repository, WorkflowRun
from etl_tasks.sources.github.needed_deployment_sources import SUCCESSFUL_STATES
from etl_tasks.sources.github.needed_workflow_runs import named_by_failures

# How long a deployment or a workflow run is watched. It is limited because some never end. GitHub lets a run be run again for 30 days.
# The time is counted back from the newest record of the kind, not from today, so that the newest record is always watched.
LONGEST_WAIT_FOR_AN_END = timedelta(days=30)
ENDED_STATES = (*SUCCESSFUL_STATES, *sorted(FAILED_STATES), "inactive", "destroyed")
# The newest successful deployments are watched, because GitHub marks one inactive when the next one succeeds.
MOST_ACTIVE = 100

# For each watched record, by its global id: its stream, and its stored version (a time in ISO 8601).
Watched = Mapping[str, tuple[str, str]]


def watched(repository: Repository) -> Watched:
    """Return the stored records that may still change. Each kind has its own limit, so many records of one kind do not displace others.

    Deployments without a success and workflow runs that may still change are watched for LONGEST_WAIT_FOR_AN_END, draft releases
    without a limit. Of the successful deployments, the newest MOST_ACTIVE are watched, because they may become inactive.
    """
    found: dict[str, tuple[str, str]] = {}
    unsettled = _recent(Deployment.present.filter(repository=repository)).exclude(state__in=SUCCESSFUL_STATES)
    for node_id, statuses, version in unsettled.order_by("-created_at").values_list("node_id", "statuses", "version_at"):
        if not any(status["state"] == "success" for status in statuses):
            found[node_id] = "deployments", version.isoformat()
    active = Deployment.present.filter(repository=repository, state__in=SUCCESSFUL_STATES).order_by("-created_at")
    for node_id, version in active.values_list("node_id", "version_at")[:MOST_ACTIVE]:
        found[node_id] = "deployments", version.isoformat()
    for node_id, version in Release.present.filter(repository=repository, is_draft=True).values_list("node_id", "version_at"):
        found[node_id] = "releases", version.isoformat()
    for node_id, version in _runs_that_may_change(repository).items():
        found[node_id] = "workflow_runs", version.isoformat()
    found.pop("", None)  # records that an earlier version stored without their ids
    return found


def given_up(repository: Repository) -> QuerySet[Deployment]:
    """Return the deployments that are not watched any more although they have not ended, the oldest first.

    They are more than LONGEST_WAIT_FOR_AN_END older than the newest deployment.
    """
    rows = Deployment.present.filter(repository=repository)
    return rows.exclude(pk__in=_recent(rows).values("pk")).exclude(state__in=ENDED_STATES).order_by("created_at")


def not_stored(repository: Repository, versions: Mapping[str, str]) -> list[str]:
    """Return the global ids of the releases in `versions` that are not stored, or that are stored in an older version.

    `versions`: GitHub's version of each release (a time in ISO 8601), by global id. A release that is marked as gone counts as not
    stored.
    """
    stored = dict(Release.present.filter(repository=repository, node_id__in=versions).values_list("node_id", "version_at")) if versions else {}
    return [node_id for node_id, version in versions.items() if node_id not in stored or stored[node_id] < datetime.fromisoformat(version)]


def _recent(rows: QuerySet[Any]) -> QuerySet[Any]:
    newest = rows.aggregate(newest=Max("created_at"))["newest"]
    return rows.filter(created_at__gte=newest - LONGEST_WAIT_FOR_AN_END) if newest else rows.none()


def _runs_that_may_change(repository: Repository) -> dict[str, datetime]:
    """Return the versions of the workflow runs that may still change, by global id.

    These are runs in progress, runs that failed deployments name, and all runs of deploying workflows: even a successful run
    may be run again, to roll back.
    """
    pattern, named = repository.service.workflow, set(named_by_failures(repository))
    rows = _recent(WorkflowRun.present.filter(repository=repository)).order_by("created_at", "attempt")
    latest: dict[str, tuple[bool, datetime]] = {}
    for node_id, number, name, path, status, version in rows.values_list("node_id", "external_id", "name", "path", "status", "version_at"):
        may_change = status != "completed" or number in named or is_deploying_workflow(name=name, path=path, pattern=pattern)
        latest[node_id] = may_change, version
    return {node_id: version for node_id, (may_change, version) in latest.items() if may_change}
