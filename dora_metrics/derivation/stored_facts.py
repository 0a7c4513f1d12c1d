"""Read services' stored facts and settings, turn them into the inputs of the calculators, and link the facts."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from sys import intern
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.timezone import now

from dora_metrics.calculators import inputs
from dora_metrics.calculators.linked_facts import LinkedFacts, link_facts
from dora_metrics.calculators.path_filter import path_filter
from dora_metrics.calculators.periods import joined
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.models import Change, Commit, Coverage, Deployment, Issue, LogDeployment, LogTraffic, Release, Repository, Service, WorkflowRun

ROWS_PER_READ = 2000
T = TypeVar("T")
BranchNames = Mapping[tuple[int, str], str]
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
    what only the lead times of pull requests depend on.
    """
    known: dict[str, str] = {}  # equal shas are one string in memory: most occur several times, as a commit, as a parent and in other facts
    parents = _parents(services, known)
    branch_names = _current_branch_names(repository for of_service in repositories.values() for repository in of_service.values())
    deployments, issues = _grouped(_deployments(services, known)), _grouped(_issues(services, has_unlabelled="unlabelled_issues" not in without))
    pulls = _grouped(_linkable_pull_requests(services, branch_names, known) if "lead_times" in without else _pull_requests(services, branch_names))
    if "lead_times" in without and _names_commits(chain.from_iterable(pulls.values()), chain.from_iterable(issues.values())):
        pulls = _with_commits(pulls, services)
    releases = _grouped(() if "releases" in without else _releases(services))
    runs = _grouped(() if "workflow_runs" in without else _workflow_runs(services, branch_names))
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
                parents=parents[repository.pk],
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


def _deployments(services: Sequence[Service], known: Mapping[str, str]) -> Iterator[tuple[int, inputs.GithubDeployment]]:
    columns = "external_id", "environment", "sha", "created_at", "statuses", "url", "page_id"
    for repository_id, number, environment, sha, created_at, statuses, *origin in _rows(Deployment, services, "repository_id", *columns):
        deployment = inputs.GithubDeployment(
            id=str(number),
            environment=intern(environment),
            sha=known.get(sha, sha),
            created_at=created_at,
            statuses=statuses_of(statuses),
            origin=inputs.Origin(*origin),
        )
        yield repository_id, deployment


def statuses_of(stored: Iterable[Mapping[str, str]]) -> tuple[inputs.Status, ...]:
    """Return the statuses of a GitHub deployment as the calculators read them. `stored`: the column `Deployment.statuses`."""
    return tuple(inputs.Status(intern(status["state"]), _time(status["created_at"]), status["log_url"]) for status in stored)


def _log_deployments(services: Sequence[Service]) -> Iterator[tuple[int, inputs.LogDeployment]]:
    columns = "time", "sha", "environment", "state"
    for service_id, event_id, url, page_id, *values in _rows(LogDeployment, services, "service_id", "event_id", "url", "page_id", *columns):
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
    for repository_id, branch, number, updated_at, url, page_id, *values in _rows(WorkflowRun, services, *special, *columns):
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
    for repository_id, number, url, page_id, *values in _rows(Release, services, "repository_id", "external_id", "url", "page_id", *columns):
        yield repository_id, inputs.Release(id=str(number), origin=inputs.Origin(url, page_id), **dict(zip(columns, values, strict=True)))


def _issues(services: Sequence[Service], *, has_unlabelled: bool) -> Iterator[tuple[int, inputs.Issue]]:
    columns = "repository_id", "number", "created_at", "closed_at", "state_reason", "labels", "links", "title", "url", "page_id"
    for repository_id, number, created_at, closed_at, reason, labels, links, title, *origin in _rows(
        Issue, services, *columns, excluded=None if has_unlabelled else Q(labels=[])
    ):
        issue = inputs.Issue(
            number=number,
            created_at=created_at,
            closed_at=closed_at,
            state_reason=reason,
            labels=tuple(labels),
            links=_links(links),
            title=title,
            origin=inputs.Origin(*origin),
        )
        yield repository_id, issue


def _pull_requests(services: Sequence[Service], branch_names: BranchNames) -> Iterator[tuple[int, inputs.PullRequest]]:
    is_on_path = {service.pk: path_filter(service.path) for service in services}
    for service_id, repository_id, *row in _rows(Change, services, "service_id", "repository_id", *PULL_COLUMNS, merged_at__isnull=False):
        values = dict(zip(PULL_COLUMNS, row, strict=True))
        if is_on_path[service_id](values["paths"]):
            values["base_branch"] = branch_names.get((repository_id, values["base_branch"]), values["base_branch"])
            yield repository_id, pull_request_of(values)


_LINKABLE = (
    *("number", "base_branch", "head_branch", "head_sha", "merge_sha", "created_at", "merged_at"),
    *("labels", "closes", "revert_signs", "links", "url", "page_id"),
)


def _linkable_pull_requests(
    services: Sequence[Service], branch_names: BranchNames, known: Mapping[str, str]
) -> Iterator[tuple[int, inputs.PullRequest]]:
    """Yield the pull requests without their commits, and without what only their lead times depend on."""
    is_on_path = {service.pk: path_filter(service.path) for service in services}
    columns = (*_LINKABLE, *(["paths"] if any(service.path for service in services) else ()))
    for service_id, repository_id, *row in _rows(Change, services, "service_id", "repository_id", *columns, merged_at__isnull=False):
        number, base_branch, head_branch, head_sha, merge_sha, created_at, merged_at, labels, closes, signs, links, url, page_id, *paths = row
        if paths and not is_on_path[service_id](paths[0]):
            continue
        pull = inputs.PullRequest(
            number=number,
            author="",
            author_is_bot=False,
            base_branch=branch_names.get((repository_id, base_branch)) or intern(base_branch),
            head_sha=known.get(head_sha, head_sha),
            merge_sha=known.get(merge_sha, merge_sha),
            created_at=created_at,
            merged_at=merged_at,
            head_branch=head_branch,
            labels=tuple(labels),
            closes=tuple((issue["repository"], issue["number"]) for issue in closes),
            revert_signs=_signs(signs),
            links=_links(links),
            origin=inputs.Origin(url, page_id),  # of the attempt, if pull requests stand in for deployments
        )
        yield repository_id, pull


def _names_commits(pulls: Iterable[inputs.PullRequest], issues: Iterable[inputs.Issue]) -> bool:
    """Return whether a text names a commit. Only then it matters which commits each pull request has."""
    return any(pull.revert_signs.sha or pull.links.root_causes for pull in pulls) or any(issue.links.root_causes for issue in issues)


def _with_commits(pulls: Mapping[int, tuple[inputs.PullRequest, ...]], services: Sequence[Service]) -> Mapping[int, tuple[inputs.PullRequest, ...]]:
    rows = _rows(Change, services, "repository_id", "number", "commits", merged_at__isnull=False)
    shas = {(repository_id, number): tuple(commit["sha"] for commit in commits) for repository_id, number, commits in rows}
    found = {repository: tuple(replace(pull, commit_shas=shas[repository, pull.number]) for pull in of_one) for repository, of_one in pulls.items()}
    return defaultdict(tuple, found)


_PLAIN = "number", "author", "author_is_bot", "base_branch", "head_sha", "merge_sha", "created_at", "merged_at", "closed_at", "head_branch", "title"
_LISTS = "labels", "commits", "reviews", "draft_events", "closes", "revert_signs", "links", "paths"
PULL_COLUMNS = (*_PLAIN, *_LISTS, "url", "page_id")


def pull_request_of(values: Mapping[str, Any]) -> inputs.PullRequest:
    """Return the input of the calculators. `values`: the columns PULL_COLUMNS of a merged Change, by name."""
    return inputs.PullRequest(
        **{name: values[name] for name in _PLAIN},
        labels=tuple(values["labels"]),
        authored_at=_authored_at(values["commits"]),
        commit_shas=tuple(commit["sha"] for commit in values["commits"]),
        reviews=_reviews(values["reviews"]),
        draft_events=_draft_events(values["draft_events"]),
        closes=tuple((issue["repository"], issue["number"]) for issue in values["closes"]),
        revert_signs=_signs(values["revert_signs"]),
        links=_links(values["links"]),
        origin=inputs.Origin(values["url"], values["page_id"]),
    )


TIMED_COLUMNS = "number", "author", "author_is_bot", "created_at", "merged_at", "closed_at", "commits", "reviews", "draft_events"


def timed_pull_request_of(values: Sequence[Any]) -> inputs.PullRequest:
    """Return a pull request with what its lead time is computed from. `values`: the columns TIMED_COLUMNS of a merged Change."""
    number, author, author_is_bot, created_at, merged_at, closed_at, commits, reviews, draft_events = values
    return inputs.PullRequest(
        number=number,
        author=author,
        author_is_bot=author_is_bot,
        base_branch="",
        head_sha="",
        merge_sha="",
        created_at=created_at,
        merged_at=merged_at,
        closed_at=closed_at,
        authored_at=_authored_at(commits),
        reviews=_reviews(reviews),
        draft_events=_draft_events(draft_events),
    )


def _authored_at(commits: Iterable[Mapping[str, str]]) -> tuple[datetime, ...]:
    return tuple([_time(commit["authored_at"]) for commit in commits])


def _reviews(reviews: Iterable[Mapping[str, Any]]) -> tuple[inputs.Review, ...]:
    return tuple([inputs.Review(review["login"], review["is_bot"], _time(review["submitted_at"])) for review in reviews])


def _draft_events(events: Iterable[Mapping[str, str]]) -> tuple[inputs.DraftEvent, ...]:
    return tuple([inputs.DraftEvent(event["kind"], _time(event["at"])) for event in events])


def _parents(services: Sequence[Service], known: dict[str, str]) -> Mapping[int, dict[str, tuple[str, ...]]]:
    """Return each repository's history (each commit with its parents), by the repository's id. Its shas are added to `known`."""
    found: dict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for repository_id, sha, parents in _rows(Commit, services, "repository_id", "sha", "parents"):
        found[repository_id][known.setdefault(sha, sha)] = tuple(known.setdefault(parent, parent) for parent in parents)
    return found


def _signs(signs: Mapping[str, Any]) -> inputs.RevertSigns:
    if not signs:
        return inputs.NO_SIGNS
    pull = signs.get("pull") or {}
    return inputs.RevertSigns(
        pull=pull.get("number"),
        pull_repository=pull.get("repository", ""),
        branch=signs.get("branch"),
        sha=signs.get("sha", ""),
        has_title=bool(signs.get("title")),
    )


def _links(links: Mapping[str, Any]) -> inputs.Links:
    return inputs.Links(*(tuple(links.get(name, ())) for name in ("deployments", "root_causes", "caused_by"))) if links else inputs.NO_LINKS


def _rows(model: Any, services: Sequence[Service], *columns: str, excluded: Q | None = None, **filters: Any) -> Iterator[Sequence[Any]]:
    rows = getattr(model, "present", model.objects)  # facts that were deleted or transferred on GitHub do not count
    chosen = rows.filter(service__in=[service.pk for service in services], **filters)
    if excluded is not None:
        chosen = chosen.exclude(excluded)
    if len(services) > 1:
        yield from chosen.order_by("pk").values_list(*columns).iterator(chunk_size=ROWS_PER_READ)
        return
    # A query for a part of the rows at a time, because the client of MySQL keeps the whole answer to a query in memory.
    after = 0
    while found := list(chosen.filter(pk__gt=after).order_by("pk").values_list("pk", *columns)[:ROWS_PER_READ]):
        yield from (values for _, *values in found)
        if len(found) < ROWS_PER_READ:
            return
        after = found[-1][0]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
