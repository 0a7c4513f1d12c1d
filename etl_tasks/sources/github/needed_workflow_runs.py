"""Which workflow runs and attempts are needed: those that failed deployments name, and the earlier attempts of deploying runs."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Q

from dora_metrics.calculators.deployment_sources import FAILED_STATES, is_deploying_workflow
from dora_metrics.models import Deployment, Repository, WorkflowRun
from etl_tasks.sources.github.needed_deployment_sources import SUCCESSFUL_STATES, may_count
from etl_tasks.sources.github.raw_values import as_number

MOST_ATTEMPTS = 1000  # GitHub allows far fewer re-runs of a run. A larger number is a mistake, and its attempts are not requested one by one.
RUN_OF_LOG_URL = re.compile(r"/actions/runs/([0-9]{1,18})\b")


def named_by_failures(repository: Repository, *, read: Mapping[int, Sequence[str]] | None = None) -> list[int]:
    """Return the numbers of the workflow runs that failed deployments name in their log addresses, the newest deployments first.

    These runs are needed because a failed deployment does not count as an attempt to deploy if its workflow run was cancelled.
    `read`: for each deployment that the present collection has read, by id, its log addresses if it has failed, otherwise an
    empty list. It is used instead of the stored deployment.
    """
    if not may_count("github", repository.service):
        return []
    read = read or {}
    # A deployment that failed may be inactive by now, so its earlier statuses are searched, too.
    failed = Q(state__in=FAILED_STATES)
    for state in FAILED_STATES:
        failed |= Q(statuses__icontains=state)
    rows = Deployment.present.filter(failed, repository=repository).exclude(state__in=SUCCESSFUL_STATES).order_by("-created_at")
    stored = {
        number: [status["log_url"] for status in statuses]
        for number, statuses in rows.values_list("external_id", "statuses")
        if number not in read and has_failed(status["state"] for status in statuses)
    }
    addresses = (address for log_urls in {**read, **stored}.values() for address in log_urls)
    return list(dict.fromkeys(int(found[1]) for address in addresses if (found := RUN_OF_LOG_URL.search(address))))


def has_failed(states: Iterable[str]) -> bool:
    """Return whether a deployment whose statuses have had these states has failed and has never succeeded."""
    found = set(states)
    return "success" not in found and bool(found & FAILED_STATES)


def stored_attempts_of(repository: Repository, numbers: Collection[int]) -> dict[int, set[int]]:
    """Return the numbers of the stored attempts of each workflow run in `numbers`, by the run's number."""
    found: dict[int, set[int]] = {}
    rows = WorkflowRun.objects.filter(repository=repository, external_id__in=numbers) if numbers else WorkflowRun.objects.none()
    for number, attempt in rows.values_list("external_id", "attempt"):
        found.setdefault(number, set()).add(attempt)
    return found


def missing_attempts(repository: Repository, *, named: Collection[int] = ()) -> Callable[[Mapping[str, Any]], list[int]]:
    """Return a function that returns which earlier attempts of a listed run have to be requested. The function does not use the database.

    GitHub lists only the latest attempt of a run. Earlier attempts may count, too, if the workflow deploys or the run is in `named`.
    """
    pattern = repository.service.workflow
    ended = WorkflowRun.objects.filter(repository=repository, status="completed")
    stored = set(ended.values_list("external_id", "attempt"))

    def missing(run: Mapping[str, Any]) -> list[int]:
        number, latest = as_number(run.get("id")), as_number(run.get("run_attempt"))
        counts = number in named or is_deploying_workflow(name=str(run.get("name")), path=str(run.get("path")), pattern=pattern)
        if number is None or latest is None or latest > MOST_ATTEMPTS or not counts:
            return []
        return [attempt for attempt in range(1, latest) if (number, attempt) not in stored]

    return missing
