"""Settled repositories: a run of one would find nothing, which is known after the survey without another request.

What a run does follows from its cursors, the survey, the service's settings and the stored facts. If a run has read nothing, has sent no request
after the survey, and has changed nothing but times in its cursors, then a run with equal inputs does the same. So such a run stores a digest of
the inputs in the cursor of the stream "repository", and as long as the digest is the same, the cursors can be moved without a run.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from dora_metrics.models import LogDeployment, Repository
from dora_metrics.models.service import setting_values
from etl_tasks.models import Source
from etl_tasks.sources.adapter import SETTLED, Job, Page, lasting
from etl_tasks.sources.github.client import GitHub
from etl_tasks.sources.github.collect import REPOSITORY
from etl_tasks.sources.github.deployed_commits import deployed_shas
from etl_tasks.sources.github.needed_deployment_sources import is_undecided
from etl_tasks.sources.github.survey import SurveyResult, has_no_news

# After this time a source has a run with stages in any case, for whatever the digest does not cover. It differs by up to a week, so that not all
# sources have theirs in the same night.
SHORTEST = timedelta(days=7)


class Watch:
    """Watches the pages of a run, and says at its end whether the source is settled."""

    def __init__(self, github: GitHub, job: Job, survey_result: SurveyResult) -> None:
        self._github, self._job, self._survey_result = github, job, survey_result
        self._requests = github.request_count
        self._has_changed = bool(job.progress or job.since or job.until or job.is_full) or not has_no_news(survey_result, job.cursors)
        self._digest = "" if self._has_changed else _digest(job.source, survey_result)  # of the facts with which the run began

    def watched(self, page: Page) -> Page:
        """Return the page, with the digest in its cursor if it is the last page of a run that has found nothing."""
        self._has_changed |= bool(page.body) or lasting(page.cursor) != lasting(self._job.cursors.get(page.stream, {}))
        if page.stream != REPOSITORY or self._has_changed or self._github.request_count != self._requests:
            return page
        return replace(page, cursor={**page.cursor, SETTLED: self._digest, "settled_at": self._survey_result["seen_at"]})


def settled_cursors(source: Source, cursors: Mapping[str, dict[str, Any]], survey_result: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Return the cursors that a run would leave, by stream; None if the source is not settled. They differ from `cursors` in times only."""
    repository, seen_at = cursors.get(REPOSITORY, {}), survey_result["seen_at"]
    if repository.get(SETTLED) != _digest(source, survey_result) or not has_no_news(survey_result, cursors):
        return None
    settled_at, last_seen, seen = map(datetime.fromisoformat, (repository["settled_at"], repository["seen_at"], seen_at))
    # A clock that went wrong must not keep a source settled, and the result of an old survey must not move the cursors back.
    if not settled_at <= last_seen <= seen <= settled_at + SHORTEST + timedelta(days=source.pk % 7):
        return None
    lists = {stream: {**cursor, "collected_until": seen_at} for stream, cursor in cursors.items() if stream in repository["asked"]}
    return {**lists, REPOSITORY: {**repository, "seen_at": seen_at}}


def _digest(source: Source, survey_result: Mapping[str, Any]) -> str:
    """Return a digest of everything that a run's requests depend on beside its cursors.

    Of the facts of the service's other repositories and logs, only two answers matter: whether they decide where deployments come from, and which
    deployments of the logs belong to this repository.
    """
    repository = Repository.objects.filter(source=source).first()
    has_log_deployments = LogDeployment.objects.filter(service=source.service_id).exists()
    inputs = [
        {name: survey_result[name] for name in ("repository", "head", "top")},
        setting_values(source.service),
        [source.repository, source.credential, source.options],
        [repository and repository.facts_version, is_undecided(source.service)],
        deployed_shas(repository) if repository and has_log_deployments else [],
        _program(),
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:32]


@cache
def _program() -> str:
    """Return a digest of the files of this package, because a new version may read more."""
    files = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in {".py", ".graphql"})
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
