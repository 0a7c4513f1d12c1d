"""The stored facts of a service, as the calculators take them."""

from datetime import datetime
from typing import Any

from dora_metrics.calculators.facts import (
    Coverage,
    DraftEvent,
    Facts,
    GithubDeployment,
    PullRequest,
    Release,
    Review,
    Settings,
    Status,
    WorkflowRun,
)
from dora_metrics.calculators.path_filter import path_filter
from dora_metrics.models import Change, Commit, Deployment, Service
from dora_metrics.models import Coverage as CoverageRow
from dora_metrics.models import Release as ReleaseRow
from dora_metrics.models import WorkflowRun as WorkflowRunRow

ROWS_AT_ONCE = 2000


def settings_of(service: Service, *, time_zone: str) -> Settings:
    return Settings(
        time_zone=time_zone,
        production=service.production,
        deployments_from=service.deployments_from,
        workflow=service.workflow,
        prereleases=service.prereleases,
        bots=frozenset(service.bots),
        default_branch=service.default_branch,
    )


def facts_of(service: Service) -> Facts:
    """All of them, in seven queries: matching a change needs the whole history. A path filter leaves other changes out."""
    is_on_path = path_filter(service.path)
    return Facts(
        deployments=tuple(
            GithubDeployment(
                id=str(row["external_id"]),
                environment=row["environment"],
                sha=row["sha"],
                created_at=row["created_at"],
                statuses=tuple(Status(s["state"], _time(s["created_at"]), s["log_url"]) for s in row["statuses"]),
            )
            for row in _rows(Deployment, service, "external_id", "environment", "sha", "created_at", "statuses")
        ),
        workflow_runs=tuple(
            WorkflowRun(
                id=str(row["external_id"]),
                attempt=row["attempt"],
                name=row["name"],
                path=row["path"],
                branch=row["branch"],
                event=row["event"],
                sha=row["sha"],
                conclusion=row["conclusion"],
                started_at=row["started_at"],
                updated_at=row["version_at"],
            )
            for row in _rows(
                WorkflowRunRow,
                service,
                *("external_id", "attempt", "name", "path", "branch", "event", "sha", "conclusion", "started_at", "version_at"),
            )
        ),
        releases=tuple(
            Release(
                id=str(row["external_id"]),
                sha=row["sha"],
                is_draft=row["is_draft"],
                is_prerelease=row["is_prerelease"],
                published_at=row["published_at"],
            )
            for row in _rows(ReleaseRow, service, "external_id", "sha", "is_draft", "is_prerelease", "published_at")
        ),
        pull_requests=tuple(
            PullRequest(
                number=row["number"],
                author=row["author"],
                author_is_bot=row["author_is_bot"],
                base_branch=row["base_branch"],
                head_sha=row["head_sha"],
                merge_sha=row["merge_sha"],
                created_at=row["created_at"],
                merged_at=row["merged_at"],
                authored_at=tuple(_time(commit["authored_at"]) for commit in row["commits"]),
                reviews=tuple(Review(r["login"], r["is_bot"], _time(r["submitted_at"])) for r in row["reviews"]),
                draft_events=tuple(DraftEvent(event["kind"], _time(event["at"])) for event in row["draft_events"]),
            )
            for row in _rows(
                Change,
                service,
                *("number", "author", "author_is_bot", "base_branch", "head_sha", "merge_sha", "created_at", "merged_at"),
                *("commits", "reviews", "draft_events", "paths"),
            )
            if row["merged_at"] and is_on_path(row["paths"])
        ),
        parents={row["sha"]: tuple(row["parents"]) for row in _rows(Commit, service, "sha", "parents")},
        coverage={row.stream: Coverage(row.since, row.until) for row in CoverageRow.objects.filter(service=service)},
    )


def _rows(model: Any, service: Service, *columns: str) -> Any:
    return model.objects.filter(service=service).order_by("pk").values(*columns).iterator(chunk_size=ROWS_AT_ONCE)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
