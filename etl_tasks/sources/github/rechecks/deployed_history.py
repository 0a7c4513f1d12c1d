"""Request the histories of deployed commits that the default branch does not contain."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from dora_metrics.calculators.deployment_sources import is_deploying_workflow, may_be_attempt, sources_that_may_count
from dora_metrics.calculators.production import is_production
from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github.commit_graph import has_unknown, parents_of, reached
from etl_tasks.sources.github.deployed_commits import Deployed, deployed_shas
from etl_tasks.sources.github.needed_deployment_sources import is_undecided
from etl_tasks.sources.github.raw_values import as_object, as_text, objects_in
from etl_tasks.sources.github.readers.commit_history import read_history
from etl_tasks.sources.github.rechecks.recheck import Recheck
from etl_tasks.sources.github.staged_records import gone_records, is_undecided_once_loaded

# How many histories a run requests at most. Each costs one point. Only a first collection finds more than a few unknown commits.
MOST_HISTORIES = 20


def recheck_history(recheck: Recheck) -> Iterator[Page]:
    """Read commits that a deployed commit or the default branch reaches, but that are neither stored nor staged.

    Two keys of the cursor are set. "asked": the missing commits whose histories have been requested; they are not requested again.
    "has_strays": whether there may be stored commits that neither the branch nor a deployed commit reaches any more.
    """
    job, repository = recheck.job, recheck.repository
    recheck.reading = replace(recheck.reading, progress=None)
    former = job.cursors.get("commits", {})
    asked_before = former.get("asked", ())
    is_undecided_now = is_undecided_once_loaded(job)
    sources = sources_that_may_count(job.source.service.deployments_from, has_github_attempt=not is_undecided_now)
    deployed = deployed_shas(repository, read=_deployed_in_this_run(recheck, sources), sources=sources)
    head = recheck.reading.top
    is_new = head != former.get("top")
    lost_deployment = any(gone_records(job, name) for name in ("deployments", "releases", "workflow_runs"))
    recheck.cursor["has_strays"] = is_undecided_now != is_undecided(job.source.service) or lost_deployment
    has_read = next(_staged_commits(recheck), None) is not None
    if not is_new and not has_read and not has_unknown(repository, deployed, asked=asked_before):
        return
    parents = parents_of(repository)
    if not parents and _has_whole_history(recheck, [head, *deployed]):
        recheck.cursor |= {"asked": [], "has_strays": False}
        return
    parents.update(_staged_commits(recheck))
    known, missing_of_branch = reached([head] if head else [], parents)
    reached_beside, missing_beside = reached(deployed, parents, known=known)
    recheck.cursor["has_strays"] |= len(known) + len(reached_beside) < len(parents)
    missing = list(dict.fromkeys([*missing_of_branch, *missing_beside]))
    asked = [sha for sha in asked_before if sha in missing]
    wanted = [sha for sha in missing if sha not in asked][:MOST_HISTORIES]
    recheck.cursor["asked"] = [*asked, *wanted]
    if wanted:
        reading = replace(recheck.reading, ids=wanted, stored_commits=frozenset(parents), asked_in_vain=asked)
        yield from recheck.pages(read_history(reading), keeps=("asked",))


def _staged_commits(recheck: Recheck) -> Iterator[tuple[str, list[str]]]:
    """Yield each commit that this run has read, with its parents."""
    return ((oid, _parents(node)) for node in recheck.staged("oid", "parents") if (oid := as_text(node.get("oid"))))


def _has_whole_history(recheck: Recheck, heads: Iterable[str]) -> bool:
    """Return whether this run has read, in the default branch's history, the commits in `heads` and all parents of all commits.

    Then nothing is missing, and the branch's head reaches every commit. This is so for nearly every first collection, and the graph of all
    commits, which is large, is not needed to find it out.
    """
    if any(page.context.get("shape") for page in recheck.job.staged("commits")):
        return False
    read: set[str] = set()
    expected = set(heads)
    for oid, parents in _staged_commits(recheck):
        read.add(oid)
        expected.discard(oid)
        expected.update(parent for parent in parents if parent not in read)
    return not expected


def _deployed_in_this_run(recheck: Recheck, sources: Collection[str]) -> list[Deployed]:
    """Return the deployments that this run has read, for the argument `read` of `deployed_shas`. `sources`: as in `deployed_shas`."""
    service = recheck.job.source.service
    found: list[tuple[bool, Any, Any]] = []
    if "deployments" in recheck.read_streams:
        for node in recheck.staged("environment", "createdAt", "commitOid", stream="deployments"):
            in_production = is_production(str(node.get("environment") or ""), service.production)
            found.append((in_production, node.get("createdAt"), node.get("commitOid")))
    if "releases" in sources:
        published = (node for node in recheck.staged("isDraft", "createdAt", "tagCommit", stream="releases") if not node.get("isDraft"))
        found += [(True, node.get("createdAt"), as_object(node.get("tagCommit")).get("oid")) for node in published]
    if "workflows" in sources:
        repository = recheck.repository
        current = str(recheck.reading.repository["default_branch"])
        branches = {current, repository.default_branch, *repository.default_branches, *recheck.former_branches}
        fields = ("name", "path", "event", "head_branch", "created_at", "head_sha")
        for run in recheck.staged(*fields, stream="workflow_runs"):
            name, path, event, branch = (str(run.get(key) or "") for key in ("name", "path", "event", "head_branch"))
            is_deploying = is_deploying_workflow(name=name, path=path, pattern=service.workflow)
            if is_deploying and may_be_attempt(event=event, branch=branch, default_branches=branches):
                found.append((True, run.get("created_at"), run.get("head_sha")))
    return [(in_production, moment, sha) for in_production, time, sha in found if as_text(sha) and (moment := _moment(time))]


def _moment(text: object) -> datetime | None:
    """Return the time, or None if the value is not a time with a time zone. The transform stage makes such a record a dead letter."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _parents(commit: Mapping[str, Any]) -> list[str]:
    return [oid for parent in objects_in(commit.get("parents")) if (oid := as_text(parent.get("oid")))]
