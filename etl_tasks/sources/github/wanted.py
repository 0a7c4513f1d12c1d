"""What the stored facts say that GitHub must be asked: which sources of deployments, which records again.

Which source of deployments counts is decided for a service; which records are stored is asked of one repository.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import re2
from django.db.models import Max, QuerySet

from dora_metrics.models import Commit, Deployment, LogDeployment, Release, Repository, Service, WorkflowRun

# What never reaches an end is not asked for again for ever; a run may be run again for 30 days, by GitHub's rules.
# Counted back from the newest record: what nothing has followed yet is still the latest there is.
LONGEST_WAIT_FOR_AN_END = timedelta(days=30)
FINAL_STATES = ("inactive", "error", "failure", "destroyed")
FAILED_STATES = ("error", "failure")
# At most so many of a kind and night; the newest first. GraphQL's nodes() takes a hundred ids.
MOST_AGAIN = 45
# Of deployed commits, each a query of one point; more than a handful of unknown ones are a first collection's.
MOST_HISTORIES = 20
SHAS_A_QUERY = 500
FULL_SHA = 40
PULL_REQUEST_EVENTS = ("pull_request", "pull_request_target")
RUN_OF_LOG_URL = re.compile(r"/actions/runs/([0-9]{1,18})\b")


def is_undecided(service: Service) -> bool:
    """True while `auto` has found no deployment of GitHub's in production: any other source may still turn out to count."""
    if service.deployments_from != Service.DeploymentsFrom.AUTO:
        return False
    ended = Deployment.objects.filter(service=service, state__in=("success", "active", *FINAL_STATES))
    is_production = re2.compile(service.production)
    return not any(is_production.search(name) for name in ended.values_list("environment", flat=True).distinct())


def unfinished(repository: Repository) -> Mapping[str, str]:
    """Global ids of what was not final when it was last read, with the version that is stored (ISO 8601)."""
    deployments = _recent(Deployment.objects.filter(repository=repository)).exclude(state__in=FINAL_STATES)
    drafts = _recent(Release.objects.filter(repository=repository)).filter(is_draft=True)
    return {**_versions(deployments), **_versions(drafts), **_unfinished_runs(repository)}


def named_runs(repository: Repository) -> list[int]:
    """Workflow runs that failed deployments name and that are not stored: a cancelled one makes them no attempt at all."""
    if repository.service.deployments_from not in (Service.DeploymentsFrom.AUTO, Service.DeploymentsFrom.GITHUB):
        return []
    failed = Deployment.objects.filter(repository=repository, state__in=FAILED_STATES)
    named = []
    for statuses in failed.order_by("-created_at").values_list("statuses", flat=True)[: 10 * MOST_AGAIN]:
        named += [int(found[1]) for status in statuses if (found := RUN_OF_LOG_URL.search(status["log_url"]))]
    stored = set(WorkflowRun.objects.filter(repository=repository, external_id__in=named).values_list("external_id", flat=True))
    return [number for number in dict.fromkeys(named) if number not in stored][:MOST_AGAIN]


def stored_attempts(repository: Repository) -> set[tuple[int, int]]:
    """Attempts of runs that need not be asked for, because they are there and have ended."""
    return set(WorkflowRun.objects.filter(repository=repository, status="completed").values_list("external_id", "attempt"))


def deployed_shas(repository: Repository) -> list[str]:
    """Commits that were deployed, or would be if another source turns out to count: production's first, the newest first."""
    service = repository.service
    source, is_production = service.deployments_from, re2.compile(service.production)
    found: list[tuple[bool, datetime, str]] = []
    if source in (Service.DeploymentsFrom.AUTO, Service.DeploymentsFrom.GITHUB):
        rows = Deployment.objects.filter(repository=repository).values_list("environment", "created_at", "sha")
        found += [(bool(is_production.search(environment)), created_at, sha) for environment, created_at, sha in rows]
    if source == Service.DeploymentsFrom.LOGS or is_undecided(service):
        logged = _logged(repository)
        found += [(not name or bool(is_production.search(name)), time, sha) for name, time, sha in logged]
    if source == Service.DeploymentsFrom.RELEASES or is_undecided(service):
        found += [(True, *row) for row in Release.objects.filter(repository=repository, is_draft=False).values_list("created_at", "sha")]
    if source == Service.DeploymentsFrom.WORKFLOWS or is_undecided(service):
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
    stored = Commit.objects.filter(repository=repository)
    return any(stored.filter(sha__in=some).count() < len(some) for some in _batches(set(shas) - set(asked)))


def _batches(shas: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(shas)
    for start in range(0, len(ordered), SHAS_A_QUERY):
        yield ordered[start : start + SHAS_A_QUERY]


def parents_of(repository: Repository) -> dict[str, list[str]]:
    """The stored history: commit to parents."""
    return dict(Commit.objects.filter(repository=repository).values_list("sha", "parents"))


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
    is_deploying = re2.compile(repository.service.workflow)
    rows = WorkflowRun.objects.filter(repository=repository).exclude(event__in=PULL_REQUEST_EVENTS)
    if repository.default_branch:
        rows = rows.filter(branch__in=[repository.default_branch, *repository.default_branches])
    named = rows.values_list("created_at", "sha", "name", "path")
    return [(created_at, sha) for created_at, sha, name, path in named if is_deploying.search(name) or is_deploying.search(path)]


def _recent(rows: QuerySet[Any]) -> QuerySet[Any]:
    newest = rows.aggregate(newest=Max("created_at"))["newest"]
    return rows.filter(created_at__gte=newest - LONGEST_WAIT_FOR_AN_END) if newest else rows


def _unfinished_runs(repository: Repository) -> dict[str, str]:
    """Runs under way, and those of deploying workflows whose latest attempt is no success: they may be run again."""
    is_deploying = re2.compile(repository.service.workflow)
    rows = _recent(WorkflowRun.objects.filter(repository=repository)).exclude(node_id="").order_by("created_at", "attempt")
    latest: dict[str, tuple[bool, str]] = {}
    for node_id, name, path, conclusion, version in rows.values_list("node_id", "name", "path", "conclusion", "version_at"):
        may_change = not conclusion or (conclusion != "success" and (is_deploying.search(name) or is_deploying.search(path)))
        latest[node_id] = bool(may_change), version.isoformat()
    open_ones = [(node_id, version) for node_id, (may_change, version) in latest.items() if may_change]
    return dict(open_ones[-MOST_AGAIN:])


def _versions(rows: QuerySet[Any]) -> dict[str, str]:
    chosen = rows.exclude(node_id="").order_by("-created_at").values_list("node_id", "version_at")[:MOST_AGAIN]
    return {node_id: version.isoformat() for node_id, version in chosen}
