"""Which source of deployments counts, and which attempts each source reports: docs/metrics.md, "Deployment"."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from dora_metrics.calculators.deployments import Attempt, in_environment, sorted_and_merged
from dora_metrics.calculators.git_history import FULL_SHA, Shas
from dora_metrics.calculators.inputs import Facts, GithubDeployment, LogDeployment, Origin, WorkflowRun
from dora_metrics.calculators.production import PRODUCTION, is_production
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.patterns import compiled

AUTO, GITHUB = "auto", "github"
RESUMED_STATES = frozenset({"pending", "queued", "waiting", "in_progress"})
FAILED_STATES = frozenset({"failure", "error"})
FAILED_CONCLUSIONS = frozenset({"failure", "timed_out"})
# States that a log line may name, in lower case. A line without a state reports a finished deployment.
LOGGED_SUCCESS = frozenset({"", "success", "succeeded", "successful"})
LOGGED_FAILURE = frozenset({"failure", "failed", "error"})
PULL_REQUEST_EVENTS = frozenset({"pull_request", "pull_request_target"})  # workflow runs that these start are not deployments


def attempts(facts: Facts, settings: Settings, *, environment: str = PRODUCTION) -> tuple[list[Attempt], str]:
    """Return the environment's finished attempts by finished_at, with retries merged, and the source that they come from."""
    source, found = source_that_counts(facts, settings)
    return sorted_and_merged(in_environment(found, settings, environment)), source


def source_that_counts(facts: Facts, settings: Settings) -> tuple[str, list[Attempt]]:
    """Return the source's name and its finished attempts in every environment, unordered and with retries.

    One source counts: the configured one, or with "auto" the first in SOURCES with a finished production attempt, or else GitHub.
    """
    if settings.deployments_from != AUTO:
        return settings.deployments_from, _read(settings.deployments_from, facts, settings)
    for name in SOURCES:
        if in_environment(found := _read(name, facts, settings), settings, PRODUCTION):
            return name, found
    return GITHUB, _read(GITHUB, facts, settings)


def sources_that_may_count(deployments_from: str, *, has_github_attempt: bool) -> Collection[str]:
    """Return the sources that count now or may count after the next collection. Only their facts need to be collected.

    `has_github_attempt`: what `has_production_attempt` returns.
    """
    if deployments_from != AUTO:
        return [deployments_from]
    return [GITHUB] if has_github_attempt else list(SOURCES)


def has_production_attempt(deployments: Iterable[GithubDeployment], *, production: str, cancelled_runs: Collection[str]) -> bool:
    """Return whether one of GitHub's deployments is a finished production attempt. If so, `auto` chooses GitHub."""
    return any(
        is_production(deployment.environment, production) and finished(deployment, cancelled_runs=cancelled_runs) for deployment in deployments
    )


def _read(source: str, facts: Facts, settings: Settings) -> list[Attempt]:
    """Return the source's attempts of all repositories. A log belongs to the service, the other sources to one repository each."""
    if source == "logs":
        return _from_logs(facts)
    read = SOURCES[source]
    found = []
    for part in facts.parts:
        found += [attempt if attempt.pull_request is None else _qualified(attempt, facts.qualifier(part)) for attempt in read(part, settings)]
    return found


def _qualified(attempt: Attempt, qualifier: str) -> Attempt:
    """Prefix the ids: several repositories may have a pull request of the same number. GitHub's other ids are unique."""
    return replace(attempt, ids=tuple(f"{qualifier}{number}" for number in attempt.ids)) if qualifier else attempt


def known(facts: Facts, settings: Settings, source: str, *, qualifier: str = "") -> set[tuple[str, str]]:
    """Return the id and sha of every deployment that one repository's facts mention, whether it counts as an attempt or not.

    These are GitHub's deployments and what `source`, the source that counts, reports. `logged` does the same for logs.
    """
    found = {(deployment.id, deployment.sha) for deployment in facts.deployments}
    match source:
        case "workflows":
            found |= {(run.id, run.sha) for run in facts.workflow_runs if _is_deploying(run, settings)}
        case "releases":
            found |= {(release.id, release.sha) for release in facts.releases}
        case "pulls":
            found |= {(f"{qualifier}{pull.number}", pull.merge_sha or pull.head_sha) for pull in facts.pull_requests}
    return found


def logged(facts: Facts) -> dict[str, set[tuple[str, str]]]:
    """Return the id and sha of every deployment that a log line reports, by the repository that has the commit."""
    found: dict[str, set[tuple[str, str]]] = {}
    for repository, line in _located(facts):
        found.setdefault(repository, set()).add((line.id, line.sha))
    return found


def _from_github(facts: Facts, settings: Settings) -> list[Attempt]:
    cancelled = {run.id for run in facts.workflow_runs if run.conclusion == "cancelled"}
    return [attempt for deployment in facts.deployments if (attempt := finished(deployment, cancelled_runs=cancelled, repository=facts.repository))]


def finished(deployment: GithubDeployment, *, cancelled_runs: Collection[str] = (), repository: str = "") -> Attempt | None:
    """Return the attempt that a deployment's statuses describe; None if it has not finished or does not count.

    It succeeded at its first success, whatever follows. Without a success it failed at its last failure, unless it was
    resumed after that, or the failure's log is that of a cancelled workflow run.
    """
    statuses = sorted(deployment.statuses, key=lambda status: (status.created_at, status.state, status.log_url))
    success = next((status for status in statuses if status.state == "success"), None)
    failures = [status for status in statuses if status.state in FAILED_STATES]
    end = success or (failures[-1] if failures else None)
    if end is None:
        return None
    if success is None:
        # GitHub's times are whole seconds: an in_progress in the second of the failure did not come after it.
        is_resumed = any(status.state in RESUMED_STATES and status.created_at > end.created_at for status in statuses)
        if is_resumed or _run_id(end.log_url) in cancelled_runs:
            return None
    return Attempt(
        ids=(deployment.id,),
        environment=deployment.environment,
        sha=deployment.sha,
        started_at=deployment.created_at,
        finished_at=end.created_at,
        is_success=success is not None,
        origin=Origin(end.log_url or deployment.origin.url, deployment.origin.page_id),
        repository=repository,
    )


def _run_id(log_url: str) -> str:
    """Return the run's number in …/actions/runs/123/job/456."""
    _, found, rest = log_url.partition("/actions/runs/")
    return rest.partition("/")[0] if found else ""


def _from_logs(facts: Facts) -> list[Attempt]:
    return [
        Attempt(
            ids=(line.id,),
            environment=line.environment or PRODUCTION,
            names_environment=bool(line.environment),
            sha=line.sha,
            started_at=line.time,
            finished_at=line.time,
            is_success=line.state.lower() in LOGGED_SUCCESS,
            origin=line.origin,
            repository=repository,
        )
        for repository, line in _located(facts)
        if line.state.lower() in LOGGED_SUCCESS | LOGGED_FAILURE
    ]


def _located(facts: Facts) -> Iterator[tuple[str, LogDeployment]]:
    """Yield each log line with its repository, and with the full sha if it named a shortened one.

    The repository is the first one that has the commit in its history, or as the head or merge commit of a pull request; "" if none
    has it. If the service has only one repository, all lines belong to it. A shortened sha is completed if only one commit begins with it.
    """
    of_parts = [(part.repository, Shas(part.parents, _heads_and_merges(part))) for part in facts.parts]
    for line in facts.log_deployments:
        is_shortened = 0 < len(line.sha) < FULL_SHA
        repository, sha = ("" if facts.others else facts.repository), ""
        if is_shortened or facts.others:
            repository, sha = next(((name, sha) for name, shas in of_parts if (sha := shas.named(line.sha))), (repository, ""))
        yield repository, replace(line, sha=sha) if is_shortened and sha else line


def _heads_and_merges(facts: Facts) -> Iterator[str]:
    return (sha for pull in facts.pull_requests for sha in (pull.merge_sha, pull.head_sha))


def _from_releases(facts: Facts, settings: Settings) -> list[Attempt]:
    return [
        Attempt(
            ids=(release.id,),
            environment=PRODUCTION,
            names_environment=False,
            sha=release.sha,
            started_at=release.published_at,
            finished_at=release.published_at,
            is_success=True,
            origin=release.origin,
            repository=facts.repository,
        )
        for release in facts.releases
        if release.published_at and not release.is_draft and (settings.prereleases or not release.is_prerelease)
    ]


def _from_workflows(facts: Facts, settings: Settings) -> list[Attempt]:
    return [
        Attempt(
            ids=(f"{run.id}.{run.attempt}",),
            environment=PRODUCTION,
            names_environment=False,
            sha=run.sha,
            started_at=run.started_at,
            finished_at=run.updated_at,
            is_success=run.conclusion == "success",
            origin=run.origin,
            repository=facts.repository,
        )
        for run in facts.workflow_runs
        if _has_ended(run)
        and may_be_attempt(event=run.event, branch=run.branch, default_branches=[facts.default_branch])
        and _is_deploying(run, settings)
    ]


def is_deploying_workflow(*, name: str, path: str, pattern: str) -> bool:
    """Return whether a workflow of this name and path deploys. `pattern`: the service's setting."""
    is_deploying = compiled(pattern)
    return bool(is_deploying.search(name) or is_deploying.search(path))


def _is_deploying(run: WorkflowRun, settings: Settings) -> bool:
    return is_deploying_workflow(name=run.name, path=run.path, pattern=settings.workflow)


def may_be_attempt(*, event: str, branch: str, default_branches: Collection[str]) -> bool:
    """Return whether a deploying workflow's run of this event and branch counts as an attempt once it has ended.

    `default_branches`: the current and former names of the default branch; if all are empty, it is unknown and every branch counts.
    """
    return event not in PULL_REQUEST_EVENTS and (branch in default_branches or not any(default_branches))


def _has_ended(run: WorkflowRun) -> bool:
    return run.conclusion == "success" or run.conclusion in FAILED_CONCLUSIONS


def _from_pulls(facts: Facts, settings: Settings) -> list[Attempt]:
    return [
        Attempt(
            ids=(str(pull.number),),
            environment=PRODUCTION,
            names_environment=False,
            sha=pull.merge_sha or pull.head_sha,
            started_at=pull.merged_at,
            finished_at=pull.merged_at,
            is_success=True,
            pull_request=pull.number,
            origin=pull.origin,
            repository=facts.repository,
        )
        for pull in facts.pull_requests
        if not facts.default_branch or pull.base_branch == facts.default_branch
    ]


# How each source's attempts are read from one repository's facts, in the order in which "auto" tries the sources.
SOURCES: dict[str, Callable[[Facts, Settings], list[Attempt]]] = {
    "github": _from_github,
    "logs": lambda facts, settings: _from_logs(facts),
    "releases": _from_releases,
    "workflows": _from_workflows,
    "pulls": _from_pulls,
}
# The stream that each source's attempts come from.
STREAM_OF = {
    "github": "deployments",
    "logs": "log_deployments",
    "releases": "releases",
    "workflows": "workflow_runs",
    "pulls": "pull_requests",
}
