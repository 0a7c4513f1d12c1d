"""Short ways to write facts down."""

from datetime import UTC, datetime, timedelta
from typing import Any

from dora_metrics.calculators.facts import Attempt, Coverage, Facts, GithubDeployment, PullRequest, Status, WorkflowRun

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def at(days: float = 0, **more: float) -> datetime:
    return START + timedelta(days=days, **more)


def covering(since: datetime, until: datetime) -> dict[str, Coverage]:
    return {stream: Coverage(since, until) for stream in ("deployments", "workflow_runs", "pull_requests", "commits")}


def success(number: int, sha: str, finished_at: datetime, *, environment: str = "production") -> Attempt:
    return Attempt((str(number),), environment, sha, finished_at, finished_at, is_success=True)


def deployment(number: int, sha: str, created_at: datetime, *states: str, environment: str = "production") -> GithubDeployment:
    """Its statuses a minute apart."""
    statuses = tuple(Status(state, created_at + timedelta(minutes=minute)) for minute, state in enumerate(states or ("success",)))
    return GithubDeployment(str(number), environment, sha, created_at, statuses)


def pull(number: int, **changed: Any) -> PullRequest:
    """Opened a day before START, merged at START as commit m<number> of head h<number>."""
    usual: dict[str, Any] = {
        "author": "ada",
        "author_is_bot": False,
        "base_branch": "main",
        "head_sha": f"h{number}",
        "merge_sha": f"m{number}",
        "created_at": at(-1),
        "merged_at": at(0),
    }
    usual |= {"closed_at": changed.get("merged_at", usual["merged_at"])}
    return PullRequest(number=number, **(usual | changed))


def run(number: int, **changed: Any) -> WorkflowRun:
    usual: dict[str, Any] = {
        "attempt": 1,
        "name": "Deploy",
        "path": ".github/workflows/release.yml",
        "branch": "main",
        "event": "push",
        "sha": "a",
        "conclusion": "success",
        "started_at": at(0),
        "updated_at": at(0, minutes=5),
    }
    return WorkflowRun(id=str(number), **(usual | changed))


def line(*shas: str) -> dict[str, tuple[str, ...]]:
    """A straight history, the oldest commit first."""
    return {sha: (shas[index - 1],) if index else () for index, sha in enumerate(shas)}


def facts(**changed: Any) -> Facts:
    return Facts(**({"coverage": covering(at(0), at(31))} | changed))
