"""Find the deployed commits in the stored facts. Their histories are collected in addition to the default branch's."""

from collections.abc import Collection, Iterable
from datetime import datetime

from dora_metrics.calculators.deployment_sources import is_deploying_workflow, may_be_attempt, sources_that_may_count
from dora_metrics.calculators.git_history import FULL_SHA
from dora_metrics.calculators.production import is_production
from dora_metrics.models import Commit, Deployment, LogDeployment, Release, Repository, WorkflowRun
from etl_tasks.sources.github.commit_graph import batches
from etl_tasks.sources.github.needed_deployment_sources import is_undecided

# A deployment: whether it was to production, its time, and its commit.
Deployed = tuple[bool, datetime, str]


def deployed_shas(repository: Repository, *, read: Iterable[Deployed] = (), sources: Collection[str] | None = None) -> list[str]:
    """Return the commits that were deployed: first to production, then to other environments; in both parts the newest first.

    `read`: deployments that this run has read, in addition to the stored ones. `sources`: the sources of deployments whose stored
    facts are used; None for those that may count according to the stored facts.
    """
    service = repository.service
    if sources is None:
        sources = sources_that_may_count(service.deployments_from, has_github_attempt=not is_undecided(service))
    found: list[Deployed] = list(read)
    if "github" in sources:
        rows = Deployment.present.filter(repository=repository).values_list("environment", "created_at", "sha")
        found += [(is_production(environment, service.production), created_at, sha) for environment, created_at, sha in rows]
    if "logs" in sources:
        logged = _logged(repository)
        found += [(is_production(name or None, service.production), time, sha) for name, time, sha in logged]
    if "releases" in sources:
        found += [(True, *row) for row in Release.present.filter(repository=repository, is_draft=False).values_list("created_at", "sha")]
    if "workflows" in sources:
        found += [(True, *row) for row in _deploying_runs(repository)]
    return list(dict.fromkeys(sha for *_, sha in sorted(found, reverse=True) if sha))


def _logged(repository: Repository) -> list[tuple[str, datetime, str]]:
    """Return environment, time and commit of the deployments in the service's logs.

    A log line names no repository, so commits that another repository of the service has are left out. Shortened shas are left
    out, too, because GitHub cannot be asked for them.
    """
    rows = LogDeployment.objects.filter(service=repository.service_id).values_list("environment", "time", "sha")
    found = [row for row in rows if len(row[-1]) == FULL_SHA]
    of_others: set[str] = set()
    if Repository.objects.filter(service=repository.service_id).exclude(pk=repository.pk).exists():
        others = Commit.objects.filter(service=repository.service_id).exclude(repository=repository)
        for batch in batches({sha for *_, sha in found}):
            of_others.update(others.filter(sha__in=batch).values_list("sha", flat=True))
    return [row for row in found if row[-1] not in of_others]


def _deploying_runs(repository: Repository) -> list[tuple[datetime, str]]:
    """Return time and commit of the workflow runs that may be attempts to deploy, as defined in docs/metrics.md, "Deployment"."""
    pattern, branches = repository.service.workflow, {repository.default_branch, *repository.default_branches}
    rows = WorkflowRun.present.filter(repository=repository).values_list("created_at", "sha", "name", "path", "event", "branch")
    return [
        (created_at, sha)
        for created_at, sha, name, path, event, branch in rows
        if may_be_attempt(event=event, branch=branch, default_branches=branches) and is_deploying_workflow(name=name, path=path, pattern=pattern)
    ]
