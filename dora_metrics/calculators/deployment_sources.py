"""Choose the source from which a service's deployments are taken, and read the attempts that each source reports.

docs/metrics.md describes the sources under "Deployment". The chosen source is called the source that counts.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from dora_metrics.calculators.deployments import Attempt, in_environment, sorted_and_merged
from dora_metrics.calculators.git_history import FULL_SHA, Shas
from dora_metrics.calculators.inputs import Facts, GithubDeployment, LogDeployment, Origin, WorkflowRun
from dora_metrics.calculators.production import PRODUCTION, is_production
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.patterns import compiled

AUTO, GITHUB = "auto", "github"
RESUMED_STATES = frozenset({"pending", "queued", "waiting", "in_progress"})
SUCCESS, FAILED_STATES = "success", frozenset({"failure", "error"})
FAILED_CONCLUSIONS = frozenset({"failure", "timed_out"})
# The states of a log line, in lower case. A line without a state reports a success. A line with any other state does not count.
LOGGED_SUCCESS = frozenset({"", "success", "succeeded", "successful"})
LOGGED_FAILURE = frozenset({"failure", "failed", "error"})
PULL_REQUEST_EVENTS = frozenset({"pull_request", "pull_request_target"})  # workflow runs that these events start are not deployments


def attempts(facts: Facts, settings: Settings, *, environment: str = PRODUCTION) -> tuple[list[Attempt], str]:
    """Return the environment's finished attempts, and the name of the source that they come from.

    The attempts are ordered by finished_at, and retries are merged.
    """
    source, found = source_that_counts(facts, settings)
    return sorted_and_merged(in_environment(found, settings, environment)), source


def source_that_counts(facts: Facts, settings: Settings) -> tuple[str, list[Attempt]]:
    """Return the name of the source that counts, and its finished attempts in all environments, unordered and without merging retries.

    The settings name the source that counts. With "auto" it is the first source in SOURCES that has a finished production attempt,
    or GitHub if no source has one.
    """
    if settings.deployments_from != AUTO:
        return settings.deployments_from, _read(settings.deployments_from, facts, settings)
    for name in SOURCES:
        if in_environment(found := _read(name, facts, settings), settings, PRODUCTION):
            return name, found
    return GITHUB, _read(GITHUB, facts, settings)


def sources_that_may_count(deployments_from: str, *, has_github_attempt: bool) -> Collection[str]:
    """Return the sources that count now or may count after the next collection. Only their facts have to be collected.

    `has_github_attempt`: whether GitHub has a finished production attempt, as `has_production_attempt` returns it.
    """
    if deployments_from != AUTO:
        return [deployments_from]
    return [GITHUB] if has_github_attempt else list(SOURCES)


def has_production_attempt(deployments: Iterable[GithubDeployment], *, production: str, cancelled_runs: Collection[str]) -> bool:
    """Return whether any of the GitHub deployments is a finished production attempt. If one is, GitHub is the source that "auto" chooses."""
    return any(
        is_production(deployment.environment, production) and finished(deployment, cancelled_runs=cancelled_runs) for deployment in deployments
    )


def _read(source: str, facts: Facts, settings: Settings) -> list[Attempt]:
    """Return the source's attempts of all repositories.

    Logs belong to the service, so they are read once. Every other source belongs to one repository, so it is read for each.
    """
    if source == "logs":
        return _from_logs(facts)
    read = SOURCES[source]
    found = []
    for part in facts.parts:
        found += [attempt if attempt.pull_request is None else _qualified(attempt, facts.qualifier(part)) for attempt in read(part, settings)]
    return found


def _qualified(attempt: Attempt, qualifier: str) -> Attempt:
    """Return the attempt with `qualifier` in front of its ids, because several repositories may have a pull request with the same number.

    All other ids on GitHub are unique. `qualifier`: as `Facts.qualifier` returns it.
    """
    return replace(attempt, ids=tuple(f"{qualifier}{number}" for number in attempt.ids)) if qualifier else attempt


class Mentioned:
    """The deployments that facts mention, whether they count as attempts or not. They are gathered only when a text names a deployment.

    These are all GitHub deployments, and the log lines, workflow runs, releases or pull requests if `source` names them. `source`: the
    source that counts.
    """

    def __init__(self, facts: Facts, settings: Settings, source: str) -> None:
        self._facts, self._settings, self._source = facts, settings, source

    @cached_property
    def ids(self) -> Collection[str]:
        """The ids of all of them."""
        parts = (self._of_part(part) for part in self._facts.parts)
        return {number for found in (*parts, *self._logged.values()) for number, _ in found}

    def by(self, repository: str) -> Iterator[tuple[str, str]]:
        """Yield the id and sha of each one that belongs to the repository, or may belong to it. `repository`: its name."""
        [part] = [part for part in self._facts.parts if part.repository == repository]
        yield from self._of_part(part)
        # The key "" has the log lines whose repository is unknown. They may belong to any repository.
        for name in {repository, ""}:
            yield from self._logged.get(name, ())

    def _of_part(self, part: Facts) -> Iterator[tuple[str, str]]:
        yield from ((deployment.id, deployment.sha) for deployment in part.deployments)
        match self._source:
            case "workflows":
                yield from ((run.id, run.sha) for run in part.workflow_runs if _is_deploying(run, self._settings))
            case "releases":
                yield from ((release.id, release.sha) for release in part.releases)
            case "pulls":
                qualifier = self._facts.qualifier(part)
                yield from ((f"{qualifier}{pull.number}", pull.merge_sha or pull.head_sha) for pull in part.pull_requests)

    @cached_property
    def _logged(self) -> Mapping[str, Collection[tuple[str, str]]]:
        return logged(self._facts) if self._source == "logs" else {}


def logged(facts: Facts) -> dict[str, set[tuple[str, str]]]:
    """Return the id and sha of every deployment that a log line reports, by the name of the repository to which the line belongs ("": unknown)."""
    found: dict[str, set[tuple[str, str]]] = {}
    for repository, line in _located(facts):
        found.setdefault(repository, set()).add((line.id, line.sha))
    return found


def _from_github(facts: Facts, settings: Settings) -> list[Attempt]:
    cancelled = {run.id for run in facts.workflow_runs if run.conclusion == "cancelled"}
    return [attempt for deployment in facts.deployments if (attempt := finished(deployment, cancelled_runs=cancelled, repository=facts.repository))]


def finished(deployment: GithubDeployment, *, cancelled_runs: Collection[str] = (), repository: str = "") -> Attempt | None:
    """Return the attempt that the statuses of a GitHub deployment describe; None if the deployment has not finished or does not count.

    An attempt with a success status succeeded and finished at the first one, whatever statuses follow. An attempt without a success
    failed and finished at its last failure. It does not count if a later status says that it was resumed, or if the failure's log
    belongs to one of the `cancelled_runs`.
    """
    statuses = sorted(deployment.statuses, key=lambda status: (status.created_at, status.state, status.log_url))
    success = next((status for status in statuses if status.state == SUCCESS), None)
    failures = [status for status in statuses if status.state in FAILED_STATES]
    end = success or (failures[-1] if failures else None)
    if end is None:
        return None
    if success is None:
        # GitHub's times are whole seconds. An in_progress status with the same time as the failure is taken to have come before it.
        is_resumed = any(status.state in RESUMED_STATES and status.created_at > end.created_at for status in statuses)
        if is_resumed or run_id_of(end.log_url) in cancelled_runs:
            return None
    return Attempt(
        ids=(deployment.id,),
        environment=deployment.environment,
        sha=deployment.sha,
        started_at=deployment.created_at,
        finished_at=end.created_at,
        is_success=success is not None,
        origin=Origin(end.log_url, deployment.origin.page_id) if end.log_url else deployment.origin,
        repository=repository,
    )


def decisive_statuses(stored: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
    """Return the statuses on which `finished` depends. `stored`: the column `Deployment.statuses`."""
    return [status for status in stored if status["state"] == SUCCESS] or stored


def run_id_of(log_url: str) -> str:
    """Return the id of the workflow run in a URL such as …/actions/runs/123/job/456, or "" if the URL has none."""
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
    """Yield each log line with the name of its repository. If the line has a shortened sha, the full sha replaces it.

    The repository is the first one that has the line's commit in its history, or as the head or merge commit of a pull request. It
    is "" if no repository has the commit. If the service has only one repository, all lines belong to it. A shortened sha is
    replaced only if exactly one commit of the repository begins with it.
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
    """Return whether a workflow deploys: its name or its path matches `pattern`, the service's setting."""
    is_deploying = compiled(pattern)
    return bool(is_deploying.search(name) or is_deploying.search(path))


def _is_deploying(run: WorkflowRun, settings: Settings) -> bool:
    return is_deploying_workflow(name=run.name, path=run.path, pattern=settings.workflow)


def may_be_attempt(*, event: str, branch: str, default_branches: Collection[str]) -> bool:
    """Return whether a run of a deploying workflow with this event and branch can count as an attempt once it has ended.

    `default_branches`: the current and former names of the default branch. If all of them are empty, the default branch is unknown,
    and every branch counts.
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


# The function that reads each source's attempts from the facts of one repository. "auto" tries the sources in this order.
SOURCES: dict[str, Callable[[Facts, Settings], list[Attempt]]] = {
    "github": _from_github,
    "logs": lambda facts, settings: _from_logs(facts),
    "releases": _from_releases,
    "workflows": _from_workflows,
    "pulls": _from_pulls,
}
# The stream from which each source's attempts are collected.
STREAM_OF = {
    "github": "deployments",
    "logs": "log_deployments",
    "releases": "releases",
    "workflows": "workflow_runs",
    "pulls": "pull_requests",
}
