"""Read services' stored facts and settings, turn them into the inputs of the calculators, and link the facts."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import chain
from sys import intern
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.timezone import now

from dora_metrics.calculators import inputs
from dora_metrics.calculators.deployment_sources import SOURCES, STREAM_OF, decisive_statuses, has_production_attempt, sources_that_may_count
from dora_metrics.calculators.git_history import History
from dora_metrics.calculators.linked_facts import LinkedFacts, link_facts
from dora_metrics.calculators.periods import joined
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.derivation.fact_rows import ROWS_PER_READ, BranchNames, links_of, rows_of
from dora_metrics.derivation.packed import Packed
from dora_metrics.derivation.stored_pull_requests import linkable_pull_requests, pull_requests
from dora_metrics.models import Commit, Coverage, Deployment, Issue, LogDeployment, LogTraffic, Release, Repository, Service, WorkflowRun

T = TypeVar("T")
Histories = Mapping[int, History]  # by the repository's id
Repositories = Mapping[str, Repository]  # by distinct names


def linked_facts_of(service: Service, *, environment: str, moment: datetime | None = None) -> LinkedFacts:
    """Link the facts that are stored at present. `moment`: coverage ends at this time at the latest; None means now."""
    return link_facts(facts_of(service), settings_of(service, time_zone=settings.ETL_TIME_ZONE), now=moment or now(), environment=environment)


def settings_of(service: Service, *, time_zone: str) -> Settings:
    return Settings(
        time_zone=time_zone,
        production=service.production,
        deployments_from=service.deployments_from,
        workflow=service.workflow,
        prereleases=service.prereleases,
        incident_label=service.incident_label,
        hotfix=service.hotfix,
        look_back_hours=service.look_back_hours,
        log_incidents=service.log_incidents,
        log_minute_events=service.log_minute_events,
        log_error_share=service.log_error_share,
        log_bad_minutes=service.log_bad_minutes,
        log_good_minutes=service.log_good_minutes,
        log_issue_hours=service.log_issue_hours,
        bots=frozenset(service.bots),
        log_page_url=settings.LOG_PAGE_URL,
        log_command=settings.LOG_EVENTS_COMMAND,
    )


def facts_of(service: Service, *, repositories: Repositories | None = None, without: Collection[str] = ()) -> inputs.Facts:
    """Return all facts of the service. All are needed, because a change can be matched to its deployment only with the whole history.

    `repositories`: those that `counted_repositories` returns, if they have been read already. `without`: as for `facts_of_each`.
    """
    known = counted_repositories(service) if repositories is None else repositories
    return facts_of_each([service], {service.pk: known}, without=without)[service.pk]


def facts_of_each(services: Sequence[Service], repositories: Mapping[int, Repositories], *, without: Collection[str] = ()) -> dict[int, inputs.Facts]:
    """Return all facts of each service, by the service's id. Apart from hours of logs, the number of queries does not depend on the services.

    Pull requests that the path filter excludes are left out. So are hours of the logs in which no minute can be bad. `repositories`:
    by the service's id, as `counted_repositories_of` returns them. `without`: facts that are not read, because they cannot change the
    result: workflow_runs, releases, log_deployments, log_hours; unlabelled_issues, which cannot be incidents; or lead_times, which means
    what only the lead times of pull requests depend on, and statuses on which the outcome of a deployment does not depend, and
    the facts of sources of deployments that cannot count.
    """
    histories = _histories(services)
    branch_names = _current_branch_names(repository for of_service in repositories.values() for repository in of_service.values())
    is_for_links = "lead_times" in without
    deployments = _linkable_deployments(services, histories) if is_for_links else _grouped(_deployments(services, histories))
    runs = _grouped(() if "workflow_runs" in without else _workflow_runs(services, branch_names))
    issues = _grouped(_issues(services, has_unlabelled="unlabelled_issues" not in without))
    pulls: Mapping[int, Collection[inputs.PullRequest]]
    if is_for_links:
        sources = {name for service in services for name in _sources(service, repositories[service.pk].values(), deployments, runs)}
        without = {*without, *(STREAM_OF[name] for name in SOURCES if name not in sources)}
        with_commits = any(issue.links.root_causes for issue in chain.from_iterable(issues.values()))
        pulls = linkable_pull_requests(services, branch_names, with_origins="pulls" in sources, with_commits=with_commits)
    else:
        pulls = _grouped(pull_requests(services, branch_names))
    releases = _grouped(() if "releases" in without else _releases(services))
    log_deployments = _grouped(() if "log_deployments" in without else _log_deployments(services))
    coverage = _coverage_rows(services)
    found = {}
    for service in services:
        first, *others = [
            inputs.Facts(
                repository=name,
                repositories=frozenset(repository.names),
                default_branch=repository.default_branch,
                deployments=deployments[repository.pk],
                workflow_runs=runs[repository.pk],
                releases=releases[repository.pk],
                pull_requests=pulls[repository.pk],
                issues=issues[repository.pk],
                parents=histories[repository.pk],
            )
            for name, repository in repositories[service.pk].items()
        ] or [inputs.Facts()]
        found[service.pk] = replace(
            first,
            log_deployments=log_deployments[service.pk],
            log_hours=tuple(_log_hours(service)) if service.log_incidents and "log_hours" not in without else (),
            coverage=_joined_coverage(service, coverage[service.pk], repositories[service.pk].values()),
            others=tuple(others),
        )
    return found


def _sources(
    service: Service,
    repositories: Iterable[Repository],
    deployments: Mapping[int, Collection[inputs.GithubDeployment]],
    runs: Mapping[int, Sequence[inputs.WorkflowRun]],
) -> Collection[str]:
    """Return the sources of deployments that may count. The facts of the others cannot change the result."""
    cancelled = {run.id for repository in repositories for run in runs[repository.pk] if run.conclusion == "cancelled"}
    has_attempt = any(
        has_production_attempt(deployments[repository.pk], production=service.production, cancelled_runs=cancelled) for repository in repositories
    )
    return sources_that_may_count(service.deployments_from, has_github_attempt=has_attempt)


def counted_repositories(service: Service) -> Repositories:
    """Return the repositories that are collected now or were collected before, keyed by distinct names.

    If there are none, all repositories are returned. Two repositories have the same stored name if one was renamed to the name that
    the other had when it was last read. In that case each key is the name with the repository's id behind it.
    """
    return counted_repositories_of([service])[service.pk]


def counted_repositories_of(services: Iterable[Service]) -> dict[int, Repositories]:
    """Return what `counted_repositories` returns for each service, by the service's id. One query."""
    known: dict[int, list[Any]] = {service.pk: [] for service in services}
    was_read = Exists(Coverage.objects.filter(repository=OuterRef("pk")))
    for repository in Repository.objects.filter(service__in=list(known)).annotate(was_read=was_read):
        known[repository.service_id].append(repository)
    return {service: _by_distinct_names([one for one in of_one if one.is_collected or one.was_read] or of_one) for service, of_one in known.items()}


def _by_distinct_names(repositories: Collection[Repository]) -> Repositories:
    names = Counter(repository.name for repository in repositories)
    return {repository.name if names[repository.name] == 1 else f"{repository.name} ({repository.pk})": repository for repository in repositories}


def coverage_of(service: Service, repositories: Iterable[Repository]) -> dict[str, inputs.Coverage]:
    """Return the collected span of each stream, by the name of the stream.

    The span of a stream of logs is the stored one. The span of any other stream is the span that all repositories have in common.
    Repositories that no enabled source collects do not limit it. If the service has a path filter and a repository's pull
    requests were collected without their changed files, its pull requests count as not collected. Without the files, it is unknown
    which pull requests belong to the service.
    """
    return _joined_coverage(service, _coverage_rows([service])[service.pk], repositories)


def _coverage_rows(services: Iterable[Service]) -> Mapping[int, Sequence[Coverage]]:
    """Return the stored spans of each service, by the service's id."""
    return _grouped((row.service_id, row) for row in Coverage.objects.filter(service__in=[service.pk for service in services]))


def _joined_coverage(service: Service, rows: Iterable[Coverage], repositories: Iterable[Repository]) -> dict[str, inputs.Coverage]:
    of_logs: dict[str, inputs.Coverage] = {}
    found: dict[int, dict[str, inputs.Coverage]] = defaultdict(dict)
    for row in rows:
        (of_logs if row.repository_id is None else found[row.repository_id])[row.stream] = inputs.Coverage(row.since, row.until)
    collected = [repository for repository in repositories if repository.is_collected] or list(repositories)
    for repository in collected:
        if service.path and not repository.has_paths:
            found[repository.pk].pop("pull_requests", None)
    streams = sorted({stream for repository in collected for stream in found[repository.pk]})
    spans = {stream: joined([found[repository.pk].get(stream) for repository in collected]) for stream in streams}
    return of_logs | {stream: span for stream, span in spans.items() if span}


def _grouped(facts: Iterable[tuple[int, T]]) -> Mapping[int, tuple[T, ...]]:
    """Return the facts of each repository or service, by its id."""
    found: dict[int, list[T]] = defaultdict(list)
    for owner_id, fact in facts:
        found[owner_id].append(fact)
    return defaultdict(tuple, {owner_id: tuple(of_one) for owner_id, of_one in found.items()})


_DEPLOYED = "external_id", "environment", "sha", "created_at", "statuses", "url", "page_id"
Origins = dict[tuple[str, int], inputs.Origin]  # each of them once


def _deployments(services: Sequence[Service], histories: Histories) -> Iterator[tuple[int, inputs.GithubDeployment]]:
    origins: Origins = {}
    for repository_id, *row in rows_of(Deployment, services, "repository_id", *_DEPLOYED):
        yield repository_id, _deployment(histories[repository_id], origins, *row)


def _linkable_deployments(services: Sequence[Service], histories: Histories) -> Mapping[int, Collection[inputs.GithubDeployment]]:
    """Return each repository's deployments with the statuses on which their outcome depends, by the repository's id."""
    found: dict[int, Packed[inputs.GithubDeployment]] = {}
    origins: Origins = {}
    for repository_id, *row in rows_of(Deployment, services, "repository_id", *_DEPLOYED):
        if repository_id not in found:
            found[repository_id] = Packed(partial(_deployment, histories[repository_id], origins))
        number, environment, sha, created_at, statuses, *origin = row
        found[repository_id].add((number, environment, sha, created_at, decisive_statuses(statuses), *origin))
    return defaultdict(tuple, found)


def _deployment(
    history: History,
    origins: Origins,
    number: int,
    environment: str,
    sha: str,
    created_at: datetime,
    statuses: Iterable[Mapping[str, str]],
    url: str,
    page_id: int,
) -> inputs.GithubDeployment:
    """Return a deployment. It has no sha, environment and origin of its own in memory if another fact has the same."""
    origin = url, page_id
    return inputs.GithubDeployment(
        id=str(number),
        environment=intern(environment),
        sha=history.same(sha),
        created_at=created_at,
        statuses=statuses_of(statuses),
        origin=origins.get(origin) or origins.setdefault(origin, inputs.Origin(*origin)),
    )


def statuses_of(stored: Iterable[Mapping[str, str]]) -> tuple[inputs.Status, ...]:
    """Return the statuses of a GitHub deployment as the calculators read them. `stored`: the column `Deployment.statuses`."""
    return tuple(inputs.Status(intern(status["state"]), datetime.fromisoformat(status["created_at"]), status["log_url"]) for status in stored)


def _log_deployments(services: Sequence[Service]) -> Iterator[tuple[int, inputs.LogDeployment]]:
    columns = "time", "sha", "environment", "state"
    for service_id, event_id, url, page_id, *values in rows_of(LogDeployment, services, "service_id", "event_id", "url", "page_id", *columns):
        yield service_id, inputs.LogDeployment(id=event_id, origin=inputs.Origin(url, page_id), **dict(zip(columns, values, strict=True)))


def _log_hours(service: Service) -> Iterator[inputs.LogHour]:
    rows = hours_with_errors(service).values_list("source", "hour", "minutes", "page_id")
    for source, hour, minutes, page_id in rows.iterator(chunk_size=ROWS_PER_READ):
        yield inputs.LogHour(source, hour, {int(minute): (events, errors) for minute, (events, errors) in minutes.items()}, page_id)


def hours_with_errors(service: Service) -> QuerySet[LogTraffic]:
    """Return the stored counts of the hours that may have a bad minute.

    Other hours are not read, because a year of log lines has hundreds of thousands of rows with counts, most of them without
    errors.
    """
    candidates = LogTraffic.objects.filter(service=service, worst_share__gt=0, worst_share__gte=service.log_error_share).values("hour")
    return LogTraffic.objects.filter(service=service, hour__in=candidates)


def _workflow_runs(services: Sequence[Service], branch_names: BranchNames) -> Iterator[tuple[int, inputs.WorkflowRun]]:
    columns = "attempt", "name", "path", "event", "sha", "conclusion", "started_at"
    special = "repository_id", "branch", "external_id", "version_at", "url", "page_id"
    for repository_id, branch, number, updated_at, url, page_id, *values in rows_of(WorkflowRun, services, *special, *columns):
        named = dict(zip(columns, values, strict=True))
        branch = branch_names.get((repository_id, branch), branch)
        yield repository_id, inputs.WorkflowRun(id=str(number), updated_at=updated_at, branch=branch, origin=inputs.Origin(url, page_id), **named)


def _current_branch_names(repositories: Iterable[Repository]) -> BranchNames:
    """Map a repository's id and a name that its default branch has had to the branch's present name.

    Facts under a former name belong to the same branch.
    """
    return {(repository.pk, name): repository.default_branch for repository in repositories for name in repository.default_branches}


def _releases(services: Sequence[Service]) -> Iterator[tuple[int, inputs.Release]]:
    columns = "sha", "is_draft", "is_prerelease", "published_at"
    for repository_id, number, url, page_id, *values in rows_of(Release, services, "repository_id", "external_id", "url", "page_id", *columns):
        yield repository_id, inputs.Release(id=str(number), origin=inputs.Origin(url, page_id), **dict(zip(columns, values, strict=True)))


def _issues(services: Sequence[Service], *, has_unlabelled: bool) -> Iterator[tuple[int, inputs.Issue]]:
    columns = "repository_id", "number", "created_at", "closed_at", "state_reason", "labels", "links", "title", "url", "page_id"
    for repository_id, number, created_at, closed_at, reason, labels, links, title, *origin in rows_of(
        Issue, services, *columns, excluded=None if has_unlabelled else Q(labels=[])
    ):
        issue = inputs.Issue(
            number=number,
            created_at=created_at,
            closed_at=closed_at,
            state_reason=reason,
            labels=tuple(labels),
            links=links_of(links),
            title=title,
            origin=inputs.Origin(*origin),
        )
        yield repository_id, issue


def _histories(services: Sequence[Service]) -> Histories:
    """Return each repository's history, by the repository's id."""
    found: dict[int, History] = defaultdict(History)
    for repository_id, sha, parents in rows_of(Commit, services, "repository_id", "sha", "parents"):
        found[repository_id].add(sha, parents)
    return found
