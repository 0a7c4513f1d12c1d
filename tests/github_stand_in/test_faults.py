"""The faults that the stand-in can be set to produce."""

import json
import re
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import requests

from github_stand_in.faults import RANDOM
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.github_stand_in.conftest import EARLIER, END
from tests.github_stand_in.requests_to_stand_in import LISTS, NOTHING_MORE, ask, page_of, runs

OPERATIONS = {"pull_requests": "PullRequests", "deployments": "Deployments", "issues": "Issues", "releases": "Releases", "commits": "Commits"}


def test_every_nth_answer_fails_and_costs_a_point(stand_in: StandIn) -> None:
    stand_in.faults = {"every": 2, "status": 502}

    assert [ask(stand_in, "deployments").status_code for _ in range(4)] == [200, 502, 200, 502]
    assert (stand_in.counts["points"], stand_in.counts["refused"]) == (4, 2)
    assert runs(stand_in).status_code == 200
    assert runs(stand_in).status_code == 502
    assert stand_in.counts["rest"] == 2


def test_an_outage_takes_all(stand_in: StandIn) -> None:
    stand_in.faults = {"outage": True}

    assert {ask(stand_in, "deployments").status_code, runs(stand_in).status_code} == {502}


def test_an_outage_may_be_of_one_repository(stand_in: StandIn) -> None:
    stand_in.faults = {"outage": True, "repository": "acme/Billing"}
    assert {ask(stand_in, "deployments").status_code, runs(stand_in).status_code} == {502}

    stand_in.faults = {"outage": True, "repository": "acme/invoices"}
    assert {ask(stand_in, "deployments").status_code, runs(stand_in).status_code} == {200}


def test_a_limit_asks_to_wait_a_few_times(stand_in: StandIn) -> None:
    stand_in.faults = {"retry_after": 7, "status": 429, "times": 2}
    answers = [ask(stand_in, "deployments") for _ in range(3)]

    assert [(a.status_code, a.headers.get("Retry-After")) for a in answers] == [(429, "7"), (429, "7"), (200, None)]
    assert "secondary rate limit" in answers[0].json()["message"]


def test_garbage_is_of_one_operation_until_cleared(stand_in: StandIn) -> None:
    stand_in.faults = {"garbage": "PullRequests"}
    garbage, other = ask(stand_in, "pull_requests", withFiles=False), ask(stand_in, "deployments")
    stand_in.faults = {}

    assert (garbage.status_code, garbage.text[:1], other.text[:1]) == (200, "<", "{")
    assert ask(stand_in, "pull_requests", withFiles=False).text.startswith("{")


@pytest.mark.parametrize(("query", "name"), [("deployments", "createdAt"), ("commits", "committedDate")])
def test_a_bad_record_is_the_last_of_the_page_and_spoils_only_its_own_answer(stand_in: StandIn, query: str, name: str) -> None:
    stand_in.faults = {"bad_record": OPERATIONS[query]}
    page = page_of(stand_in, query, first=5)
    stand_in.faults = {}

    assert [node[name] == "not a date" for node in page["nodes"]] == [False] * 4 + [True]
    assert all(re.match(r"\d{4}-", node[name]) for node in page_of(stand_in, query, first=5)["nodes"])


def test_a_bad_run_is_the_last_of_the_page(stand_in: StandIn, service: World) -> None:
    stand_in.faults = {"bad_record": "WorkflowRuns", "times": 1}
    bad, good = (runs(stand_in, "?per_page=3").json()["workflow_runs"] for _ in range(2))

    assert [run["created_at"] == "not a date" for run in bad] == [False, False, True]
    assert good == service.workflow_runs(END)[:3]


@pytest.mark.parametrize("query", OPERATIONS)
def test_the_last_record_is_null_with_an_error_beside_it(stand_in: StandIn, query: str) -> None:
    stand_in.faults = {"null_nodes": OPERATIONS[query], "times": 1, "error_type": "NOT_FOUND"}
    variables = {"first": 4, "revision": "HEAD", "withFiles": False}
    found, again = (ask(stand_in, query, **variables).json() for _ in range(2))
    [error] = found["errors"]
    node: Any = found["data"]
    for step in error["path"]:
        node = node[step]

    assert node is None
    assert (error["type"], error["path"][-2:]) == ("NOT_FOUND", ["nodes", 3])
    assert error["path"][:2] == ["repository", LISTS[query]]
    assert "errors" not in again


def test_a_record_asked_for_again_is_null(stand_in: StandIn, service: World) -> None:
    stand_in.faults = {"null_nodes": "DeploymentsById"}
    found = ask(stand_in, "deployments_by_id", ids=[row["id"] for row in service.deployments(END)[:2]]).json()

    assert [node is None for node in found["data"]["nodes"]] == [False, True]
    assert found["errors"][0]["path"] == ["nodes", 1]


@pytest.mark.parametrize("cut", ["Deployments", True])
def test_half_an_answer_and_the_connection_ends(stand_in: StandIn, cut: object) -> None:
    stand_in.faults = {"cut": cut, "times": 1}
    with pytest.raises(requests.exceptions.RequestException):
        ask(stand_in, "deployments")

    assert ask(stand_in, "deployments").status_code == 200
    assert stand_in.counts["points"] == 2, "the work was done"


def test_queries_for_large_pages_cannot_be_finished(stand_in: StandIn) -> None:
    stand_in.faults = {"unfinished_above": 25}

    assert [ask(stand_in, "deployments", first=first).status_code for first in (100, 26, 25)] == [502, 502, 200]
    assert [ask(stand_in, "pull_request_next_pages", number=1, **NOTHING_MORE, first=first).status_code for first in (26, 25)] == [502, 200]
    assert [ask(stand_in, "deployments_by_id", ids=["x"] * count, first=None).status_code for count in (26, 25)] == [502, 200]
    assert [runs(stand_in, f"?per_page={count}").status_code for count in (26, 25)] == [502, 200]


def test_answers_may_be_slow(stand_in: StandIn) -> None:
    stand_in.faults = {"slow_seconds": 0.2}
    began = time.monotonic()
    runs(stand_in)

    assert time.monotonic() - began >= 0.2


def test_a_list_shifts_between_two_pages(stand_in: StandIn, service: World) -> None:
    stand_in.clock = EARLIER
    stand_in.faults = {"shift": "PullRequests", "times": 1}
    first = page_of(stand_in, "pull_requests", first=10)
    second = page_of(stand_in, "pull_requests", first=10, after=first["pageInfo"]["endCursor"])
    top = page_of(stand_in, "pull_requests", first=10)

    assert stand_in.clock == EARLIER + timedelta(days=1)
    assert [node["number"] for node in top["nodes"]] == [pull["number"] for pull in service.pull_requests(END)[:10]]
    assert top["nodes"][0]["updatedAt"] > first["nodes"][0]["updatedAt"] > second["nodes"][0]["updatedAt"]


def test_the_clock_shifts_by_as_much_as_is_said(stand_in: StandIn) -> None:
    stand_in.clock = EARLIER
    stand_in.faults = {"shift": "Deployments", "shift_seconds": 60}
    for _ in range(3):
        page_of(stand_in, "deployments", first=1)

    assert stand_in.clock == EARLIER + timedelta(minutes=3)


def test_a_state_that_nobody_has_seen(stand_in: StandIn) -> None:
    stand_in.faults = {"new_enum": "Issues"}
    states = [node["state"] for node in page_of(stand_in, "issues", first=3)["nodes"]]
    stand_in.faults = {"new_enum": "WorkflowRuns"}
    conclusions = [run["conclusion"] for run in runs(stand_in).json()["workflow_runs"]]

    assert states[-1] == "SOMETHING_NEW"
    assert "SOMETHING_NEW" not in states[:-1]
    assert conclusions[-1] == "something_new"


def test_a_field_that_nobody_has_seen(stand_in: StandIn) -> None:
    stand_in.faults = {"new_field": "Releases"}

    assert all(node["somethingNew"] == {"deep": [1, None]} for node in page_of(stand_in, "releases", first=3)["nodes"])


def outcome(stand_in: StandIn) -> str:
    """Send a request and return the fault that a caller can see in the answer, or "well"."""
    try:
        answer = ask(stand_in, "deployments", first=5)
    except requests.exceptions.RequestException:
        return "cut"
    if answer.status_code in {502, 504}:
        return str(answer.status_code)
    if answer.status_code in {403, 429}:
        assert answer.headers["Retry-After"] == "0"
        assert int(answer.headers["X-RateLimit-Remaining"]) > 0
        return "secondary"
    try:
        body = answer.json()
    except json.JSONDecodeError:
        return "truncated"
    if body["data"] is None:
        assert body["errors"][0]["message"].startswith("Something went wrong while executing your query")
        return "unfinished"
    return "well"


def test_a_share_of_all_answers_fails_in_every_way_and_the_same_way_again(stand_in: StandIn) -> None:
    stand_in.faults = {"rate": 0.4, "seed": 3}
    found = [outcome(stand_in) for _ in range(80)]
    stand_in.faults = {"rate": 0.4, "seed": 3}
    again = [outcome(stand_in) for _ in range(80)]

    assert found == again
    assert set(found) == {*RANDOM, "well"}
    assert 20 < 80 - Counter(found)["well"] < 45
    assert stand_in.counts["fault 502"] == 2 * Counter(found)["502"]


def test_rest_answers_fail_at_random_too(stand_in: StandIn) -> None:
    stand_in.faults = {"rate": 1.0, "seed": 1}
    statuses = Counter()
    for _ in range(30):
        try:
            answer = runs(stand_in)
            statuses[answer.status_code] += 1
        except requests.exceptions.RequestException:
            statuses["cut"] += 1

    assert set(statuses) == {200, 403, 429, 502, 504, "cut"}
