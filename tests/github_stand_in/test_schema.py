import gzip
from pathlib import Path
from typing import Any

import pytest
from graphql import parse
from graphql.execution import execute_sync

from github_stand_in import schema
from github_stand_in.access import Reader
from github_stand_in.executor import RowExecutor, read_row
from github_stand_in.resolvers import Asking, Worlds
from github_stand_in.resolvers import schema as resolving_schema
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.github_stand_in.conftest import END
from tests.github_stand_in.requests_to_stand_in import NAMES, NOTHING_MORE, post, query_text, survey_text

TINY = '''"""
A query.
"""
type Query {
  "how many"
  count: Int
}
'''


@pytest.mark.parametrize("name", NAMES)
def test_every_query_of_the_collector_is_valid_in_githubs_published_schema(name: str) -> None:
    found = schema.document(query_text(name))

    assert not isinstance(found, tuple), found


@pytest.mark.parametrize("count", [1, 25])
def test_the_survey_is_valid_in_githubs_published_schema(count: int) -> None:
    assert not isinstance(schema.document(survey_text(count)), tuple)


def test_the_schema_says_where_it_is_from() -> None:
    first, *rest = gzip.decompress(schema.KEPT.read_bytes()).decode().splitlines()

    assert first.startswith("# @octokit/graphql-schema 15.26.1, MIT")
    assert any("Copyright" in line for line in rest)


def test_the_same_version_is_kept_as_the_same_bytes_without_descriptions(tmp_path: Path) -> None:
    (tmp_path / "schema.graphql").write_text(TINY)
    (tmp_path / "LICENSE.md").write_text("Free.\n")
    kept = [tmp_path / "a.gz", tmp_path / "b.gz"]
    for path in kept:
        schema.keep(tmp_path / "schema.graphql", "1.2.3", kept=path)

    assert kept[0].read_bytes() == kept[1].read_bytes()
    text = gzip.decompress(kept[0].read_bytes()).decode()
    assert text.splitlines()[:2] == ["# @octokit/graphql-schema 1.2.3, MIT: GitHub's schema without its descriptions", "# Free."]
    assert "A query" not in text
    assert parse(text)


def test_a_query_is_read_and_checked_once(stand_in: StandIn) -> None:
    text = "query Once { rateLimit { cost } }"
    post(stand_in, text)
    hits = schema.document.cache_info().hits
    post(stand_in, text)

    assert schema.document.cache_info().hits == hits + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('query Q { repository(owner: "acme", name: "billing") { nonsense } }', "nonsense"),
        ("query Q { ", "Syntax Error"),
        ("query Q($first: Int!) { rateLimit { cost } }", "Variable '$first'"),
    ],
)
def test_an_invalid_query_is_answered_as_github_does(stand_in: StandIn, text: str, message: str) -> None:
    answer = post(stand_in, text)

    assert answer.status_code == 200
    assert "data" not in answer.json()
    assert message in answer.json()["errors"][0]["message"]
    assert stand_in.counts["points"] == 1


def test_a_field_that_the_stand_in_does_not_have_is_an_error_and_no_null(stand_in: StandIn) -> None:
    answer = post(stand_in, 'query Q { repository(owner: "acme", name: "billing") { nameWithOwner stargazerCount } }').json()

    assert answer["data"] == {"repository": None}
    [error] = answer["errors"]
    assert error["message"] == "this stand-in has no Repository.stargazerCount"
    assert error["path"] == ["repository", "stargazerCount"]


@pytest.mark.parametrize("name", ["pull_requests", "issues", "commits", "releases", "pull_request_next_pages", "deployments"])
def test_the_quick_executor_answers_as_graphql_core_itself(large: World, name: str) -> None:
    """Database ids are not queried: graphql-core refuses those that are too large for the type Int, which GitHub's schema gives them."""
    number = max(large.pulls.values(), key=lambda pull: len(pull.commits)).number
    variables: dict[str, Any] = {"owner": "acme", "name": "billing", "first": 100, "after": None, "revision": "HEAD", "number": number}
    asking = Asking(Worlds({"acme/billing": large}), END, Reader("t"), {"cost": 1, "limit": 1, "remaining": 1, "resetAt": "2026-01-01T00:00:00Z"})
    keywords = {"context_value": asking, "variable_values": {**variables, **NOTHING_MORE, "withCommits": True, "withFiles": True}}
    document = parse(query_text(name).replace("  databaseId\n", ""))

    quick = execute_sync(resolving_schema(), document, {}, field_resolver=read_row, executor_class=RowExecutor, **keywords)
    plain = execute_sync(resolving_schema(), document, {}, field_resolver=read_row, type_resolver=lambda value, *_: value["__typename"], **keywords)

    assert quick.errors is plain.errors is None
    assert quick.data == plain.data


def test_errors_come_as_from_graphql_core_itself(service: World) -> None:
    asking = Asking(Worlds({"acme/billing": service}), END, Reader("t", forbidden={"issues", "pullRequests"}), {"cost": 1})
    text = """{
      nodes(ids: ["x", "y"]) { id }
      a: repository(owner: "acme", name: "billing") { id issues(first: 1, orderBy: {field: UPDATED_AT, direction: DESC}) { totalCount } }
      b: repository(owner: "acme", name: "billing") { id pullRequest(number: 1) { title } }
      c: repository(owner: "acme", name: "none") { id }
      rateLimit { limit }
    }"""
    results = [
        execute_sync(resolving_schema(), parse(text), {}, asking, field_resolver=read_row, **keywords)
        for keywords in ({"executor_class": RowExecutor}, {"type_resolver": lambda value, *_: value["__typename"]})
    ]

    assert (
        results[0].data
        == results[1].data
        == {"nodes": [None, None], "a": None, "b": {"id": service.node_id, "pullRequest": None}, "c": None, "rateLimit": None}
    )
    quick, plain = ([(error.message, error.path) for error in result.errors or ()] for result in results)
    assert sorted(quick, key=str) == sorted(plain, key=str)
    assert len(quick) == 6
