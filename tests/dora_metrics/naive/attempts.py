"""A second, slow and simple implementation of docs/metrics.md, "Deployment", which the tests compare with the calculators."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.inputs import Facts, GithubDeployment, LogDeployment, PullRequest
from dora_metrics.calculators.service_settings import Settings

SOURCES = ("github", "logs", "releases", "workflows", "pulls")
PRODUCTION = "production"


def order(attempt: Attempt) -> tuple[object, list[int], str]:
    """Return the sort key of an attempt: its finish, then its id compared as numbers, then its repository."""
    return attempt.finished_at, [int(part) for part in attempt.ids[-1].split("#")[-1].split(".")], attempt.repository


def is_later(one: Attempt, other: Attempt) -> bool:
    return order(one) > order(other)


def source_of(facts: Facts, settings: Settings) -> str:
    """Return the source whose deployments count, or an empty string if `auto` finds none."""
    if settings.deployments_from != "auto":
        return settings.deployments_from
    for source in SOURCES:
        if attempts_in(facts, settings, source, PRODUCTION):
            return source
    return ""


def attempts_in(facts: Facts, settings: Settings, source: str, environment: str, *, merges: bool = True) -> list[Attempt]:
    """Return the attempts of `environment`, sorted by finish. `merges`: whether retries are merged into one attempt."""
    if source in ("github", "logs"):
        found = []
        of_github = [_github(one, part) for part in facts.parts for one in part.deployments]
        for attempt in of_github if source == "github" else [logged(one, facts) for one in facts.log_deployments]:
            if attempt is None:
                continue
            if environment == PRODUCTION:
                is_here = re.search(settings.production, attempt.environment) is not None
            else:
                is_here = attempt.environment == environment
            if is_here:
                found.append(attempt)
    elif environment != PRODUCTION:
        found = []  # these sources have no environments: all their deployments count as production
    elif source == "releases":
        found = [attempt for part in facts.parts for attempt in _releases(part, settings)]
    elif source == "workflows":
        found = [attempt for part in facts.parts for attempt in _workflows(part, settings)]
    elif source == "pulls":
        found = [_pull(pull, part, facts) for part in facts.parts for pull in part.pull_requests if pull.base_branch == part.default_branch]
    else:
        found = []
    unskewed = [_unskewed(attempt) for attempt in found]
    return merge_retries(unskewed) if merges else unskewed


def _unskewed(attempt: Attempt) -> Attempt:
    if attempt.finished_at < attempt.started_at:
        return replace(attempt, started_at=attempt.finished_at, has_skew=True)
    return attempt


def _github(deployment: GithubDeployment, facts: Facts) -> Attempt | None:
    """Return the attempt of a GitHub deployment; None if it has not finished or was cancelled."""
    successes = [status.created_at for status in deployment.statuses if status.state == "success"]
    if successes:
        is_success, finished_at = True, min(successes)
    else:
        failures = [status for status in deployment.statuses if status.state in ("failure", "error")]
        if not failures:
            return None
        is_success, finished_at = False, max(status.created_at for status in failures)
        for status in deployment.statuses:
            if status.state in ("pending", "queued", "waiting", "in_progress") and status.created_at > finished_at:
                return None
        last = [status for status in failures if status.created_at == finished_at][-1]
        named = re.search(r"/actions/runs/(\d+)", last.log_url)
        for run in facts.workflow_runs:
            if named and run.id == named.group(1) and run.conclusion == "cancelled":
                return None
    return Attempt(
        (deployment.id,), deployment.environment, deployment.sha, deployment.created_at, finished_at, is_success, repository=facts.repository
    )


def logged(line: LogDeployment, facts: Facts) -> Attempt | None:
    """Return the attempt of a log line; None if the line does not report the end of a deployment."""
    state = line.state.lower()
    if state not in ("success", "succeeded", "successful", "failure", "failed", "error", ""):
        return None
    is_success = state.startswith("succe") or not state
    repository, sha = place_of(line, facts)
    return Attempt((line.id,), line.environment or PRODUCTION, sha, line.time, line.time, is_success, repository=repository)


def place_of(line: LogDeployment, facts: Facts) -> tuple[str, str]:
    """Return the first repository that has the line's commit, and its full sha. If none has it: the only repository, or an empty string."""
    for part in facts.parts:
        known = set(part.parents)
        for pull in part.pull_requests:
            known |= {pull.merge_sha, pull.head_sha}
        sha = full_sha(line.sha, part)
        if line.sha and sha in known:
            return part.repository, sha
    return "" if facts.others else facts.repository, line.sha


def full_sha(sha: str, facts: Facts) -> str:
    """Return the only commit in git's history or of a pull request that begins with `sha`; `sha` itself if there is none or more than one."""
    known = set(facts.parents)
    for pull in facts.pull_requests:
        known |= {pull.merge_sha, pull.head_sha}
    fitting = [one for one in known if sha and one.startswith(sha)]
    return fitting[0] if 7 <= len(sha) < 40 and len(fitting) == 1 else sha


def _releases(facts: Facts, settings: Settings) -> list[Attempt]:
    found = []
    for release in facts.releases:
        if release.is_draft or release.published_at is None:
            continue
        if release.is_prerelease and not settings.prereleases:
            continue
        times = release.published_at, release.published_at
        found.append(Attempt((release.id,), PRODUCTION, release.sha, *times, is_success=True, repository=facts.repository))
    return found


def _workflows(facts: Facts, settings: Settings) -> list[Attempt]:
    found = []
    for run in facts.workflow_runs:
        if not (re.search(settings.workflow, run.name) or re.search(settings.workflow, run.path)):
            continue
        if run.branch != facts.default_branch or run.event in ("pull_request", "pull_request_target"):
            continue
        if run.conclusion not in ("success", "failure", "timed_out"):
            continue
        is_success = run.conclusion == "success"
        times = run.started_at, run.updated_at
        found.append(Attempt((f"{run.id}.{run.attempt}",), PRODUCTION, run.sha, *times, is_success, repository=facts.repository))
    return found


def _pull(pull: PullRequest, part: Facts, facts: Facts) -> Attempt:
    sha, times = pull.merge_sha or pull.head_sha, (pull.merged_at, pull.merged_at)
    name = name_of_pull(pull.number, part, facts)
    return Attempt((name,), PRODUCTION, sha, *times, is_success=True, pull_request=pull.number, repository=part.repository)


def name_of_pull(number: int, part: Facts, facts: Facts) -> str:
    """Return the number, with the repository's name before it if the service has several."""
    return f"{part.repository}#{number}" if facts.others else str(number)


def merge_retries(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Merge each failed attempt into the next one of its environment and repository, if that has the same commit and ends at most an hour later."""
    in_order = sorted(attempts, key=order)
    merged: list[Attempt] = []
    waiting: dict[tuple[str, str], tuple[str, ...]] = {}  # by repository and environment: ids of the failed attempts that the next one retries
    for index, attempt in enumerate(in_order):
        ids = waiting.pop(place(attempt), ()) + attempt.ids
        later = [other for other in in_order[index + 1 :] if place(other) == place(attempt)]
        if not attempt.is_success and later and _is_retry(attempt, later[0]):
            waiting[place(attempt)] = ids
        else:
            merged.append(replace(attempt, ids=ids))
    return merged


def place(attempt: Attempt) -> tuple[str, str]:
    return attempt.repository, attempt.environment


def _is_retry(failed: Attempt, following: Attempt) -> bool:
    """Whether `following` retries `failed`. Two unknown commits are not the same commit."""
    if not failed.sha or failed.sha != following.sha:
        return False
    return following.finished_at - failed.finished_at <= timedelta(minutes=60)
