"""What a repository and its default branch were called while nobody looked: GitHub leads on from their former names.

Old runs keep the branch that they ran on, and old pull requests name the repository that they revert in. A night that finds a
new name knows the last one; a first collection knows none. So those names are tried that what was read uses.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from django.conf import settings

from etl_tasks.errors import FatalError
from etl_tasks.models import StagedPage
from etl_tasks.outcomes import UnreadablePage
from etl_tasks.sources.adapter import Job
from etl_tasks.sources.github import mapping, text_references
from etl_tasks.sources.github.client import GitHub, Moved
from etl_tasks.sources.github.streams import BY_NAME

PULL_REQUEST_EVENTS = ("pull_request", "pull_request_target")
# Of each kind the most frequent ones: a name that the default branch had is on most of what happened under it.
MOST_TRIED = 5
MOST_STEPS = 5  # from one former name to the next


def former_names(github: GitHub, job: Job, repository: Mapping[str, Any], *, last_seen: Mapping[str, Any]) -> dict[str, list[str]]:
    """The former names that are found: of the default branch ("branches") and of the repository ("names").

    Asked only where a name has changed since it was last seen, or a stream is read from further back than before.
    """
    has_changed = any(last_seen.get(key) != repository[key] for key in ("name", "default_branch"))
    reads_back = has_changed or job.is_full or job.since or job.until
    streams = [name for name in ("pull_requests", "workflow_runs") if reads_back or name not in job.cursors]
    branches, names = _used(job, streams)
    branches.pop(repository["default_branch"], None)
    names.pop(repository["name"].lower(), None)
    return {
        "branches": [name for name in _most_frequent(branches) if _is_default_branch(github, repository, name)],
        "names": [name for name in _most_frequent(names) if _is_repository(github, repository, name)],
    }


def _used(job: Job, streams: list[str]) -> tuple[Counter[str], Counter[str]]:
    """How often each branch, and each repository, is named by what the run has staged."""
    branches: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for page in StagedPage.objects.filter(run__active_for=job.source, stream__in=streams).order_by("number").iterator(chunk_size=1):
        for record in _records(page):
            if page.stream == "workflow_runs" and record.get("event") not in PULL_REQUEST_EVENTS:
                branches[str(record.get("head_branch") or "")] += 1
            elif record.get("mergedAt"):
                branches[str(record.get("baseRefName") or "")] += 1
                reverted = text_references.revert_signs(title="", branch="", body=str(record.get("body") or "")).get("pull", {})
                names[str(reverted.get("repository") or "").lower()] += 1
    return branches, names


def _records(page: StagedPage) -> Iterator[dict[str, Any]]:
    path, _ = BY_NAME[page.stream].shape(page.context)
    try:
        yield from (record for record in mapping.nodes(page.content, path) if isinstance(record, dict))
    except UnreadablePage:
        return  # transform buries it


def _most_frequent(counts: Counter[str]) -> list[str]:
    counts.pop("", None)
    return [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_TRIED]]


def _is_default_branch(github: GitHub, repository: Mapping[str, Any], name: str) -> bool:
    return _leads_to(github, f"/repos/{quote(repository['name'])}/branches/{quote(name, safe='')}", f"/branches/{repository['default_branch']}")


def _is_repository(github: GitHub, repository: Mapping[str, Any], name: str) -> bool:
    return _leads_to(github, f"/repos/{quote(name)}", f"/repositories/{repository['id']}")


def _leads_to(github: GitHub, path: str, end: str) -> bool:
    """Whether GitHub redirects the path to an address that ends so."""
    url = f"{settings.GITHUB_API_URL}{path}"
    for _ in range(MOST_STEPS):
        try:
            github.get(url)
        except Moved as exc:
            url = exc.location
            if unquote(url).endswith(end):
                return True
        except FatalError:
            return False  # it is gone, or not for this token
        else:
            return False  # there is something else of that name
    return False
