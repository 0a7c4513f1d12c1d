"""What became of GitHub deployments by the rule of docs/metrics.md: the statuses decide, and not the state that GitHub shows now."""

from collections.abc import Sequence
from enum import StrEnum

from dora_metrics.calculators import inputs
from dora_metrics.calculators.deployment_sources import FAILED_STATES, finished, run_id_of
from dora_metrics.derivation.stored_facts import statuses_of
from dora_metrics.models import Deployment, WorkflowRun


class Outcome(StrEnum):
    """The outcome of a GitHub deployment. Only a deployment that succeeded or failed counts as an attempt."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"  # it failed because its workflow run was cancelled
    UNFINISHED = "unfinished"


def outcomes_of(deployments: Sequence[Deployment]) -> dict[int, Outcome]:
    """Return the outcome of each deployment, by its primary key. One query looks up the workflow runs of those that failed."""
    cancelled = _cancelled_runs(deployments)
    return {deployment.pk: _outcome(deployment, cancelled.get(deployment.repository_id, set())) for deployment in deployments}


def _outcome(deployment: Deployment, cancelled_runs: set[str]) -> Outcome:
    known = inputs.GithubDeployment(
        id=str(deployment.external_id),
        environment=deployment.environment,
        sha=deployment.sha,
        created_at=deployment.created_at,
        statuses=statuses_of(deployment.statuses),
    )
    if attempt := finished(known, cancelled_runs=cancelled_runs):
        return Outcome.SUCCEEDED if attempt.is_success else Outcome.FAILED
    return Outcome.CANCELLED if cancelled_runs and finished(known) else Outcome.UNFINISHED


def _cancelled_runs(deployments: Sequence[Deployment]) -> dict[int, set[str]]:
    """Return the ids of the cancelled workflow runs that the failures among the statuses name, by repository."""
    ids = {
        int(run_id)
        for deployment in deployments
        for status in deployment.statuses
        if status["state"] in FAILED_STATES and (run_id := run_id_of(status["log_url"])).isdecimal()
    }
    found: dict[int, set[str]] = {}
    if not ids:
        return found
    runs = WorkflowRun.present.filter(
        repository__in={deployment.repository_id for deployment in deployments}, external_id__in=ids, conclusion="cancelled"
    )
    for repository_id, external_id in runs.values_list("repository_id", "external_id"):
        found.setdefault(repository_id, set()).add(str(external_id))
    return found
