"""Follow a repository that was renamed or transferred, and find former names of the repository and of its default branch.

Former names are needed because old workflow runs name the branch on which they ran, and old reverts name the repository. If a
nightly run finds a new name, it keeps the previous one. When a first collection begins, no former name is stored yet. So the
first collection takes possible names from the records that it has read, and asks GitHub for each of them: GitHub redirects from
a former name to the present one.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from django.conf import settings
from django.db import transaction

from dora_metrics.calculators.deployment_sources import PULL_REQUEST_EVENTS
from dora_metrics.derivation.recompute import hold
from dora_metrics.models import Repository
from etl_tasks.errors import FatalError
from etl_tasks.models import Source
from etl_tasks.sources.adapter import Job
from etl_tasks.sources.github import text_references
from etl_tasks.sources.github.client import GitHub, Moved
from etl_tasks.sources.github.raw_values import as_text
from etl_tasks.sources.github.staged_records import staged_records
from etl_tasks.sources.github.survey import Refusal, SurveyResult, survey_batch, survey_by_id

# Of each kind of name, only this many are tried, the most frequent first: a former name of the default branch occurs in most records of its time.
MOST_TRIED = 5
MOST_REDIRECTS = 5  # for one name: GitHub may redirect from one former name to the next


def survey_followed(github: GitHub, job: Job) -> SurveyResult:
    """Return the survey result of the repository that the source has always read, even if it was renamed.

    The repository is found by its name. If GitHub does not know the name, or if another repository has it now, the repository
    is found by its id. Raises FatalError if the repository is gone.
    """
    source, result, repository = job.source, job.survey, job.source.ensure_facts_repository()
    refusals: dict[int, Refusal] = {}
    if not result:
        found, refusals = survey_batch(github, [source])
        result = found.get(source.pk)
    may_have_moved = not result and not any(refusal.stream for refusal in refusals.values())
    if repository.github_id and (may_have_moved or result) and repository.github_id != (result or {}).get("repository", {}).get("id"):
        result = survey_by_id(github, source, node_id=repository.node_id)
    if not result:
        raise FatalError(refusals[source.pk].sentence if refusals else f"{source.repository} is gone, or the token may not read it any more")
    if repository.github_id is None:
        _identify(source, result["repository"])
    return result


def _identify(source: Source, seen: Mapping[str, Any]) -> None:
    """Store the repository's id before its first fact is stored. If a stored repository already has this id, the source uses that repository.

    `seen`: the repository as the survey found it. Raises FatalError if another source of the same service reads that repository.
    """
    with transaction.atomic():
        hold(source.service)
        unidentified = source.ensure_facts_repository()
        known = Repository.objects.filter(service=source.service, github_id=seen["id"]).first()
        if known is None:
            unidentified.github_id, unidentified.node_id = seen["id"], seen["node_id"]
            unidentified.save(update_fields=["github_id", "node_id"])
            return
        if other := Source.objects.filter(facts_repository=known).exclude(pk=source.pk).first():
            raise FatalError(f"{source.repository} is {known.name}, which source {other} reads for {source.service} already: disable one of the two")
        source.facts_repository = known
        source.save(update_fields=["facts_repository"])
        unidentified.delete()


def update_names(repository: Repository, seen: Mapping[str, Any]) -> None:
    """Set the repository's name, node id and default branch to what GitHub returned (`seen`).

    The current and former names and branches are added to `names` and `default_branches`. The caller saves the row.
    """
    former = seen.get("former", {})
    repository.name, repository.node_id, repository.default_branch = seen["name"], seen["node_id"], seen["default_branch"]
    repository.names = _with(repository.names, *former.get("names", ()), seen["name"])
    repository.default_branches = _with(repository.default_branches, *former.get("branches", ()), seen["default_branch"])


def _with(names: list[str], *more: str) -> list[str]:
    return list(dict.fromkeys(name for name in (*names, *more) if name))


def former_names(github: GitHub, job: Job, repository: Mapping[str, Any], *, last_seen: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the former names of the default branch ("branches") and of the repository ("names") that GitHub confirms.

    `repository`: what the survey found. `last_seen`: what the survey of the last loaded run found. GitHub is asked only if a name
    has changed since then, or if a stream is read further back than before.
    """
    has_changed = any(last_seen.get(key) != repository[key] for key in ("name", "default_branch"))
    reads_back = has_changed or job.is_full or job.since or job.until
    streams = [name for name in ("pull_requests", "workflow_runs") if reads_back or name not in job.cursors]
    branches, names = _count_names(job, streams)
    branches.pop(repository["default_branch"], None)
    names.pop(repository["name"].lower(), None)
    return {
        "branches": [name for name in _most_frequent(branches) if _is_default_branch(github, repository, name)],
        "names": [name for name in _most_frequent(names) if _is_repository(github, repository, name)],
    }


def _count_names(job: Job, streams: list[str]) -> tuple[Counter[str], Counter[str]]:
    """Return how often the staged records of these streams use each branch's name, and each repository's name."""
    branches: Counter[str] = Counter()
    names: Counter[str] = Counter()
    if "workflow_runs" in streams:
        for run in staged_records(job, "workflow_runs", "event", "head_branch"):
            if as_text(run.get("event")) not in PULL_REQUEST_EVENTS:
                branches[as_text(run.get("head_branch"))] += 1
    if "pull_requests" in streams:
        for record in staged_records(job, "pull_requests", "mergedAt", "baseRefName", "body"):
            if record.get("mergedAt"):
                branches[as_text(record.get("baseRefName"))] += 1
                reverted = text_references.revert_signs(title="", branch="", body=as_text(record.get("body"))).get("pull", {})
                names[str(reverted.get("repository") or "").lower()] += 1
    return branches, names


def _most_frequent(counts: Counter[str]) -> list[str]:
    counts.pop("", None)
    return [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_TRIED]]


def _is_default_branch(github: GitHub, repository: Mapping[str, Any], name: str) -> bool:
    path = f"/repos/{quote(repository['name'])}/branches/{quote(name, safe='')}"
    return _redirects_to(github, path, f"/branches/{repository['default_branch']}")


def _is_repository(github: GitHub, repository: Mapping[str, Any], name: str) -> bool:
    return _redirects_to(github, f"/repos/{quote(name)}", f"/repositories/{repository['id']}")


def _redirects_to(github: GitHub, path: str, end: str) -> bool:
    """Return whether GitHub redirects the path to an address that ends with `end`."""
    url = f"{settings.GITHUB_API_URL}{path}"
    for _ in range(MOST_REDIRECTS):
        try:
            github.get(url)
        except Moved as exc:
            url = exc.location
            if unquote(url).endswith(end):
                return True
        except FatalError:
            return False  # nothing has that name, or the token may not read it
        else:
            return False  # something else has that name now
    return False
