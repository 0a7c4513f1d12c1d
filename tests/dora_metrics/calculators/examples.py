"""Functions that make one fact per call, and functions that compute metrics from such facts."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.inputs import (
    Coverage,
    Facts,
    GithubDeployment,
    Issue,
    Links,
    LogDeployment,
    LogHour,
    PullRequest,
    Release,
    RevertSigns,
    Status,
    WorkflowRun,
)
from dora_metrics.calculators.linked_facts import LinkedFacts, link_facts
from dora_metrics.calculators.metric_values import MetricValue, metric_values
from dora_metrics.calculators.service_settings import Settings

START = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOUR_S, DAY_S = 3600.0, 86400.0
JANUARY = date(2026, 1, 1)
STREAMS = ("deployments", "log_deployments", "log_events", "workflow_runs", "releases", "pull_requests", "commits", "issues")
GITHUB, LOGS, RELEASES, WORKFLOWS, PULLS = (Settings(deployments_from=source) for source in ("github", "logs", "releases", "workflows", "pulls"))


def at(days: float = 0, **more: float) -> datetime:
    return START + timedelta(days=days, **more)


LATER = at(400)


def covering(since: datetime, until: datetime) -> dict[str, Coverage]:
    return {stream: Coverage(since, until) for stream in STREAMS}


def success(number: int, sha: str, finished_at: datetime, *, environment: str = "production") -> Attempt:
    return Attempt((str(number),), environment, sha, finished_at, finished_at, is_success=True)


def deployment(number: int, sha: str, created_at: datetime, *states: str, environment: str = "production") -> GithubDeployment:
    """Return a deployment whose statuses are one minute apart."""
    statuses = tuple(Status(state, created_at + timedelta(minutes=minute)) for minute, state in enumerate(states or ("success",)))
    return GithubDeployment(str(number), environment, sha, created_at, statuses)


def pull(number: int, **changed: Any) -> PullRequest:
    """Return a pull request that is opened one day before START and merged at START. Its head is commit h<number>, its merge commit m<number>."""
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


def change(number: int, **changed: Any) -> PullRequest:
    """Return a pull request that is opened 18 and merged 12 hours before day <number>, the day of the deployment with that number."""
    return pull(number, **({"created_at": at(number - 0.75), "merged_at": at(number - 0.5)} | changed))


def revert(number: int, of: int, **changed: Any) -> PullRequest:
    return change(number, **({"revert_signs": RevertSigns(pull=of)} | changed))


def hotfix(number: int, **changed: Any) -> PullRequest:
    return change(number, **({"labels": ("hotfix",)} | changed))


def issue(number: int, created_at: datetime, closed_at: datetime | None = None, **changed: Any) -> Issue:
    """Return an issue that is an incident because of its label."""
    return Issue(number, created_at, closed_at, **({"labels": ("incident",)} | changed))


def links(*, deployment: str = "", root_cause: str = "", caused_by: int | None = None) -> Links:
    """Return the references to a cause in the text of an issue or pull request, at most one of each kind."""
    return Links(*(() if one in ("", None) else (one,) for one in (deployment, root_cause, caused_by)))


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


def release(number: int, sha: str, published_at: datetime | None, **changed: Any) -> Release:
    return Release(str(number), sha, published_at=published_at, **({"is_draft": False, "is_prerelease": False} | changed))


def line(*shas: str) -> dict[str, tuple[str, ...]]:
    """Return a linear history. `shas`: the oldest commit first."""
    return {sha: (shas[index - 1],) if index else () for index, sha in enumerate(shas)}


def facts(**changed: Any) -> Facts:
    return Facts(**({"coverage": covering(at(0), at(31)), "default_branch": "main"} | changed))


def one_a_day(*shas: str, **changed: Any) -> dict[str, Any]:
    """Return a linear history of `shas`, with deployment 0 of the first on day 0, deployment 1 of the second on day 1 and so on."""
    deployments = tuple(deployment(day, sha, at(day)) for day, sha in enumerate(shas))
    return {"deployments": deployments, "parents": line(*dict.fromkeys(shas)), "repositories": frozenset({"acme/billing"})} | changed


def assessed(*, settings: Settings = GITHUB, now: datetime = LATER, environment: str = "production", **changed: Any) -> LinkedFacts:
    return link_facts(facts(**changed), settings, now=now, environment=environment)


def failed(**changed: Any) -> dict[str, set[str]]:
    """Map the key of each deployment that counts as failed to the rules by which it does."""
    return {one.attempt.key: {cause.rule for cause in one.causes} for one in assessed(**changed).attempts if one.is_failed}


def unplanned(**changed: Any) -> dict[str, set[str]]:
    """Map the key of each successful deployment that counts as unplanned to the rules by which it does."""
    return {one.attempt.key: {cause.rule for cause in one.unplanned} for one in assessed(**changed).attempts if one.unplanned}


def linked(**changed: Any) -> dict[int | None, tuple[str, str] | None]:
    """Map each incident's number to the key of the deployment that it is linked to and the kind of link; None for no link."""
    return {one.incident.number: (one.link.attempt.key, one.link.how) if one.link.attempt else None for one in assessed(**changed).incidents}


def values(*, settings: Settings = GITHUB, now: datetime = LATER, environment: str = "production", **changed: Any) -> list[MetricValue]:
    return metric_values(facts(**changed), settings, now=now, environment=environment)


def value_of(metric: str, kind: str = "month", start: date = JANUARY, **changed: Any) -> MetricValue:
    return next(v for v in values(**changed) if (v.metric, v.period_kind, v.period_start) == (metric, kind, start))


def days_with(metric: str, name: str, **changed: Any) -> dict[int, Any]:
    """Map each day, counted from START, to the detail `name` of the metric's value, without the days on which that is 0, None or empty."""
    found = {(v.period_start - JANUARY).days: v.details[name] for v in of_days(metric, **changed)}
    return {day: shown for day, shown in found.items() if shown}


def of_days(metric: str, **changed: Any) -> Iterator[MetricValue]:
    return (v for v in values(**changed) if (v.metric, v.period_kind) == (metric, "day"))


def logged(number: int, time: datetime, **changed: Any) -> LogDeployment:
    """Return a log line that reports a successful deployment."""
    return LogDeployment(str(number), time, **({"state": "success"} | changed))


def log_hours(begin: datetime, *minutes: tuple[int, int], source: str = "web") -> tuple[LogHour, ...]:
    """Return the hourly counts of a log. `minutes`: the (events, errors) of the consecutive minutes from `begin` on."""
    found: dict[datetime, dict[int, tuple[int, int]]] = {}
    for number, counts in enumerate(minutes):
        minute = begin + timedelta(minutes=number)
        found.setdefault(minute.replace(minute=0), {})[minute.minute] = counts
    return tuple(LogHour(source, hour, of_hour, page_id=number + 1) for number, (hour, of_hour) in enumerate(found.items()))
