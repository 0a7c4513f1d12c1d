"""Load facts: what is written, what is skipped, and what a row keeps."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from dora_metrics.models import Commit, Deployment, Issue, Repository, Service
from etl_tasks import ledger
from etl_tasks.loaders import facts
from etl_tasks.loaders.facts import Upserted
from etl_tasks.models import Source, StagedPage, compressed

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ISSUE = {
    "number": 7,
    "external_id": 70,
    "title": "It's 100 % “slow”\\ 💥",
    "state": "open",
    "labels": ["incident"],
    "created_at": "2026-03-01T10:00:00+00:00",
    "closed_at": None,
    "version_at": "2026-03-01T12:00:00+00:00",
    "links": {"caused_by": [3], "deployments": []},
    "url": "https://github.com/acme/billing/issues/7",
}


@pytest.fixture
def repository(billing: Source) -> Repository:
    return billing.ensure_facts_repository()


def load(repository: Repository, *rows: dict[str, Any], kind: str = "issue", run_id: int = 1, page_id: int = 1) -> Upserted:
    with transaction.atomic():
        return facts.upsert(kind, rows, repository=repository, run_id=run_id, page_id=page_id)


def test_a_row_has_the_values_of_its_fact_and_the_defaults_of_what_the_fact_lacks(repository: Repository) -> None:
    assert load(repository, ISSUE, run_id=4, page_id=5) == Upserted(written=1, skipped=0)
    row = Issue.objects.get()
    assert {name: getattr(row, name) for name in ISSUE if not name.endswith("_at")} == {
        name: value for name, value in ISSUE.items() if not name.endswith("_at")
    }
    assert (row.created_at, row.closed_at, row.version_at) == (NOON - timedelta(hours=2), None, NOON)
    assert (row.author, row.events, row.gone_at) == ("", [], None)
    assert (row.service, row.repository, row.run_id, row.page_id) == (repository.service, repository, 4, 5)


@pytest.mark.parametrize(
    "version_at", ["2026-03-01T12:00:00+00:00", "2026-03-01T12:00:00Z", "2026-03-01T14:00:00+02:00", "2026-03-01T12:00:00.000000+00:00"]
)
def test_the_same_version_is_skipped_however_its_time_is_written_and_the_row_keeps_its_origin(repository: Repository, version_at: str) -> None:
    load(repository, ISSUE)
    again = {**ISSUE, "version_at": version_at, "links": {"deployments": [], "caused_by": [3]}}
    assert load(repository, again, run_id=2) == Upserted(written=0, skipped=1)
    assert load(repository, {**again, "labels": []}, run_id=3) == Upserted(written=1, skipped=0)  # GitHub may change more than the version says
    assert Issue.objects.values_list("run_id", "labels").get() == (3, [])


def test_an_older_version_is_skipped_and_a_newer_one_changes_only_what_it_has(repository: Repository) -> None:
    load(repository, {**ISSUE, "author": "ada"})
    older, newer = ({"number": 7, "title": "B", "version_at": (NOON + hour).isoformat()} for hour in (-timedelta(hours=1), timedelta(microseconds=1)))
    assert load(repository, older, run_id=2) == Upserted(written=0, skipped=1)
    assert Issue.objects.values_list("title", "run_id").get() == (ISSUE["title"], 1)
    assert load(repository, newer, older, run_id=3) == Upserted(written=1, skipped=1)
    row = Issue.objects.get()
    assert (row.title, row.author, row.labels, row.run_id) == ("B", "ada", ["incident"], 3)
    assert row.version_at == NOON + timedelta(microseconds=1)


def test_facts_that_lack_different_columns_are_loaded_together(repository: Repository) -> None:
    bare = {"state": "open", "created_at": ISSUE["created_at"], "version_at": ISSUE["version_at"]}
    load(repository, {"number": 1, "author": "ada", **bare})
    newer = {"version_at": (NOON + timedelta(hours=1)).isoformat()}
    found = load(repository, {"number": 1, "title": "A", **newer}, {"number": 2, "labels": ["x"], **bare}, {"number": 3, "author": "bo", **bare})
    assert found == Upserted(written=3, skipped=0)
    rows = Issue.objects.order_by("number").values_list("number", "title", "author", "labels", "state")
    assert list(rows) == [(1, "A", "ada", [], "open"), (2, "", "", ["x"], "open"), (3, "", "bo", [], "open")]


def test_a_row_that_is_gone_counts_again_only_when_a_later_page_has_it(repository: Repository, billing: Source) -> None:
    run = ledger.open_run(billing, trigger="shell")
    assert run
    page = {"run": run, "stream": "issues", "url": "", "body": compressed(b"{}"), "sha256": "", "record_count": 1}
    pages = [StagedPage.objects.create(number=hour + 1, fetched_at=NOON + timedelta(hours=hour), **page).pk for hour in (0, 2)]
    load(repository, ISSUE, page_id=pages[0])
    gone_at = NOON + timedelta(hours=1)
    assert load(repository, {"number": 7, "gone_at": gone_at.isoformat()}) == Upserted(written=1, skipped=0)
    newer = {**ISSUE, "title": "B", "version_at": (NOON + timedelta(minutes=1)).isoformat()}
    assert load(repository, newer, page_id=pages[0]) == Upserted(written=1, skipped=0)
    assert Issue.objects.values_list("title", "gone_at").get() == ("B", gone_at)
    assert load(repository, ISSUE, page_id=pages[1]) == Upserted(written=1, skipped=0)
    assert Issue.objects.values_list("title", "gone_at").get() == (ISSUE["title"], None)


def test_pages_that_are_written_together_keep_their_own_ids_and_the_newest_version(repository: Repository) -> None:
    later = {**ISSUE, "title": "later", "version_at": (NOON + timedelta(minutes=1)).isoformat()}
    other = {**ISSUE, "number": 8}
    batches = [(page_id, msgspec.json.encode(rows)) for page_id, rows in ((1, [whole(later), whole(other)]), (2, [whole(ISSUE)]))]
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        done = facts.upsert_batches("issue", batches, repository=repository, run_id=1)
    assert sum(query["sql"].startswith("INSERT") for query in queries.captured_queries) == 1
    assert done == Upserted(written=2, skipped=1)
    assert list(Issue.objects.order_by("number").values_list("number", "title", "page_id")) == [(7, "later", 1), (8, ISSUE["title"], 1)]


def test_a_page_that_marks_rows_as_gone_sees_what_the_pages_before_it_have_written(repository: Repository) -> None:
    gone = {"number": 7, "gone_at": NOON.isoformat()}
    batches = [(page_id, msgspec.json.encode([row])) for page_id, row in ((1, whole(ISSUE)), (2, gone), (3, whole({**ISSUE, "number": 8})))]
    with transaction.atomic():
        done = facts.upsert_batches("issue", batches, repository=repository, run_id=1)
    assert done == Upserted(written=3, skipped=0)
    assert dict(Issue.objects.values_list("number", "gone_at")) == {7: NOON, 8: None}


@pytest.mark.parametrize(
    "text", ["it's", 'a "quote"', "back\\slash\\", "two\nlines\r", "100 %s of %(it)s", "\x1a\x00 end", "ñ 漢 🦊", "'); DROP TABLE x; --", ""]
)
def test_a_text_arrives_as_it_is(text: str, repository: Repository) -> None:
    load(repository, whole({**ISSUE, "title": text, "labels": [text]}), whole({**ISSUE, "number": 8, "title": text, "author": "ana"}))
    assert set(Issue.objects.values_list("number", "title", "author")) == {(7, text, ISSUE.get("author", "")), (8, text, "ana")}
    assert Issue.objects.get(number=7).labels == [text]


def whole(fact: dict[str, Any]) -> dict[str, Any]:
    """Return an issue with all columns, as the transform stage writes it."""
    empty = {
        "external_id": None,
        "title": "",
        "state_reason": "",
        "author": "",
        "labels": [],
        "closed_at": None,
        "events": [],
        "links": {},
        "url": "",
    }
    return {**empty, **fact}


def test_a_mark_by_a_column_that_the_table_does_not_have_marks_nothing(repository: Repository) -> None:
    load(repository, ISSUE)
    assert load(repository, {"node_id": "I_7", "gone_at": NOON.isoformat()}, ISSUE) == Upserted(written=0, skipped=2)
    assert Issue.objects.get().gone_at is None


def test_a_fact_without_its_key_or_version_is_an_error_and_not_a_row(repository: Repository) -> None:
    deployment = {"external_id": 1, "environment": "production", "sha": "a" * 40, "created_at": NOON.isoformat(), "version_at": NOON.isoformat()}
    for missing in ("external_id", "version_at"):
        with pytest.raises(Exception, match=missing):
            load(repository, {name: value for name, value in deployment.items() if name != missing}, kind="deployment")
    assert not Deployment.objects.exists()


def commits(prefix: str, count: int) -> list[dict[str, Any]]:
    times = {"authored_at": "2026-03-01T10:00:00Z", "committed_at": "2026-03-01T10:00:00Z"}
    return [{"sha": f"{prefix}{number:036x}", "url": "", "author": "ana", "parents": [], **times} for number in range(count)]


@pytest.mark.skipif(connection.vendor != "mysql", reason="SQLite locks the whole database")
@pytest.mark.django_db(transaction=True)
def test_new_facts_of_another_service_are_not_waited_for(billing: Source) -> None:
    """To lock rows of a small table, MariaDB reads it without its index. Two first nights at the same time ended in a deadlock."""
    web = Source.objects.create(name="web", service=Service.objects.create(name="web"), kind="github", repository="acme/web")
    theirs, ours = web.ensure_facts_repository(), billing.ensure_facts_repository()
    columns = [field.column for field in Commit._meta.concrete_fields if not field.primary_key]
    with transaction.atomic():
        facts.upsert("commit", commits("cccc", 1), repository=theirs, run_id=1, page_id=1)
    other = connection.copy()
    try:
        with other.cursor() as cursor, connection.cursor() as own:
            other.set_autocommit(False)
            changed = ", ".join("'dddd'" if name == "sha" else name for name in columns)
            cursor.execute(f"INSERT INTO {Commit._meta.db_table} ({', '.join(columns)}) SELECT {changed} FROM {Commit._meta.db_table}")
            own.execute("SET SESSION innodb_lock_wait_timeout = 1")
            with transaction.atomic():
                done = facts.upsert("commit", commits("eeee", 100), repository=ours, run_id=1, page_id=1)
    finally:
        other.close()
        connection.close()
    assert (done.written, done.skipped) == (100, 0)
