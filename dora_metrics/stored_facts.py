"""The stored facts of a service, as the calculators take them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dora_metrics.calculators.facts import (
    NO_LINKS,
    NO_SIGNS,
    Coverage,
    DraftEvent,
    Facts,
    GithubDeployment,
    Issue,
    Links,
    LogDeployment,
    LogHour,
    Origin,
    PullRequest,
    Release,
    RevertSigns,
    Review,
    Settings,
    Status,
    WorkflowRun,
)
from dora_metrics.calculators.path_filter import path_filter
from dora_metrics.calculators.periods import joined
from dora_metrics.models import Change, Commit, Deployment, LogTraffic, Repository, Service
from dora_metrics.models import Coverage as CoverageRow
from dora_metrics.models import Issue as IssueRow
from dora_metrics.models import LogDeployment as LogDeploymentRow
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
        default_branch=service.repositories.values_list("default_branch", flat=True).first() or "",
    )


def facts_of(service: Service) -> Facts:
    """All of them, in ten queries: matching a change needs the whole history. A path filter leaves other changes out.

    Of the logs' hours only those that may have a bad minute.
    """
    repositories = list(service.repositories.all())
    return Facts(
        deployments=tuple(_deployments(service)),
        log_deployments=tuple(_log_deployments(service)),
        workflow_runs=tuple(_workflow_runs(service, repositories)),
        releases=tuple(_releases(service)),
        pull_requests=tuple(_pull_requests(service, repositories)),
        issues=tuple(_issues(service)),
        log_hours=tuple(_log_hours(service)) if service.log_incidents else (),
        repositories=frozenset(name for repository in repositories for name in repository.names),
        parents=_parents(service),
        coverage=_coverage(service, repositories),
    )


def _coverage(service: Service, repositories: Sequence[Repository]) -> dict[str, Coverage]:
    """What all of its repositories have, and what is known of its logs. One that no enabled source collects holds nothing up.

    Without paths, which are collected only for a service with a path filter, nobody knows which changes are the service's.
    """
    of_logs: dict[str, Coverage] = {}
    by_repository: dict[int, dict[str, Coverage]] = {one.pk: {} for one in repositories}
    for row in CoverageRow.objects.filter(service=service):
        found = of_logs if row.repository_id is None else by_repository[row.repository_id]
        found[row.stream] = Coverage(row.since, row.until)
    collected = [one for one in repositories if one.is_collected] or repositories
    for one in collected:
        if service.path and not one.has_paths:
            by_repository[one.pk].pop("pull_requests", None)
    streams = {stream for one in collected for stream in by_repository[one.pk]}
    spans = {stream: joined([by_repository[one.pk].get(stream) for one in collected]) for stream in sorted(streams)}
    return of_logs | {stream: span for stream, span in spans.items() if span}


def _deployments(service: Service) -> Iterator[GithubDeployment]:
    for number, environment, sha, created_at, statuses, *origin in _rows(
        Deployment, service, "external_id", "environment", "sha", "created_at", "statuses", "url", "page_id"
    ):
        yield GithubDeployment(
            id=str(number),
            environment=environment,
            sha=sha,
            created_at=created_at,
            statuses=tuple(Status(one["state"], _time(one["created_at"]), one["log_url"]) for one in statuses),
            origin=Origin(*origin),
        )


def _log_deployments(service: Service) -> Iterator[LogDeployment]:
    columns = "time", "sha", "environment", "state"
    for event_id, url, page_id, *values in _rows(LogDeploymentRow, service, "event_id", "url", "page_id", *columns):
        yield LogDeployment(id=event_id, origin=Origin(url, page_id), **dict(zip(columns, values, strict=True)))


def _log_hours(service: Service) -> Iterator[LogHour]:
    """Whole hours, with all parts of them: a year of lines has hundreds of thousands of parts, most of them without an error."""
    suspicious = LogTraffic.objects.filter(service=service, worst_share__gt=0, worst_share__gte=service.log_error_share).values("hour")
    rows = LogTraffic.objects.filter(service=service, hour__in=suspicious).values_list("source", "hour", "minutes", "page_id")
    for source, hour, minutes, page_id in rows.iterator(chunk_size=ROWS_AT_ONCE):
        yield LogHour(source, hour, {int(minute): (events, errors) for minute, (events, errors) in minutes.items()}, page_id)


def _workflow_runs(service: Service, repositories: Sequence[Repository]) -> Iterator[WorkflowRun]:
    columns = "attempt", "name", "path", "event", "sha", "conclusion", "started_at"
    special = "external_id", "version_at", "url", "page_id", "repository_id", "branch"
    present = _present_names(repositories)
    for number, updated_at, url, page_id, home, branch, *values in _rows(WorkflowRunRow, service, *special, *columns):
        named = dict(zip(columns, values, strict=True))
        branch = present.get((home, branch), branch)
        yield WorkflowRun(id=str(number), updated_at=updated_at, branch=branch, origin=Origin(url, page_id), **named)


def _present_names(repositories: Sequence[Repository]) -> dict[tuple[int, str], str]:
    """The default branch's name of today, by each that it had: what happened under those happened on it."""
    return {(one.pk, name): one.default_branch for one in repositories for name in one.default_branches}


def _releases(service: Service) -> Iterator[Release]:
    columns = "sha", "is_draft", "is_prerelease", "published_at"
    for number, url, page_id, *values in _rows(ReleaseRow, service, "external_id", "url", "page_id", *columns):
        yield Release(id=str(number), origin=Origin(url, page_id), **dict(zip(columns, values, strict=True)))


def _issues(service: Service) -> Iterator[Issue]:
    columns = "number", "created_at", "closed_at", "state_reason", "labels", "links", "title"
    for number, created_at, closed_at, reason, labels, links, title, *origin in _rows(IssueRow, service, *columns, "url", "page_id"):
        yield Issue(
            number=number,
            created_at=created_at,
            closed_at=closed_at,
            state_reason=reason,
            labels=tuple(labels),
            links=_links(links),
            title=title,
            origin=Origin(*origin),
        )


def _pull_requests(service: Service, repositories: Sequence[Repository]) -> Iterator[PullRequest]:
    is_on_path, present = path_filter(service.path), _present_names(repositories)
    plain = (
        "number",
        "author",
        "author_is_bot",
        "head_sha",
        "merge_sha",
        "created_at",
        "merged_at",
        "closed_at",
        "head_branch",
        "title",
    )
    lists = "labels", "commits", "reviews", "draft_events", "closes", "revert_signs", "links", "paths"
    others = "url", "page_id", "repository_id", "base_branch"
    for row in _rows(Change, service, *plain, *lists, *others, merged_at__isnull=False):
        values = dict(zip((*plain, *lists, *others), row, strict=True))
        if not is_on_path(values["paths"]):
            continue
        yield PullRequest(
            **{name: values[name] for name in plain},
            base_branch=present.get((values["repository_id"], values["base_branch"]), values["base_branch"]),
            labels=tuple(values["labels"]),
            authored_at=tuple(_time(one["authored_at"]) for one in values["commits"]),
            commit_shas=tuple(one["sha"] for one in values["commits"]),
            reviews=tuple(Review(one["login"], one["is_bot"], _time(one["submitted_at"])) for one in values["reviews"]),
            draft_events=tuple(DraftEvent(one["kind"], _time(one["at"])) for one in values["draft_events"]),
            closes=tuple((one["repository"], one["number"]) for one in values["closes"]),
            revert_signs=_signs(values["revert_signs"]),
            links=_links(values["links"]),
            origin=Origin(values["url"], values["page_id"]),
        )


def _parents(service: Service) -> dict[str, tuple[str, ...]]:
    """A commit is named by itself and by its children: one string serves both."""
    known: dict[str, str] = {}
    return {
        known.setdefault(sha, sha): tuple(known.setdefault(parent, parent) for parent in parents)
        for sha, parents in _rows(Commit, service, "sha", "parents")
    }


def _signs(signs: Mapping[str, Any]) -> RevertSigns:
    if not signs:
        return NO_SIGNS
    pull = signs.get("pull") or {}
    return RevertSigns(
        pull=pull.get("number"),
        pull_repository=pull.get("repository", ""),
        branch=signs.get("branch"),
        sha=signs.get("sha", ""),
        has_title=bool(signs.get("title")),
    )


def _links(links: Mapping[str, Any]) -> Links:
    return Links(*(tuple(links.get(name, ())) for name in ("deployments", "root_causes", "caused_by"))) if links else NO_LINKS


def _rows(model: Any, service: Service, *columns: str, **chosen: Any) -> Any:
    rows = getattr(model, "present", model.objects)  # what is gone from GitHub counts no more
    return rows.filter(service=service, **chosen).order_by("pk").values_list(*columns).iterator(chunk_size=ROWS_AT_ONCE)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
