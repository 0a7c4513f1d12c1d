"""What the stored facts of a service say that GitHub must be asked: which sources of deployments, which records again."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import re2
from django.db.models import Max, QuerySet

from dora_metrics.models import Deployment, Release, Service, WorkflowRun

# What never reaches an end is not asked for again for ever; a run may be run again for 30 days, by GitHub's rules.
# Counted back from the newest record: what nothing has followed yet is still the latest there is.
LONGEST_WAIT_FOR_AN_END = timedelta(days=30)
FINAL_STATES = ("inactive", "error", "failure", "destroyed")
FAILED_STATES = ("error", "failure")
# At most so many of a kind and night; the newest first. GraphQL's nodes() takes a hundred ids.
MOST_AGAIN = 45
RUN_OF_LOG_URL = re.compile(r"/actions/runs/([0-9]{1,18})\b")


def is_undecided(service: Service) -> bool:
    """True while `auto` has found no deployment of GitHub's in production: any other source may still turn out to count."""
    if service.deployments_from != Service.DeploymentsFrom.AUTO:
        return False
    ended = Deployment.objects.filter(service=service, state__in=("success", "active", *FINAL_STATES))
    is_production = re2.compile(service.production)
    return not any(is_production.search(name) for name in ended.values_list("environment", flat=True).distinct())


def unfinished(service: Service) -> Mapping[str, str]:
    """Global ids of what was not final when it was last read, with the version that is stored (ISO 8601)."""
    deployments = _recent(Deployment.objects.filter(service=service)).exclude(state__in=FINAL_STATES)
    drafts = _recent(Release.objects.filter(service=service)).filter(is_draft=True)
    return {**_versions(deployments), **_versions(drafts), **_unfinished_runs(service)}


def named_runs(service: Service) -> list[int]:
    """Workflow runs that failed deployments name and that are not stored: a cancelled one makes them no attempt at all."""
    if service.deployments_from not in (Service.DeploymentsFrom.AUTO, Service.DeploymentsFrom.GITHUB):
        return []
    failed = Deployment.objects.filter(service=service, state__in=FAILED_STATES)
    named = []
    for statuses in failed.order_by("-created_at").values_list("statuses", flat=True)[: 10 * MOST_AGAIN]:
        named += [int(found[1]) for status in statuses if (found := RUN_OF_LOG_URL.search(status["log_url"]))]
    stored = set(WorkflowRun.objects.filter(service=service, external_id__in=named).values_list("external_id", flat=True))
    return [number for number in dict.fromkeys(named) if number not in stored][:MOST_AGAIN]


def stored_attempts(service: Service) -> set[tuple[int, int]]:
    """Attempts of runs that need not be asked for, because they are there and have ended."""
    return set(WorkflowRun.objects.filter(service=service, status="completed").values_list("external_id", "attempt"))


def _recent(rows: QuerySet[Any]) -> QuerySet[Any]:
    newest = rows.aggregate(newest=Max("created_at"))["newest"]
    return rows.filter(created_at__gte=newest - LONGEST_WAIT_FOR_AN_END) if newest else rows


def _unfinished_runs(service: Service) -> dict[str, str]:
    """Runs under way, and those of deploying workflows whose latest attempt is no success: they may be run again."""
    is_deploying = re2.compile(service.workflow)
    rows = _recent(WorkflowRun.objects.filter(service=service)).exclude(node_id="").order_by("created_at", "attempt")
    latest: dict[str, tuple[bool, str]] = {}
    for node_id, name, path, conclusion, version in rows.values_list("node_id", "name", "path", "conclusion", "version_at"):
        may_change = not conclusion or (conclusion != "success" and (is_deploying.search(name) or is_deploying.search(path)))
        latest[node_id] = bool(may_change), version.isoformat()
    open_ones = [(node_id, version) for node_id, (may_change, version) in latest.items() if may_change]
    return dict(open_ones[-MOST_AGAIN:])


def _versions(rows: QuerySet[Any]) -> dict[str, str]:
    chosen = rows.exclude(node_id="").order_by("-created_at").values_list("node_id", "version_at")[:MOST_AGAIN]
    return {node_id: version.isoformat() for node_id, version in chosen}
