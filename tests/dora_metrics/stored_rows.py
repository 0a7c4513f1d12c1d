"""Store the calculators' facts as rows: the reverse of dora_metrics.derivation.stored_facts, written out by hand."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import connection, models

from dora_metrics.calculators.inputs import Facts, GithubDeployment, Issue, LogHour, PullRequest
from dora_metrics.models import (
    Attempt,
    Change,
    Commit,
    Coverage,
    Delivery,
    Deployment,
    DORAMetric,
    Incident,
    LogDeployment,
    LogTraffic,
    Release,
    Repository,
    Service,
    WorkflowRun,
)
from dora_metrics.models import Issue as IssueRow

ORDER: dict[type[models.Model], tuple[str, ...]] = {
    DORAMetric: ("service_id", "environment", "metric", "period", "period_start"),
    Attempt: ("service_id", "key"),
    Delivery: ("service_id", "change_id"),
    Incident: ("service_id", "key"),
}
OF_A_RUN = {"run_id": 1, "page_id": 0}


def store(service: Service, facts: Facts) -> None:
    """Store the facts in addition to those that are already stored."""
    repository = repository_of(service)
    repository.name, repository.names, repository.default_branch = facts.repository, sorted(facts.repositories), facts.default_branch
    repository.save()
    for one in facts.deployments:
        Deployment.objects.create(**_of(repository, **_deployment(one)))
    for one in facts.log_deployments:
        LogDeployment.objects.create(**_of(service, source="web", event_id=one.id, **_plain(one, "time", "sha", "environment", "state")))
    for number, one in enumerate(facts.log_hours):
        LogTraffic.objects.create(**_of(service, segment=f"segment {number}", **_log_hour(one)))
    for one in facts.pull_requests:
        Change.objects.create(**_of(repository, **_change(one)))
    for one in facts.issues:
        IssueRow.objects.create(**_of(repository, **_issue(one)))
    for one in facts.releases:
        Release.objects.create(**_of(repository, external_id=one.id, **_plain(one, "sha", "is_draft", "is_prerelease", "published_at"), **_new()))
    for one in facts.workflow_runs:
        named = _plain(one, "attempt", "name", "path", "branch", "event", "sha", "conclusion", "started_at")
        WorkflowRun.objects.create(**_of(repository, external_id=one.id, **named, created_at=one.started_at, version_at=one.updated_at))
    for sha, parents in facts.parents.items():
        Commit.objects.create(**_of(repository, sha=sha, parents=list(parents), authored_at=_long_ago(), committed_at=_long_ago()))
    for stream, span in facts.coverage.items():
        cover(repository, stream, since=span.since, until=span.until)


def cover(repository: Repository, stream: str, *, since: datetime, until: datetime) -> Coverage:
    is_of_logs = True if stream.startswith("log_") else None
    key = {"service": repository.service, "repository": None if is_of_logs else repository, "is_of_logs": is_of_logs, "stream": stream}
    return Coverage.objects.update_or_create(**key, defaults={"since": since, "until": until})[0]


def repository_of(service: Service) -> Repository:
    return service.repositories.first() or Repository.objects.create(service=service)


def _of(place: Service | Repository, **columns: Any) -> dict[str, Any]:
    of_place = {"service": place} if isinstance(place, Service) else {"service": place.service, "repository": place}
    return {**of_place, **OF_A_RUN, **columns}


def _plain(fact: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in names}


def _long_ago() -> datetime:
    return datetime.fromisoformat("2020-01-01T00:00:00+00:00")


def _new() -> dict[str, Any]:
    return {"created_at": _long_ago(), "version_at": _long_ago()}


def _deployment(one: GithubDeployment) -> dict[str, Any]:
    statuses = [{"state": each.state, "created_at": each.created_at.isoformat(), "log_url": each.log_url} for each in one.statuses]
    return {"external_id": one.id, **_plain(one, "environment", "sha", "created_at"), "version_at": one.created_at, "statuses": statuses}


def _log_hour(one: LogHour) -> dict[str, Any]:
    counts = one.minutes.values()
    return {
        **_plain(one, "source", "hour", "page_id"),
        "minutes": {str(minute): list(of_minute) for minute, of_minute in one.minutes.items()},
        "events": sum(events for events, _ in counts),
        "errors": sum(errors for _, errors in counts),
        "worst_share": max(100 * errors / events for events, errors in counts),
    }


def _issue(one: Issue) -> dict[str, Any]:
    plain = _plain(one, "number", "created_at", "closed_at", "state_reason", "title")
    state = "closed" if one.closed_at else "open"
    return {**plain, "state": state, "version_at": one.created_at, "labels": list(one.labels), "links": _lists(asdict(one.links))}


def _change(one: PullRequest) -> dict[str, Any]:
    plain = (
        "number",
        "author",
        "author_is_bot",
        "base_branch",
        "head_branch",
        "head_sha",
        "merge_sha",
        "created_at",
        "merged_at",
        "closed_at",
        "title",
    )
    signs = one.revert_signs
    said = {
        "pull": {"repository": signs.pull_repository, "number": signs.pull} if signs.pull is not None else None,
        "branch": signs.branch,
        "sha": signs.sha,
        "title": signs.has_title,
    }
    return {
        **_plain(one, *plain),
        "state": "merged",
        "version_at": one.merged_at,
        "labels": list(one.labels),
        "commits": [{"sha": sha, "authored_at": moment.isoformat()} for sha, moment in zip(one.commit_shas, one.authored_at, strict=True)],
        "reviews": [{"login": each.login, "is_bot": each.is_bot, "submitted_at": each.submitted_at.isoformat()} for each in one.reviews],
        "draft_events": [{"kind": each.kind, "at": each.at.isoformat()} for each in one.draft_events],
        "closes": [{"repository": repository, "number": number} for repository, number in one.closes],
        "revert_signs": {name: value for name, value in said.items() if value not in (None, "", False)},
        "links": _lists(asdict(one.links)),
    }


def _lists(links: dict[str, tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: list(named) for name, named in links.items() if named}


def derived(*services: Service, without: tuple[str, ...] = ()) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows that are computed from facts, with every column as the database stores it (JSON as text)."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for model, order in ORDER.items():
        columns = [field.column for field in model._meta.concrete_fields if field.column not in without]
        quoted, ordered = (", ".join(connection.ops.quote_name(name) for name in names) for names in (columns, order))
        chosen = ", ".join(str(service.pk) for service in services)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {quoted} FROM {model._meta.db_table} WHERE service_id IN ({chosen}) ORDER BY {ordered}")
            found[model.__name__] = list(cursor.fetchall())
    return found
