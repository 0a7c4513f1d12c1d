"""The adapter of a GitHub source: what the pipeline calls."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from dora_metrics.models import Commit, Repository
from etl_tasks.errors import RetriableError
from etl_tasks.models import Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.adapter import Adapter, Check, Job, Learned, Page
from etl_tasks.sources.github import null_records
from etl_tasks.sources.github.client import GitHub, store_budgets
from etl_tasks.sources.github.collect import REPOSITORY, collect
from etl_tasks.sources.github.commit_graph import batches, parents_of, reached
from etl_tasks.sources.github.deployed_commits import deployed_shas
from etl_tasks.sources.github.page_sizes import PageSizes
from etl_tasks.sources.github.readers.lists import read_lost_record
from etl_tasks.sources.github.renames import survey_followed, update_names
from etl_tasks.sources.github.settled import Watch, settled_cursors
from etl_tasks.sources.github.source_check import check
from etl_tasks.sources.github.streams import BY_NAME
from etl_tasks.sources.github.survey import SurveyResult, has_no_news, survey, survey_in_parts

BUDGET_INTERVAL = timedelta(seconds=30)  # a long run stores this often how much of GitHub's limits is left
FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")


class GitHubRepository(Adapter):
    """The adapter of a GitHub source."""

    label = gettext_noop("a GitHub repository")
    shortest_interval_minutes = 5  # a survey costs a point of the hourly limit for each 25 repositories
    fields = ("repository", "credential")

    def validate(self, source: Source) -> None:
        if not FULL_NAME.fullmatch(source.repository):
            raise ValidationError({"repository": _("%(name)r is not a repository: write it as owner/name") % {"name": source.repository}})
        if source.service_id is None:
            return
        others = Source.objects.filter(service=source.service_id, kind=source.kind, repository__iexact=source.repository)
        if other := others.exclude(pk=source.pk).first():  # its facts would count twice
            values = {"source": other, "service": source.service, "repository": other.repository}
            raise ValidationError({"repository": _("source %(source)s of %(service)s reads %(repository)s already") % values})

    def validate_change(self, source: Source, *, former: Source) -> None:
        """Refuse a change to another repository, because the facts of both repositories would be mixed in one service."""
        if former.repository != source.repository:
            sentence = _(
                "%(source)s has been collected from %(repository)s: a renamed repository is followed by itself; "
                "for another one, add a source of its own (add_service with both as --repository)"
            )
            raise ValueError(sentence % {"source": source.name, "repository": former.repository})

    def check(self, source: Source) -> Check:
        return check(source)

    def survey(self, sources: Sequence[Source]) -> dict[int, SurveyResult]:
        return survey(sources)

    def survey_in_parts(self, sources: Sequence[Source]) -> Iterator[dict[int, SurveyResult]]:
        return survey_in_parts(sources)

    def is_quiet(self, source: Source, cursors: Mapping[str, dict[str, Any]], news: Mapping[str, Any] | None) -> bool:
        return news is not None and has_no_news(news, cursors)

    def settled_cursors(
        self, source: Source, cursors: Mapping[str, dict[str, Any]], news: Mapping[str, Any] | None
    ) -> dict[str, dict[str, Any]] | None:
        return settled_cursors(source, cursors, news) if news else None

    def pages(self, job: Job) -> Iterator[Page | Learned]:
        github = GitHub(job.source.credential)
        survey_result, sizes = survey_followed(github, job), PageSizes(job.source.page_sizes)
        watch = Watch(github, job, survey_result)
        try:
            for page in collect(github, job, survey_result, sizes):
                yield watch.watched(page)
                yield from _learned(sizes)
                store_budgets(interval=BUDGET_INTERVAL)
        except RetriableError:
            yield from _learned(sizes)
            store_budgets()
            raise
        store_budgets()

    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        return BY_NAME[stream].fact_of(context)

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        return null_records.records(BY_NAME[stream], content, context)

    def ask_again(self, source: Source, stream: str, lost: Mapping[str, Any]) -> Page:
        repository = source.ensure_facts_repository()
        return read_lost_record(GitHub(source.credential), BY_NAME[stream], lost, repository_id=repository.node_id)

    def loaded(self, source: Source, cursors: Mapping[str, dict[str, Any]]) -> None:
        """Store what the run has read about the repository itself, for example its present name."""
        if not (seen := cursors.get(REPOSITORY)):
            return
        Source.objects.filter(pk=source.pk).update(repository=seen["name"], is_archived=seen["is_archived"], is_private=seen["is_private"])
        repository = Repository.objects.select_for_update().get(pk=source.ensure_facts_repository().pk)
        update_names(repository, seen)
        if cursors.get("commits", {}).get("has_strays"):
            _mark_strays(repository, cursors["commits"])
        if "pull_requests" in cursors:
            repository.has_paths = bool(cursors["pull_requests"].get("with_paths"))
        repository.save()


def _learned(sizes: PageSizes) -> Iterator[Learned]:
    """Yield the page sizes if they have changed. They are stored even if the run fails, so that the next attempt begins with sizes that work."""
    if (learned := sizes.learned()) is not None:
        yield Learned(learned)


def _mark_strays(repository: Repository, cursor: Mapping[str, Any]) -> None:
    """Mark as gone the commits that neither the default branch nor a deployed commit reaches, after a forced push or a deleted deployment.

    Nothing is marked while an ancestor of a reached commit is not stored (it may be a dead letter), because it is unknown which
    commits that ancestor reaches.
    """
    parents, heads = parents_of(repository), [cursor["top"], *deployed_shas(repository)]
    kept, missing = reached(heads, parents)
    if set(missing) - set(heads):
        return
    for batch in batches(parents.keys() - kept):
        if Commit.present.filter(repository=repository, sha__in=batch).update(gone_at=now()):
            repository.facts_version += 1  # the caller saves the row
