"""What the stored facts say that GitHub must be asked: which sources of deployments, which records again.

Which source of deployments counts is decided for a service; which records are stored is asked of one repository.
"""

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import re2
from django.db.models import Max, Q, QuerySet

from dora_metrics.calculators.deployment_sources import finished
from dora_metrics.calculators.inputs import GithubDeployment, Status
from dora_metrics.models import Commit, Deployment, LogDeployment, Release, Repository, Service, WorkflowRun

# What never reaches an end is not asked for again for ever; a run may be run again for 30 days, by GitHub's rules.
# Counted back from the newest record: what nothing has followed yet is still the latest there is.
LONGEST_WAIT_FOR_AN_END = timedelta(days=30)
FAILED_STATES = ("error", "failure")
SUCCESSFUL_STATES = ("active", "success")
ENDED_STATES = (*SUCCESSFUL_STATES, *FAILED_STATES, "inactive", "destroyed")
IDS_A_QUERY = 100  # GitHub's limit
# Of deployments that have succeeded, and that GitHub marks inactive when the next one does: so many, the newest first.
MOST_ACTIVE = 100
# Runs that failed deployments name, each a request; what is left is asked for in the next nights.
MOST_NAMED_RUNS = 45
# Of deployed commits, each a query of one point; more than a handful of unknown ones are a first collection's.
MOST_HISTORIES = 20
SHAS_A_QUERY = 500
FULL_SHA = 40
PULL_REQUEST_EVENTS = ("pull_request", "pull_request_target")
RUN_OF_LOG_URL = re.compile(r"/actions/runs/([0-9]{1,18})\b")


def is_undecided(service: Service, *, read: Sequence[Mapping[str, Any]] = (), without: Collection[str] = (), cancelled: Collection[str] = ()) -> bool:
    """True while `auto` has no finished attempt of GitHub's in production: any other source may still turn out to count.

    `read`: deployments that are not stored yet, as facts. `without`: the global ids of stored ones that are told of again, or
    are gone. `cancelled`: workflow runs that are not stored yet, and were cancelled.
    """
    if service.deployments_from != Service.DeploymentsFrom.AUTO:
        return False
    is_production = re2.compile(service.production)
    stored = Deployment.present.filter(service=service).exclude(node_id__in=without) if without else Deployment.present.filter(service=service)
    productions = [name for name in stored.values_list("environment", flat=True).distinct() if is_production.search(name)]
    stored = stored.filter(environment__in=productions)
    if stored.filter(state__in=SUCCESSFUL_STATES).exists():
        return False
    runs = WorkflowRun.present.filter(service=service, conclusion="cancelled").values_list("external_id", flat=True)
    all_cancelled = {*cancelled, *map(str, runs)}
    facts = (dict(zip(READ_OF_A_DEPLOYMENT, row, strict=True)) for row in stored.values_list(*READ_OF_A_DEPLOYMENT))
    now_read = (fact for fact in read if is_production.search(fact["environment"]))
    return not any(finished(_deployment(fact), cancelled_runs=all_cancelled) for fact in itertools.chain(now_read, facts))


READ_OF_A_DEPLOYMENT = ("external_id", "environment", "sha", "created_at", "statuses")


def _deployment(fact: Mapping[str, Any]) -> GithubDeployment:
    statuses = tuple(Status(one["state"], datetime.fromisoformat(one["created_at"]), one["log_url"]) for one in fact["statuses"])
    return GithubDeployment(str(fact["external_id"]), fact["environment"], fact["sha"], fact["created_at"], statuses)


# By global id: the stream of a record that may still change, and the version of it that is stored (ISO 8601).
Watched = Mapping[str, tuple[str, str]]


def watched(home: Repository) -> Watched:
    """What may still change although no list brings it back: none of it can push another out.

    A deployment without a success until it has one, and a run that may be run again, for LONGEST_WAIT_FOR_AN_END; a draft
    for ever. Of a deployment that has succeeded nothing matters but whether GitHub calls it active.
    """
    found: dict[str, tuple[str, str]] = {}
    unsettled = _recent(Deployment.present.filter(repository=home)).exclude(state__in=SUCCESSFUL_STATES)
    for node_id, statuses, version in unsettled.order_by("-created_at").values_list("node_id", "statuses", "version_at"):
        if not any(status["state"] == "success" for status in statuses):
            found[node_id] = "deployments", version.isoformat()
    active = Deployment.present.filter(repository=home, state__in=SUCCESSFUL_STATES).order_by("-created_at")
    for node_id, version in active.values_list("node_id", "version_at")[:MOST_ACTIVE]:
        found[node_id] = "deployments", version.isoformat()
    for node_id, version in Release.present.filter(repository=home, is_draft=True).values_list("node_id", "version_at"):
        found[node_id] = "releases", version.isoformat()
    for node_id, version in _runs_that_may_change(home).items():
        found[node_id] = "workflow_runs", version.isoformat()
    found.pop("", None)  # stored before ids were kept
    return found


def given_up(home: Repository) -> QuerySet[Deployment]:
    """Deployments that have not ended for so long that nobody asks for them any more."""
    rows = Deployment.present.filter(repository=home)
    return rows.exclude(pk__in=_recent(rows).values("pk")).exclude(state__in=ENDED_STATES).order_by("created_at")


def not_stored(home: Repository, versions: Mapping[str, str]) -> list[str]:
    """Of these releases, by global id and version, those that are not stored like that."""
    stored = dict(Release.present.filter(repository=home, node_id__in=versions).values_list("node_id", "version_at")) if versions else {}
    return [one for one, version in versions.items() if one not in stored or stored[one] < datetime.fromisoformat(version)]


def named_by_failures(home: Repository, *, also: Mapping[int, Sequence[str]]) -> list[int]:
    """Workflow runs that failed deployments name, the newest first: a cancelled one makes them no attempt at all.

    `also`: log addresses of failed deployments that are not stored yet, and () for those that have not failed as read now.
    """
    if home.service.deployments_from not in (Service.DeploymentsFrom.AUTO, Service.DeploymentsFrom.GITHUB):
        return []
    # One that failed may have been called inactive since; almost all of those have succeeded, and are left out by the database.
    failed = Q(state__in=FAILED_STATES) | Q(statuses__icontains=FAILED_STATES[0]) | Q(statuses__icontains=FAILED_STATES[1])
    rows = Deployment.present.filter(failed, repository=home).exclude(state__in=SUCCESSFUL_STATES).order_by("-created_at")
    stored = {
        number: [one["log_url"] for one in statuses] for number, statuses in rows.values_list("external_id", "statuses") if _has_failed(statuses)
    }
    addresses = (address for logs in {**also, **{one: logs for one, logs in stored.items() if one not in also}}.values() for address in logs)
    return list(dict.fromkeys(int(found[1]) for address in addresses if (found := RUN_OF_LOG_URL.search(address))))


def _has_failed(statuses: Sequence[Mapping[str, str]]) -> bool:
    states = {status["state"] for status in statuses}
    return "success" not in states and bool(states & set(FAILED_STATES))


def stored_attempts_of(home: Repository, numbers: Collection[int]) -> dict[int, set[int]]:
    """The attempts that are stored, by their run."""
    found: dict[int, set[int]] = {}
    rows = WorkflowRun.objects.filter(repository=home, external_id__in=numbers) if numbers else WorkflowRun.objects.none()
    for number, attempt in rows.values_list("external_id", "attempt"):
        found.setdefault(number, set()).add(attempt)
    return found


def stored_attempts(repository: Repository) -> set[tuple[int, int]]:
    """Attempts of runs that need not be asked for, because they are there and have ended."""
    return set(WorkflowRun.objects.filter(repository=repository, status="completed").values_list("external_id", "attempt"))


def missing_attempts(home: Repository, *, named: Collection[int] = ()) -> Callable[[Mapping[str, Any]], list[int]]:
    """GitHub lists a run's latest attempt only; the earlier ones of a deploying workflow are deployments, too. So with those `named`."""
    is_deploying, stored = re2.compile(home.service.workflow), stored_attempts(home)

    def missing(run: Mapping[str, Any]) -> list[int]:
        latest = run.get("run_attempt")
        counts = run.get("id") in named or is_deploying.search(str(run.get("name"))) or is_deploying.search(str(run.get("path")))
        if not isinstance(latest, int) or not counts:
            return []
        return [attempt for attempt in range(1, latest) if (run.get("id"), attempt) not in stored]

    return missing


def deployed_shas(repository: Repository, *, also: Iterable[tuple[bool, datetime, str]] = (), is_open: bool | None = None) -> list[str]:
    """Commits that were deployed, or would be if another source turns out to count: production's first, the newest first.

    `also`: those that are not stored yet: whether in production, when, and which. `is_open`: whether it is
    undecided with them which source counts.
    """
    service = repository.service
    if is_open is None:
        is_open = is_undecided(service)
    source, is_production = service.deployments_from, re2.compile(service.production)
    found: list[tuple[bool, datetime, str]] = list(also)
    if source in (Service.DeploymentsFrom.AUTO, Service.DeploymentsFrom.GITHUB):
        rows = Deployment.present.filter(repository=repository).values_list("environment", "created_at", "sha")
        found += [(bool(is_production.search(environment)), created_at, sha) for environment, created_at, sha in rows]
    if source == Service.DeploymentsFrom.LOGS or is_open:
        logged = _logged(repository)
        found += [(not name or bool(is_production.search(name)), time, sha) for name, time, sha in logged]
    if source == Service.DeploymentsFrom.RELEASES or is_open:
        found += [(True, *row) for row in Release.present.filter(repository=repository, is_draft=False).values_list("created_at", "sha")]
    if source == Service.DeploymentsFrom.WORKFLOWS or is_open:
        found += [(True, *row) for row in _deploying_runs(repository)]
    return list(dict.fromkeys(sha for *_, sha in sorted(found, reverse=True) if sha))


def _logged(repository: Repository) -> list[tuple[str, datetime, str]]:
    """What the service's logs tell of; a line names no repository, so a commit that another one of the service has is that one's.

    A shortened sha is one that git's history may name: GitHub cannot be asked for it.
    """
    rows = LogDeployment.objects.filter(service=repository.service_id).values_list("environment", "time", "sha")
    found = [row for row in rows if len(row[-1]) == FULL_SHA]
    theirs: set[str] = set()
    if Repository.objects.filter(service=repository.service_id).exclude(pk=repository.pk).exists():
        others = Commit.objects.filter(service=repository.service_id).exclude(repository=repository)
        for some in _batches({sha for *_, sha in found}):
            theirs.update(others.filter(sha__in=some).values_list("sha", flat=True))
    return [row for row in found if row[-1] not in theirs]


def has_unknown(repository: Repository, shas: Collection[str], *, asked: Iterable[str]) -> bool:
    """Whether one of them is not stored and was not asked for: without loading a history, as on almost every night."""
    stored = Commit.present.filter(repository=repository)
    return any(stored.filter(sha__in=some).count() < len(some) for some in _batches(set(shas) - set(asked)))


def _batches(shas: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(shas)
    for start in range(0, len(ordered), SHAS_A_QUERY):
        yield ordered[start : start + SHAS_A_QUERY]


def parents_of(repository: Repository) -> dict[str, list[str]]:
    """The stored history: commit to parents."""
    return dict(Commit.present.filter(repository=repository).values_list("sha", "parents"))


def reached(heads: Iterable[str], parents: Mapping[str, Collection[str]], *, known: Collection[str] = ()) -> tuple[set[str], list[str]]:
    """What `heads` reach without passing through `known`: the stored commits, and the missing ones in the order of `heads`."""
    stored: set[str] = set()
    missing: dict[str, None] = {}
    for head in heads:
        waiting = [head] if head else []
        while waiting:
            sha = waiting.pop()
            if sha in stored or sha in known:
                continue
            if sha not in parents:
                missing[sha] = None
                continue
            stored.add(sha)
            waiting.extend(parents[sha])
    return stored, list(missing)


def _deploying_runs(repository: Repository) -> list[tuple[datetime, str]]:
    """Time and commit of the runs that may be attempts: docs/metrics.md, "Deployment"."""
    is_attempt = may_be_attempt(repository.service, branches=[repository.default_branch, *repository.default_branches])
    rows = WorkflowRun.present.filter(repository=repository).values_list("created_at", "sha", "name", "path", "event", "branch")
    return [(created_at, sha) for created_at, sha, *columns in rows.exclude(event__in=PULL_REQUEST_EVENTS) if is_attempt(*columns)]


RUN_COLUMNS = ("name", "path", "event", "head_branch")


def may_be_attempt(service: Service, *, branches: Collection[str]) -> Callable[[str, str, str, str], bool]:
    """Whether a run of that name, path, event and branch may be an attempt; `branches`: the default one's names. docs/metrics.md, "Deployment"."""
    is_deploying = re2.compile(service.workflow)

    def is_one(name: str, path: str, event: str, branch: str) -> bool:
        is_there = event not in PULL_REQUEST_EVENTS and (branch in branches or not any(branches))
        return is_there and bool(is_deploying.search(name) or is_deploying.search(path))

    return is_one


def _recent(rows: QuerySet[Any]) -> QuerySet[Any]:
    newest = rows.aggregate(newest=Max("created_at"))["newest"]
    return rows.filter(created_at__gte=newest - LONGEST_WAIT_FOR_AN_END) if newest else rows


def _runs_that_may_change(home: Repository) -> dict[str, datetime]:
    """Runs under way, and every run of a deploying workflow: a successful one is run again to roll back."""
    is_deploying = re2.compile(home.service.workflow)
    named = set(named_by_failures(home, also={}))
    rows = _recent(WorkflowRun.present.filter(repository=home)).order_by("created_at", "attempt")
    latest: dict[str, tuple[bool, datetime]] = {}
    for node_id, number, name, path, status, version in rows.values_list("node_id", "external_id", "name", "path", "status", "version_at"):
        may_change = status != "completed" or number in named or bool(is_deploying.search(name) or is_deploying.search(path))
        latest[node_id] = may_change, version
    return {node_id: version for node_id, (may_change, version) in latest.items() if may_change}
