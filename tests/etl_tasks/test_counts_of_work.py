"""How much work a night does for a record, as counts, which are the same on every machine: statements, decodes, requests, searches."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import msgspec
import pytest
from django.db import connection, transaction
from django.db.models import Field
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from dora_metrics.models import Change, Deployment, DORAMetric, GithubFact, Repository, Service
from etl_tasks import inline, ledger
from etl_tasks.loaders import facts
from etl_tasks.models import CleanBatch, ETLRun, Source, StagedPage
from etl_tasks.sources.adapter import Job, Page
from etl_tasks.sources.github import client, mapping, staged_records, text_references
from etl_tasks.sources.github.needed_deployment_sources import SUCCESSFUL_STATES, is_undecided
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import exact_world
from tests.conftest import END
from tests.etl_tasks.sources.failing import FailingSource

pytestmark = pytest.mark.django_db
SMALL = {"pull_requests": 100, "deployments": 100, "issues": 100, "releases": 0, "runs": 0, "commits": 200}
LARGE = {name: 3 * count for name, count in SMALL.items()}  # a thousand records more
PATTERNS = ("REVERTS_PULL", "REVERTS_COMMIT", "DEPLOYMENT", "ROOT_CAUSE", "CAUSED_BY")


@contextmanager
def repository(size: dict[str, int], settings: Any) -> Iterator[tuple[StandIn, Source]]:
    """Serve a repository with these numbers of records, and yield the server and the repository's source."""
    name = f"acme/of-{sum(size.values())}"
    with StandIn({name: exact_world(name, end=END, days=10, **size)}, clock=END) as server:
        settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL = server.url, f"{server.url}/graphql"
        yield server, Source.objects.create(name=name, service=Service.objects.create(name=name), kind="github", repository=name)


def staged(source: Source) -> ETLRun:
    run = ledger.open_run(source, trigger="shell")
    assert run
    inline.run_stage(run.pk, "extract")
    return run


@pytest.fixture
def wide_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite take as many parameters as the servers do, so that the counts of statements are those of the servers."""
    monkeypatch.setattr(type(connection.features), "max_query_params", 20_000)


def test_a_thousand_records_more_cost_a_few_statements_more(settings: Any, wide_statements: None) -> None:
    found: dict[str, list[int]] = {"transform": [], "load": []}
    for size in (SMALL, LARGE):
        with repository(size, settings) as (_, source):
            run = staged(source)
            for stage, counts in found.items():
                with CaptureQueriesContext(connection) as queries:
                    inline.run_stage(run.pk, stage)
                counts.append(sum("SAVEPOINT" not in query["sql"] for query in queries.captured_queries))
            run.refresh_from_db()
            assert (run.status, run.extracted) == ("success", run.loaded + run.skipped)
            noted = Repository.objects.get(source=source).facts_version
            assert 0 < noted <= 1 + StagedPage.objects.filter(run=run).count() / 5  # once for each group of pages that wrote something
    more = {stage: large - small for stage, (small, large) in found.items()}
    assert more["transform"] <= 5, more  # for each group of ten pages: their bodies, their batches, the lease, the marks
    assert more["load"] <= 15, more  # for each group: what is stored of its records, and what is new


def test_each_answer_is_decoded_once_and_each_staged_page_once_more_by_transform(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    decodes = Counter[str]()

    def counting(module: Any, name: str) -> None:
        decode = getattr(module, name)

        def counted(*arguments: Any) -> Any:
            decodes[f"{module.__name__.rpartition('.')[-1]}.{name}"] += 1
            return decode(*arguments)

        monkeypatch.setattr(module, name, counted)

    for module in (client, mapping):
        counting(module, "decoded_json")
        counting(module, "decoded_part")
    counting(staged_records, "decoded_part")
    with repository(SMALL, settings) as (server, source):
        run = staged(source)
        pages = StagedPage.objects.count()
        lists = StagedPage.objects.exclude(stream="workflow_runs").count()
        assert decodes.pop("client.decoded_part") == lists  # of a list by GraphQL, only what says where it goes on
        assert decodes.pop("client.decoded_json") == server.counts["requests"] - lists
        assert decodes.pop("mapping.decoded_json") <= 2  # the first page of deployments says that GitHub's count
        assert decodes.pop("staged_records.decoded_part") <= 1.5 * pages  # the rechecks read some fields of some pages again
        inline.run_stage(run.pk, "transform")
        assert decodes == {"mapping.decoded_part": pages}


def test_pages_that_have_been_read_already_are_staged_in_one_transaction_with_the_last_progress_of_each_stream(settings: Any) -> None:
    with repository(SMALL, settings) as (_, source), override_settings(ETL_ADAPTERS={"github": f"{__name__}.{ManyPages.__name__}"}):
        run = ledger.open_run(source, trigger="shell")
        assert run
        with CaptureQueriesContext(connection) as queries:
            inline.run_stage(run.pk, "extract")
        writes = [query["sql"] for query in queries.captured_queries if "etl_tasks_stagedpage" in query["sql"] and query["sql"].startswith("INSERT")]
        assert len(writes) == 3  # ten pages, two pages, and the one after them
        assert list(StagedPage.objects.order_by("number").values_list("number", "url")) == [(number, str(number)) for number in range(1, 14)]
        run.refresh_from_db()
        assert (run.extracted, dict(run.progress.values_list("stream", "resume"))) == (13, {"issues": {"after": 13}, "releases": {"after": 12}})


class ManyPages(FailingSource):
    """Yields twelve pages that have all been read when the first one is yielded, and a last one later."""

    def pages(self, job: Job) -> Iterator[Page]:
        for number in range(1, 14):
            stream, position = "issues" if number % 2 else "releases", {"after": number}
            yield Page(stream, str(number), b"a page", 1, END, cursor={}, resume=position, is_done=number > 11, is_followed=number < 12)


def test_what_was_read_is_staged_before_the_source_reads_on_even_if_a_page_without_a_body_came_last(settings: Any) -> None:
    """A list may end with a page that has only progress. The rechecks, which read on after it, look at what the run has staged."""
    with repository(SMALL, settings) as (_, source), override_settings(ETL_ADAPTERS={"github": f"{__name__}.{ListWithAnEmptyEnd.__name__}"}):
        run = ledger.open_run(source, trigger="shell")
        assert run
        inline.run_stage(run.pk, "extract")
        assert ListWithAnEmptyEnd.staged == [1]


class ListWithAnEmptyEnd(FailingSource):
    """Yields a page, then the end of its list, which was read already and has no body; then it counts the staged pages."""

    staged: ClassVar[list[int]] = []

    def pages(self, job: Job) -> Iterator[Page]:
        yield Page("issues", "1", b"a page", 1, END, cursor={}, resume={"after": 1}, is_followed=True)
        yield Page("issues", "2", b"", 0, END, cursor={}, resume={"after": 2}, is_done=True)
        self.staged[:] = [len(list(job.staged("issues", with_bodies=True)))]
        yield Page("repository", "3", b"", 0, END, cursor={}, is_done=True)


def test_a_first_night_sends_one_request_for_each_page_of_a_list_and_one_for_the_survey(settings: Any) -> None:
    with repository(SMALL, settings) as (server, source):
        staged(source)
        pages = sum(-(-count // 100) for count in SMALL.values())
        assert server.counts["requests"] <= pages + 6, server.counts


def test_loading_makes_no_object_of_a_stored_fact_and_a_page_that_comes_again_writes_nothing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with repository(SMALL, settings) as (_, source):
        run = staged(source)
        inline.run_stage(run.pk, "transform")
        batches = [(batch.kind, batch.content, batch.page_id) for batch in CleanBatch.objects.order_by("page__number")]
        made = Counter[str]()
        monkeypatch.setattr(GithubFact, "from_db", classmethod(lambda cls, *arguments: made.update([cls.__name__])))
        results = []
        for run_id in (run.pk, run.pk + 1):
            with transaction.atomic(), CaptureQueriesContext(connection) as queries:
                stored = source.ensure_facts_repository()
                done = [
                    facts.upsert(kind, msgspec.json.decode(content), repository=stored, run_id=run_id, page_id=page_id)
                    for kind, content, page_id in batches
                ]
            writes = sum(query["sql"].startswith(("INSERT", "UPDATE")) for query in queries.captured_queries)
            results.append((sum(one.written for one in done), sum(one.skipped for one in done), writes > 0))
        total = sum(count for _, count in CleanBatch.objects.values_list("pk", "record_count"))
        assert results == [(total, 0, True), (0, total, False)]
        assert not made
        assert set(Change.objects.values_list("run_id", flat=True)) == {run.pk}


def test_django_prepares_no_value_of_a_fact_or_metric_one_by_one(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with repository(SMALL, settings) as (_, source):
        run = staged(source)
        inline.run_stage(run.pk, "transform")
        prepare, prepared = Field.get_db_prep_save, Counter[str]()

        def counted(field: Any, value: Any, connection: Any) -> Any:
            prepared[getattr(field, "model", Field).__name__] += 1
            return prepare(field, value, connection)

        monkeypatch.setattr(Field, "get_db_prep_save", counted)
        inline.run_stage(run.pk, "load")
        assert DORAMetric.objects.count() > 50
        assert not prepared.keys() & {"Change", "Commit", "Deployment", "Issue", "DORAMetric", "Attempt", "Delivery", "Incident"}, prepared


def test_that_github_s_deployments_count_is_known_from_the_newest_although_the_run_reads_the_active_one_again(settings: Any) -> None:
    with repository(SMALL, settings) as (_, source):
        run = staged(source)
        for stage in ("transform", "load"):
            inline.run_stage(run.pk, stage)
        active = list(Deployment.objects.filter(state__in=SUCCESSFUL_STATES).values_list("node_id", flat=True))
        assert len(active) == 1  # the others have succeeded before, and are inactive
        with CaptureQueriesContext(connection) as queries:
            assert not is_undecided(source.service, replaced=set(active))
        assert sum(query["sql"].startswith("SELECT") for query in queries.captured_queries) == 2, queries.captured_queries


class Counted:
    """A pattern that counts its searches."""

    def __init__(self, pattern: re.Pattern[str], searches: Counter[str]) -> None:
        self.search = self._counted(pattern.search, searches)
        self.findall = self._counted(pattern.findall, searches)

    def _counted(self, search: Callable[[str], Any], searches: Counter[str]) -> Callable[[str], Any]:
        def counted(body: str) -> Any:
            searches[body] += 1
            return search(body)

        return counted


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("The export is slow: https://example.com/deployments/12", 0),
        ("Deployment: 12", 1),
        ("Cauſed by #12", 1),  # the first s is a long one, which IGNORECASE takes for an s
        ("Root cause: 8a21bd7, caused by #12", 2),
        ("Reverts #7", 2),
    ],
)
def test_a_body_is_searched_only_for_what_it_may_contain(body: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    without = [pattern for name in PATTERNS if (pattern := getattr(text_references, name)).search(body)]
    searches = Counter[str]()
    for name in PATTERNS:
        monkeypatch.setattr(text_references, name, Counted(getattr(text_references, name), searches))
    found = {**text_references.incident_links(body), **text_references.revert_signs(title="", branch="", body=body)}
    assert searches[body] == count
    assert len(found) == len(without)
