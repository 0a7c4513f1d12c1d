"""Decide from the stored facts which sources of deployments a service needs.

The rules are in dora_metrics/calculators/deployment_sources.py. This module reads the rows to which they are applied.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from django.db.models import QuerySet

from dora_metrics.calculators.deployment_sources import AUTO, GITHUB, has_production_attempt, sources_that_may_count
from dora_metrics.calculators.inputs import GithubDeployment, Status
from dora_metrics.calculators.production import is_production
from dora_metrics.models import Deployment, Service, WorkflowRun

SUCCESSFUL_STATES = ("active", "success")
COLUMNS = ("external_id", "environment", "sha", "created_at", "statuses")
LIKELY_DECIDING = 20  # how many deployments are read first: the newest to production that have succeeded
SUCCEEDED_STATES = (*SUCCESSFUL_STATES, "inactive")  # GitHub marks a successful deployment inactive when the next one succeeds


def may_count(source: str, service: Service) -> bool:
    """Return whether deployments from `source` ("github", "releases", …) count for the service, or may count after more has been collected."""
    may_others_count = source != GITHUB and is_undecided(service)  # for GITHUB the result does not depend on this, so no query is made
    return source in sources_that_may_count(service.deployments_from, has_github_attempt=not may_others_count)


def is_undecided(
    service: Service, *, read: Iterable[Mapping[str, Any]] = (), replaced: Collection[str] = (), cancelled: Collection[str] = ()
) -> bool:
    """Return whether the setting `auto` has not chosen GitHub's deployments yet, so that other sources may still count. False for other settings.

    `read`: deployments that this run has read, as facts. `replaced`: the global ids of stored deployments that this run has
    read again or found to be gone; their rows are ignored. `cancelled`: the ids of cancelled workflow runs that are not stored yet.
    """
    if service.deployments_from != AUTO:
        return False
    if service.pk is None:  # a service that is only tried has no stored deployments
        return True
    stored = Deployment.present.filter(service=service)
    if replaced:
        stored = stored.exclude(node_id__in=replaced)
    environments = stored.values_list("environment", flat=True).distinct()
    stored = stored.filter(environment__in=[name for name in environments if is_production(name, service.production)])
    # One of the newest deployments that have succeeded almost always decides the question. All rows are read only if none does.
    newest = _deployments(stored.filter(state__in=SUCCEEDED_STATES).order_by("-created_at")[:LIKELY_DECIDING])
    if _decides(service, filter(_has_succeeded, newest), cancelled=()):  # no cancelled run takes back a success
        return False
    runs = WorkflowRun.present.filter(service=service, conclusion="cancelled").values_list("external_id", flat=True)
    everything = chain(map(_deployment, read), _deployments(stored))
    return not _decides(service, everything, cancelled={*cancelled, *map(str, runs)})


def is_decided_by(service: Service, fact: Mapping[str, Any]) -> bool:
    """Return whether a deployment of this run, as a fact, decides alone that GitHub's deployments count: it was to production, and has succeeded."""
    deployment = _deployment(fact)
    return _has_succeeded(deployment) and _decides(service, [deployment], cancelled=())


def _has_succeeded(deployment: GithubDeployment) -> bool:
    return any(status.state == "success" for status in deployment.statuses)


def _decides(service: Service, deployments: Iterable[GithubDeployment], *, cancelled: Collection[str]) -> bool:
    return has_production_attempt(deployments, production=service.production, cancelled_runs=cancelled)


def _deployments(rows: QuerySet[Deployment]) -> Iterable[GithubDeployment]:
    return (_deployment(dict(zip(COLUMNS, row, strict=True))) for row in rows.values_list(*COLUMNS))


def _deployment(fact: Mapping[str, Any]) -> GithubDeployment:
    statuses = tuple(Status(status["state"], datetime.fromisoformat(status["created_at"]), status["log_url"]) for status in fact["statuses"])
    return GithubDeployment(str(fact["external_id"]), fact["environment"], fact["sha"], fact["created_at"], statuses)
