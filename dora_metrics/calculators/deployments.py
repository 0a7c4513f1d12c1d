"""Which finished attempts there are, and which of them succeeded: docs/metrics.md, "Deployment"."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from dora_metrics.calculators.facts import Attempt, Facts, GithubDeployment, LogDeployment, Origin, Settings, WorkflowRun
from dora_metrics.calculators.history import FULL_SHA, Shas
from dora_metrics.patterns import compiled

PRODUCTION = "production"
AUTO, GITHUB = "auto", "github"
RETRY_WITHIN = timedelta(minutes=60)
RESUMED = frozenset({"pending", "queued", "waiting", "in_progress"})
FAILED = frozenset({"failure", "error"})
FAILED_CONCLUSIONS = frozenset({"failure", "timed_out"})
# What a line may call the end of a deployment, in small letters. A line that does not say how it ended tells of one that is done.
LOGGED_SUCCESS = frozenset({"", "success", "succeeded", "successful"})
LOGGED_FAILURE = frozenset({"failure", "failed", "error"})
PULL_REQUEST_EVENTS = frozenset({"pull_request", "pull_request_target"})


def attempts(facts: Facts, settings: Settings, *, environment: str = PRODUCTION) -> tuple[list[Attempt], str]:
    """The environment's finished attempts by finished_at, retries merged, and the source that they come from.

    One source counts, sources are never summed: the configured one, or the first with a finished production attempt.
    """
    chosen, everywhere = _of_the_source_that_counts(facts, settings)
    found = _in_environment(everywhere, settings, environment)
    return _without_retries(sorted((_possible(attempt) for attempt in found), key=lambda attempt: attempt.order)), chosen


def _of_the_source_that_counts(facts: Facts, settings: Settings) -> tuple[str, list[Attempt]]:
    """Its name, and its finished attempts in every environment, as they were reported."""
    if settings.deployments_from != AUTO:
        return settings.deployments_from, _read(settings.deployments_from, facts, settings)
    for name in SOURCES:
        if _in_environment(found := _read(name, facts, settings), settings, PRODUCTION):
            return name, found
    return GITHUB, _read(GITHUB, facts, settings)


def sources_that_may_count(deployments_from: str, *, has_github_attempt: bool) -> Collection[str]:
    """Return the sources that can count, now or once more is collected: those whose facts are worth collecting.

    `has_github_attempt`: whether GitHub's deployments have a finished production attempt, as the function below says.
    """
    if deployments_from != AUTO:
        return [deployments_from]
    return [GITHUB] if has_github_attempt else list(SOURCES)


def has_production_attempt(deployments: Iterable[GithubDeployment], *, production: str, cancelled_runs: Collection[str]) -> bool:
    """Return whether one of GitHub's deployments is a finished attempt in production. `auto` then takes no other source."""
    return any(is_production(one.environment, production) and finished(one, cancelled_runs=cancelled_runs) for one in deployments)


def is_production(environment: str, pattern: str) -> bool:
    """Return whether an environment is production by a service's `production` setting."""
    return bool(compiled(pattern).search(environment))


def is_deploying_workflow(*, name: str, path: str, pattern: str) -> bool:
    """Return whether a workflow deploys by a service's `workflow` setting."""
    is_deploying = compiled(pattern)
    return bool(is_deploying.search(name) or is_deploying.search(path))


def may_be_attempt(*, event: str, branch: str, default_branches: Collection[str]) -> bool:
    """Return whether a deploying workflow's run counts as an attempt once it has ended: one of the default branch, of no pull request.

    `default_branches`: all names that the default branch has had; without any, every branch counts.
    """
    return event not in PULL_REQUEST_EVENTS and (branch in default_branches or not any(default_branches))


def _read(source: str, facts: Facts, settings: Settings) -> list[Attempt]:
    """What the source tells of in all repositories; a line of a log belongs to the service, and to the repository that has its commit."""
    if source == "logs":
        return _from_logs(facts)
    read = SOURCES[source]
    found = []
    for part in facts.parts:
        found += [attempt if attempt.pull_request is None else _qualified(attempt, facts.qualifier(part)) for attempt in read(part, settings)]
    return found


def _qualified(attempt: Attempt, qualifier: str) -> Attempt:
    """GitHub's ids are each there once; the numbers of pull requests are there once a repository."""
    return replace(attempt, ids=tuple(f"{qualifier}{number}" for number in attempt.ids)) if qualifier else attempt


def known(facts: Facts, settings: Settings, source: str, *, qualifier: str = "") -> set[tuple[str, str]]:
    """Id and sha of all that was meant to be deployed from one repository, attempts or not.

    GitHub's deployments, and what the source that counts tells of; what logs tell of is in `logged`.
    """
    found = {(one.id, one.sha) for one in facts.deployments}
    match source:
        case "workflows":
            found |= {(run.id, run.sha) for run in facts.workflow_runs if _is_deploying(run, settings)}
        case "releases":
            found |= {(release.id, release.sha) for release in facts.releases}
        case "pulls":
            found |= {(f"{qualifier}{pull.number}", pull.merge_sha or pull.head_sha) for pull in facts.pull_requests}
    return found


def _possible(attempt: Attempt) -> Attempt:
    if attempt.started_at <= attempt.finished_at:
        return attempt
    return replace(attempt, started_at=attempt.finished_at, has_skew=True)


def _in_environment(found: Iterable[Attempt], settings: Settings, environment: str) -> list[Attempt]:
    """`production` is every environment that its pattern matches, and what names none; another goes by its exact name."""
    if environment == PRODUCTION:
        return [attempt for attempt in found if not attempt.names_environment or is_production(attempt.environment, settings.production)]
    return [attempt for attempt in found if attempt.environment == environment]


def logged(facts: Facts) -> dict[str, set[tuple[str, str]]]:
    """Id and sha of each line of a log that tells of a deployment, by the repository that has the commit."""
    found: dict[str, set[tuple[str, str]]] = {}
    for repository, one in _located(facts):
        found.setdefault(repository, set()).add((one.id, one.sha))
    return found


def _from_github(facts: Facts, settings: Settings) -> list[Attempt]:
    cancelled = {run.id for run in facts.workflow_runs if run.conclusion == "cancelled"}
    return [attempt for deployment in facts.deployments if (attempt := finished(deployment, cancelled_runs=cancelled, repository=facts.repository))]


def finished(deployment: GithubDeployment, *, cancelled_runs: Collection[str] = (), repository: str = "") -> Attempt | None:
    """The attempt that a deployment's statuses amount to; None while they decide nothing.

    Any success decides, at the first one, whatever follows. Else the last failure, unless it was taken up again
    or its log is that of a cancelled workflow run.
    """
    statuses = sorted(deployment.statuses, key=lambda status: (status.created_at, status.state, status.log_url))
    success = next((status for status in statuses if status.state == "success"), None)
    failures = [status for status in statuses if status.state in FAILED]
    end = success or (failures[-1] if failures else None)
    if end is None:
        return None
    if success is None:
        # GitHub counts in whole seconds: in_progress within the failure's own is not after it.
        is_resumed = any(status.state in RESUMED and status.created_at > end.created_at for status in statuses)
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
    """The number in …/actions/runs/123/job/456."""
    _, found, rest = log_url.partition("/actions/runs/")
    return rest.partition("/")[0] if found else ""


def _from_logs(facts: Facts) -> list[Attempt]:
    return [
        Attempt(
            ids=(one.id,),
            environment=one.environment or PRODUCTION,
            names_environment=bool(one.environment),
            sha=one.sha,
            started_at=one.time,
            finished_at=one.time,
            is_success=one.state.lower() in LOGGED_SUCCESS,
            origin=one.origin,
            repository=repository,
        )
        for repository, one in _located(facts)
        if one.state.lower() in LOGGED_SUCCESS | LOGGED_FAILURE
    ]


def _located(facts: Facts) -> Iterator[tuple[str, LogDeployment]]:
    """Each line with the repository whose history, or whose pull requests' ends, have its commit: of several the first, of none ''.

    Programs like to log a shortened sha: it is the one commit that begins so. A service's only repository has all lines.
    """
    of_parts = [(part.repository, Shas(part.parents, _ends(part))) for part in facts.parts]
    for one in facts.log_deployments:
        is_shortened = 0 < len(one.sha) < FULL_SHA
        repository, sha = ("" if facts.others else facts.repository), ""
        if is_shortened or facts.others:
            repository, sha = next(((name, sha) for name, shas in of_parts if (sha := shas.named(one.sha))), (repository, ""))
        yield repository, replace(one, sha=sha) if is_shortened and sha else one


def _ends(facts: Facts) -> Iterator[str]:
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
        if _is_attempt(run, facts.default_branch) and _is_deploying(run, settings)
    ]


def _is_attempt(run: WorkflowRun, default_branch: str) -> bool:
    has_ended = run.conclusion == "success" or run.conclusion in FAILED_CONCLUSIONS
    return has_ended and may_be_attempt(event=run.event, branch=run.branch, default_branches=[default_branch])


def _is_deploying(run: WorkflowRun, settings: Settings) -> bool:
    return is_deploying_workflow(name=run.name, path=run.path, pattern=settings.workflow)


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


# What each source tells of in one repository, in the order of `auto`.
SOURCES: dict[str, Callable[[Facts, Settings], list[Attempt]]] = {
    "github": _from_github,
    "logs": lambda facts, settings: _from_logs(facts),
    "releases": _from_releases,
    "workflows": _from_workflows,
    "pulls": _from_pulls,
}
# The streams that a source's attempts are read from.
STREAM_OF = {
    "github": "deployments",
    "logs": "log_deployments",
    "releases": "releases",
    "workflows": "workflow_runs",
    "pulls": "pull_requests",
}


def _without_retries(found: Sequence[Attempt]) -> list[Attempt]:
    """Merge a failed attempt into the next of its repository and environment that has the same sha and finishes within an hour."""
    kept: list[Attempt] = []
    last_of: dict[tuple[str, str], int] = {}
    for attempt in found:
        place = attempt.repository, attempt.environment
        position = last_of.get(place)
        before = kept[position] if position is not None else None
        if before is not None and position is not None and _is_retried(before, attempt):
            began_at = min(before.began_at, attempt.began_at)
            kept[position] = replace(attempt, ids=(*before.ids, *attempt.ids), first_try_at=began_at)
        else:
            last_of[place] = len(kept)
            kept.append(attempt)
    return sorted(kept, key=lambda attempt: attempt.order)


def _is_retried(before: Attempt, attempt: Attempt) -> bool:
    """Without a sha nothing says that both were of the same commit."""
    is_same_commit = bool(before.sha) and before.sha == attempt.sha
    return not before.is_success and is_same_commit and attempt.finished_at - before.finished_at <= RETRY_WITHIN
