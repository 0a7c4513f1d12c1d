"""Decide which sources of deployments a service needs, by the stored facts.

The rules are those of dora_metrics/calculators/deployment_sources.py; this module reads the rows that they need.
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
LIKELY_DECIDING = 20  # rows


def may_count(source: str, service: Service) -> bool:
    """Return whether a source ("github", "releases", …) counts for the service, or may count once more is collected."""
    may_others_count = source != GITHUB and is_undecided(service)  # GITHUB needs no query
    return source in sources_that_may_count(service.deployments_from, has_github_attempt=not may_others_count)


def is_undecided(
    service: Service, *, read: Iterable[Mapping[str, Any]] = (), replaced: Collection[str] = (), cancelled: Collection[str] = ()
) -> bool:
    """Return whether `auto` has not chosen GitHub's deployments yet, so that any other source may still count.

    `read`: deployments that this run has read, as facts. `replaced`: the global ids of stored deployments that are read
    anew or are gone. `cancelled`: the ids of cancelled workflow runs that are not stored yet.
    """
    if service.deployments_from != AUTO:
        return False
    stored = Deployment.present.filter(service=service)
    if replaced:
        stored = stored.exclude(node_id__in=replaced)
    environments = stored.values_list("environment", flat=True).distinct()
    stored = stored.filter(environment__in=[name for name in environments if is_production(name, service.production)])
    # Almost always one of the newest successes decides; only otherwise are all rows read.
    if _decides(service, _deployments(stored.filter(state__in=SUCCESSFUL_STATES).order_by("-created_at")[:LIKELY_DECIDING]), cancelled=()):
        return False
    runs = WorkflowRun.present.filter(service=service, conclusion="cancelled").values_list("external_id", flat=True)
    everything = chain(map(_deployment, read), _deployments(stored))
    return not _decides(service, everything, cancelled={*cancelled, *map(str, runs)})


def _decides(service: Service, deployments: Iterable[GithubDeployment], *, cancelled: Collection[str]) -> bool:
    return has_production_attempt(deployments, production=service.production, cancelled_runs=cancelled)


def _deployments(rows: QuerySet[Deployment]) -> Iterable[GithubDeployment]:
    return (_deployment(dict(zip(COLUMNS, row, strict=True))) for row in rows.values_list(*COLUMNS))


def _deployment(fact: Mapping[str, Any]) -> GithubDeployment:
    statuses = tuple(Status(status["state"], datetime.fromisoformat(status["created_at"]), status["log_url"]) for status in fact["statuses"])
    return GithubDeployment(str(fact["external_id"]), fact["environment"], fact["sha"], fact["created_at"], statuses)
