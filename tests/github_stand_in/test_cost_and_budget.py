import time
from typing import Any

import pytest
from graphql import parse

from github_stand_in import schema
from github_stand_in.cost import price
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.github_stand_in.conftest import END
from tests.github_stand_in.requests_to_stand_in import NOTHING_MORE, TOKEN, answer, ask, get, post, query_text, runs, survey_text

# GitHub's own two examples: https://docs.github.com/en/graphql/overview/rate-limits-and-node-limits-for-the-graphql-api
REPOSITORIES = "query { viewer { login repositories(first: 100) { edges { node { id issues(first: 50) { edges { node { id labels(first: 60) { edges { node { id name } } } } } } } } } } }"  # fmt: skip # noqa: E501
FOLLOWERS = "query { viewer { repositories(first: 50) { edges { repository:node { name pullRequests(first: 20) { edges { pullRequest:node { title comments(first: 10) { edges { comment:node { bodyHTML } } } } } } issues(first: 20) { totalCount edges { issue:node { title bodyHTML comments(first: 10) { edges { comment:node { bodyHTML } } } } } } } } } followers(first: 10) { edges { follower:node { login } } } } }"  # fmt: skip # noqa: E501


def points(text: str, **variables: Any) -> int:
    return price(parse(text), variables).points


def test_the_price_is_that_of_githubs_own_examples() -> None:
    assert price(parse(REPOSITORIES), {}).points == 51
    assert price(parse(FOLLOWERS), {}).nodes == 22_060


@pytest.mark.parametrize(
    ("query", "variables", "expected"),
    [
        # A hundred requests cost one point. Here 601 count: one for the list, and six, its inner lists, for each of 100 pull requests.
        ("pull_requests", {"first": 100, "withFiles": True}, 6),
        ("pull_requests", {"first": 100, "withFiles": False}, 5),
        ("pull_requests", {"first": 25, "withFiles": True}, 2),
        ("deployments", {"first": 100}, 1),
        ("issues", {"first": 100}, 2),
        ("releases", {"first": 100}, 1),
        ("commits", {"first": 100}, 1),
        ("pull_request_next_pages", NOTHING_MORE, 1),
        ("deployments_by_id", {"ids": ["x"] * 100}, 1),
    ],
)
def test_the_collectors_queries_cost_this(query: str, variables: dict[str, Any], expected: int) -> None:
    document = schema.document(query_text(query))
    assert not isinstance(document, tuple)

    assert price(document, variables).points == expected


def test_a_survey_of_25_repositories_costs_a_point() -> None:
    document = schema.document(survey_text(25))
    assert not isinstance(document, tuple)

    assert price(document, {f"i{n}": ["x"] for n in range(25)}).points == 1


def test_the_formula_follows_fragments_conditions_aliases_and_variables() -> None:
    list_ = "labels(first: 100) { nodes { name } }"
    assert points(f"{{ a: {list_} }}") == 1
    assert points("query($n: Int = 3) { x(first: $n) { y(first: 100) { z(first: 1) { id } } } }") == 3
    assert points("query($n: Int) { x(first: $n) { y(first: 100) { z(first: 1) { id } } } }", n=5) == 5
    assert points("{ x(first: 100) { ...A ...B } } fragment A on X { y(first: 1) { id } } fragment B on X { y(first: 1) { name } }") == 1
    assert points("{ x(first: 100) { ...A b: y(first: 1) { id } } } fragment A on X { a: y(first: 1) { id } }") == 2
    text = "query($w: Boolean!) { x(first: 100) { a: y(first: 1) @include(if: $w) { id } b: y(first: 1) @skip(if: $w) { id } ... on X @include(if: $w) { c: y(first: 1) { id } } } }"  # noqa: E501
    assert (points(text, w=True), points(text, w=False)) == (2, 1)
    assert points("{ x(first: 49) { y(first: 1) { id } } }") == 1, "rounded, and never nothing"
    assert points("{ x(first: 100) { a: y(first: 1) { id } b: z(last: 50) { id } } w(first: 49) { y(first: 1) { id } } }") == 3


def test_an_answer_tells_its_cost_and_what_is_left(stand_in: StandIn) -> None:
    text = 'query Q { repository(owner: "acme", name: "billing") { deployments(first: 7, orderBy: {field: CREATED_AT, direction: DESC}) { totalCount } } rateLimit { cost limit remaining used resetAt nodeCount } }'  # noqa: E501
    found = [post(stand_in, text) for _ in range(2)]
    limits = [one.json()["data"]["rateLimit"] for one in found]

    assert [(one["cost"], one["limit"], one["remaining"], one["used"], one["nodeCount"]) for one in limits] == [
        (1, 5000, 4999, 1, 7),
        (1, 5000, 4998, 2, 7),
    ]
    assert found[1].headers["X-RateLimit-Remaining"] == "4998"
    assert found[1].headers["X-RateLimit-Resource"] == "graphql"
    assert int(found[1].headers["X-RateLimit-Reset"]) > time.time()


def test_a_query_for_too_many_nodes_is_refused(stand_in: StandIn) -> None:
    inner = "nodes { commits(first: 100) { nodes { commit { parents(first: 100) { nodes { oid } } } } } }"
    text = f'query Q {{ repository(owner: "acme", name: "billing") {{ pullRequests(first: 100) {{ {inner} }} }} }}'
    found = post(stand_in, text).json()

    assert found == {
        "errors": [
            {
                "type": "MAX_NODE_LIMIT_EXCEEDED",
                "message": "This query requests up to 1,010,100 possible nodes which exceeds the maximum limit of 500,000.",
            }
        ]
    }


def test_everything_is_counted(stand_in: StandIn) -> None:
    answer(stand_in, "pull_requests", withFiles=True)
    answer(stand_in, "deployments")
    etag = runs(stand_in).headers["ETag"]
    runs(stand_in, **{"If-None-Match": etag})
    get(stand_in, "/rate_limit")
    ask(stand_in, "deployments", token="wrong")
    counts = stand_in.counts

    assert (counts["requests"], counts["points"], counts["rest"], counts["not_modified"], counts["refused"]) == (6, 7, 1, 1, 1)
    assert (counts["PullRequests"], counts["Deployments"], counts["WorkflowRuns"]) == (1, 2, 2)
    assert (counts["points PullRequests"], counts["points Deployments"]) == (6, 1)


def test_rate_limit_is_told_for_nothing(stand_in: StandIn) -> None:
    answer(stand_in, "pull_requests", withFiles=True)
    runs(stand_in)
    found = get(stand_in, "/rate_limit").json()

    assert [(name, one["limit"], one["used"], one["remaining"]) for name, one in found["resources"].items()] == [
        ("core", 5000, 1, 4999),
        ("graphql", 5000, 6, 4994),
    ]
    assert found["rate"] == found["resources"]["core"]


def test_a_spent_budget_refuses_until_its_reset(service: World) -> None:
    with StandIn({"acme/billing": service}, clock=END, limit=2, reset_seconds=2) as stand_in:
        for _ in range(2):
            answer(stand_in, "deployments")
            runs(stand_in)
        refused, rest = ask(stand_in, "deployments"), runs(stand_in)
        other = ask(stand_in, "deployments", token="other").json()
        time.sleep(2.1)  # wait for the reset; an earlier request would be counted as refused, too
        again = ask(stand_in, "deployments").json(), runs(stand_in).status_code

    assert refused.status_code == 200
    assert refused.json()["errors"][0]["type"] == "RATE_LIMITED"
    assert (rest.status_code, rest.headers["X-RateLimit-Remaining"], rest.headers["X-RateLimit-Resource"]) == (403, "0", "core")
    assert "API rate limit exceeded" in rest.json()["message"]
    assert "errors" not in other, "each reader has a budget of its own"
    assert ("errors" in again[0], again[1]) == (False, 200)
    assert stand_in.counts["refused"] == 2
    assert stand_in.counts["points"] == 4


def test_every_answer_has_the_limits_headers(stand_in: StandIn) -> None:
    etag = runs(stand_in).headers["ETag"]
    stand_in.faults = {"every": 5, "status": 502}
    found = [runs(stand_in, **{"If-None-Match": etag}), get(stand_in, "/nothing"), ask(stand_in, "deployments", token="wrong"), runs(stand_in)]

    assert [one.status_code for one in found] == [304, 404, 401, 502]
    assert all({f"X-RateLimit-{name}" for name in ("Limit", "Remaining", "Used", "Reset", "Resource")} <= set(one.headers) for one in found)
    assert TOKEN["Authorization"]
