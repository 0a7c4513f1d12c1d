"""The stand-in's answers without faults."""

import gzip
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import exact_world
from github_stand_in.worlds.facts import iso
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World
from tests.github_stand_in.conftest import EARLIER, END
from tests.github_stand_in.requests_to_stand_in import (
    LISTS,
    NOTHING_MORE,
    TOKEN,
    answer,
    ask,
    everything,
    get,
    page_of,
    post,
    query_text,
    runs,
    survey_text,
)

PROJECT = Path(__file__).parents[2]
VIEWS = {"pull_requests": World.pull_requests, "issues": World.issues, "deployments": World.deployments, "releases": World.releases}


def outline(rows: list[dict[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    """Return the scalar fields of the rows as text, because the stand-in sends large numbers as strings."""
    plain = {name for name in names if not isinstance(rows[0][name], dict | list)} - {"stateReason"}
    return [{name: str(row[name]) for name in plain} for row in rows]


# --- lists --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [100, 17])
@pytest.mark.parametrize("query", VIEWS)
def test_paging_gives_every_record_once_as_it_is(stand_in: StandIn, service: World, query: str, first: int) -> None:
    found = everything(stand_in, query, first=first)
    truth = VIEWS[query](service, END)

    names = set(found[0])
    assert len(names) > 8
    assert outline(found, names) == outline(truth, names)


@pytest.mark.parametrize("first", [100, 17])
def test_the_history_is_paged_from_the_head_or_from_a_commit(stand_in: StandIn, service: World, first: int) -> None:
    head = service.head(END)
    older = service.main[-20][1]
    assert head

    for revision, oid in (("HEAD", head), (older, older)):
        commits = everything(stand_in, "commits", first=first, revision=revision)
        assert [(one["oid"], [parent["oid"] for parent in one["parents"]["nodes"]]) for one in commits] == [
            (one.oid, list(one.parents)) for one in service.history(oid)
        ]


def test_a_list_that_shifts_while_paged_skips_nothing_that_stood_still(stand_in: StandIn, service: World) -> None:
    stand_in.clock = EARLIER
    first = page_of(stand_in, "pull_requests", first=10)
    stand_in.clock = END
    second = page_of(stand_in, "pull_requests", first=100, after=first["pageInfo"]["endCursor"])

    seen = {node["number"] for node in first["nodes"] + second["nodes"]}
    still = [pull["number"] for pull in service.pull_requests(END) if pull["updatedAt"] <= iso(EARLIER)]
    assert set(still[:80]) <= seen


def test_issues_are_given_since_a_time(stand_in: StandIn, service: World) -> None:
    since = iso(END - timedelta(days=10))
    found = everything(stand_in, "issues", first=3, since=since.replace("Z", "+00:00"))

    assert 3 < len(found) < len(service.issues(END))
    assert [one["number"] for one in found] == [one["number"] for one in service.issues(END) if one["updatedAt"] >= since]


def test_a_duplicate_is_told_only_to_who_asks_for_it(stand_in: StandIn, service: World) -> None:
    number = next(issue["number"] for issue in service.issues(END) if issue["stateReason"] == "DUPLICATE")
    text = """query Q($n: Int!) {
      repository(owner: "acme", name: "billing") { issue(number: $n) { a: stateReason b: stateReason(enableDuplicate: true) } }
    }"""

    assert post(stand_in, text, {"n": number}).json()["data"]["repository"]["issue"] == {"a": "NOT_PLANNED", "b": "DUPLICATE"}


@pytest.mark.parametrize(("part", "order"), [("commits", "oid"), ("reviews", "submittedAt"), ("files", "path")])
def test_the_lists_of_one_pull_request_are_paged(large: World, part: str, order: str) -> None:
    biggest = max(large.pull_requests(END), key=lambda pull: pull[part]["totalCount"])
    flag, cursor = f"with{part.title()}", f"{part}After"
    found, after = [], None
    with StandIn({"acme/billing": large}) as stand_in:
        while True:
            variables = {**NOTHING_MORE, flag: True, cursor: after, "number": biggest["number"]}
            pull = answer(stand_in, "pull_request_next_pages", **variables)["repository"]["pullRequest"]
            assert set(pull) == {"number", "updatedAt", part}
            found += pull[part]["nodes"]
            after = pull[part]["pageInfo"]["endCursor"]
            if not pull[part]["pageInfo"]["hasNextPage"]:
                break

    assert len(found) == pull[part]["totalCount"] == biggest[part]["totalCount"] > 100
    assert [node.get("commit", node)[order] for node in found] == [node.get("commit", node)[order] for node in biggest[part]["nodes"]]


def test_a_page_of_pull_requests_tells_that_a_list_is_longer(large: World) -> None:
    with StandIn({"acme/billing": large}) as stand_in:
        pulls = everything(stand_in, "pull_requests")

    assert sorted(len(pull["commits"]["nodes"]) for pull in pulls)[-2:] == [100, 100]
    assert sum(pull["commits"]["pageInfo"]["hasNextPage"] for pull in pulls) == 2
    assert sum(pull["reviews"]["pageInfo"]["hasNextPage"] for pull in pulls) == 1
    assert sum(pull["files"]["pageInfo"]["hasNextPage"] for pull in pulls) == 1


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("deployments(first: 101, orderBy: {field: CREATED_AT, direction: DESC})", "Requesting 101 records on the `deployments` connection exceeds"),
        ("deployments(orderBy: {field: CREATED_AT, direction: DESC})", "You must provide a `first` or `last` value"),
        ("deployments(first: 1)", "sorts deployments by CREATED_AT, DESC only"),
        ("issues(first: 1, orderBy: {field: CREATED_AT, direction: DESC})", "sorts issues by UPDATED_AT, DESC only"),
        ("releases(first: 1, orderBy: {field: NAME, direction: DESC})", "sorts releases by CREATED_AT, DESC only"),
        ("pullRequests(first: 1, states: OPEN, orderBy: {field: UPDATED_AT, direction: DESC})", "does not know the argument states"),
        ('issues(first: 1, filterBy: {assignee: "x"}, orderBy: {field: UPDATED_AT, direction: DESC})', "filters issues by since only"),
        ('issues(first: 1, after: "ñ", orderBy: {field: UPDATED_AT, direction: DESC})', "does not appear to be a valid cursor"),
    ],
)
def test_a_list_asked_for_in_another_way_is_an_error(stand_in: StandIn, inside: str, message: str) -> None:
    found = post(stand_in, f'query Q {{ repository(owner: "acme", name: "billing") {{ {inside} {{ totalCount }} }} }}').json()

    assert found["data"] == {"repository": None}
    assert message in found["errors"][0]["message"]


# --- single records -----------------------------------------------------------------------------------------------------


def test_records_are_found_by_their_global_ids(stand_in: StandIn, service: World) -> None:
    deployment, release, run = service.deployments(END)[3], service.releases(END)[0], service.workflow_runs(END)[5]
    unknown = "DE_unknown"
    ids = [deployment["id"], unknown, release["id"], run["node_id"], service.pull_requests(END)[0]["id"], service.node_id]
    found = post(stand_in, survey_text(1), {"o0": "acme", "n0": "billing", "i0": ids}).json()

    assert [node and node["__typename"] for node in found["data"]["n0"]] == [
        "Deployment",
        None,
        "Release",
        "WorkflowRun",
        "PullRequest",
        "Repository",
    ]
    assert found["data"]["n0"][0] == {
        "__typename": "Deployment",
        "id": deployment["id"],
        "updatedAt": deployment["updatedAt"],
        "latestStatus": {"createdAt": deployment["latestStatus"]["createdAt"]},
    }
    assert found["data"]["n0"][3]["databaseId"] == run["id"]
    [error] = found["errors"]
    assert (error["type"], error["path"]) == ("NOT_FOUND", ["n0", 1])
    assert error["message"] == "Could not resolve to a node with the global id of 'DE_unknown'"


@pytest.mark.parametrize(("query", "view"), [("deployments_by_id", World.deployments), ("releases_by_id", World.releases)])
def test_records_are_asked_for_again(stand_in: StandIn, service: World, query: str, view: Any) -> None:
    ids = [row["id"] for row in view(service, END)[:5]]

    assert [node["id"] for node in answer(stand_in, query, ids=ids)["nodes"]] == ids
    assert ask(stand_in, query, ids=ids * 21).json()["errors"][0]["type"] == "ARGUMENT_LIMIT"


def test_a_single_record_is_found_or_not(stand_in: StandIn, service: World) -> None:
    text = """query Q($id: ID!, $n: Int!) {
      node(id: $id) { id } repository(owner: "acme", name: "billing") { pullRequest(number: $n) { number } }
    }"""
    pull = service.pull_requests(END)[0]
    found = post(stand_in, text, {"id": pull["id"], "n": pull["number"]}).json()
    missing = post(stand_in, text, {"id": "x", "n": 999_999}).json()

    assert found == {"data": {"node": {"id": pull["id"]}, "repository": {"pullRequest": {"number": pull["number"]}}}}
    assert missing["data"] == {"node": None, "repository": {"pullRequest": None}}
    assert {error["type"] for error in missing["errors"]} == {"NOT_FOUND"}


def test_a_commit_is_unknown_before_it_is_made(stand_in: StandIn, service: World) -> None:
    head = service.head(END)
    stand_in.clock = END - timedelta(days=30)

    assert answer(stand_in, "commits", revision=head)["repository"]["object"] is None
    assert answer(stand_in, "commits", revision="0" * 40)["repository"]["object"] is None


# --- the repository itself ----------------------------------------------------------------------------------------------


def identity(stand_in: StandIn, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = ask(stand_in, "releases", name=name).json()["data"]["repository"]
    return found


def test_unknown_repositories_are_not_found(stand_in: StandIn) -> None:
    found = ask(stand_in, "deployments", name="nothing").json()

    assert found["data"]["repository"] is None
    [error] = found["errors"]
    assert (error["type"], error["path"]) == ("NOT_FOUND", ["repository"])
    assert error["message"] == "Could not resolve to a Repository with the name 'acme/nothing'."
    assert get(stand_in, "/repos/acme/nothing/actions/runs").status_code == 404


def test_a_renamed_repository_answers_under_both_names_and_redirects_rest() -> None:
    world = ordinary_world("acme/billing", end=END, days=20)
    world.renamed = [(END - timedelta(days=3), "acme/payments")]
    with StandIn({"acme/billing": world}) as stand_in:
        old, new, moved = identity(stand_in, "billing"), identity(stand_in, "payments"), runs(stand_in, "?per_page=5")
        followed = requests.get(moved.headers["Location"], headers=TOKEN, timeout=10)
        stand_in.clock = END - timedelta(days=4)
        before, not_yet = identity(stand_in, "billing"), identity(stand_in, "payments")

    assert old
    assert old == new
    assert (old["nameWithOwner"], old["id"]) == ("acme/payments", world.node_id)
    assert before
    assert (before["nameWithOwner"], before["id"], not_yet) == ("acme/billing", world.node_id, None)
    assert moved.status_code == 301
    assert moved.headers["Location"].endswith(f"/repositories/{world.number}/actions/runs?per_page=5")
    assert followed.json()["workflow_runs"] == world.workflow_runs(END)[:5]


def test_a_repository_is_gone_from_a_time_on() -> None:
    world = ordinary_world("acme/billing", end=END, days=20)
    world.gone = END - timedelta(days=1)
    with StandIn({"acme/billing": world}) as stand_in:
        found, rest = ask(stand_in, "deployments").json(), runs(stand_in).status_code
        node = ask(stand_in, "deployments_by_id", ids=[world.deployments(END)[0]["id"]]).json()
        stand_in.clock = END - timedelta(days=2)
        before = identity(stand_in, "billing")

    assert (found["data"]["repository"], found["errors"][0]["type"], rest) == (None, "NOT_FOUND", 404)
    assert node["data"]["nodes"] == [None]
    assert before


def test_an_empty_an_archived_and_a_private_repository_say_so() -> None:
    world = World("acme/empty", end=END)
    world.is_archived = world.is_private = True
    with StandIn({"acme/empty": world}) as stand_in:
        found = answer(stand_in, "commits", name="empty", revision="HEAD")["repository"]
        lists = [page_of(stand_in, query, name="empty") for query in LISTS if query != "commits"]

    assert (found["defaultBranchRef"], found["object"]) == (None, None)
    assert (found["isArchived"], found["isPrivate"]) == (True, True)
    assert [(page["totalCount"], page["nodes"], page["pageInfo"]["hasNextPage"]) for page in lists] == [(0, [], False)] * 4


def test_many_repositories_are_surveyed_at_once() -> None:
    worlds = {
        f"acme/r{n}": exact_world(f"acme/r{n}", end=END, pull_requests=3, deployments=2, issues=2, releases=1, runs=1, commits=5) for n in range(25)
    }
    variables: dict[str, Any] = {}
    for n in range(25):
        variables |= {f"o{n}": "acme", f"n{n}": f"r{n}" if n != 7 else "none", f"i{n}": []}
    with StandIn(worlds) as stand_in:
        found = post(stand_in, survey_text(25), variables).json()

    assert found["data"].pop("rateLimit")["cost"] == 1
    assert found["data"]["r7"] is None
    assert [error["path"] for error in found["errors"]] == [["r7"]]
    assert found["data"]["r24"]["pullRequests"]["totalCount"] == 3
    assert found["data"]["r24"]["defaultBranchRef"]["target"]["oid"] == worlds["acme/r24"].head(END)


# --- workflow runs ------------------------------------------------------------------------------------------------------


def test_workflow_runs_page_by_link_and_filter_by_day(stand_in: StandIn, service: World) -> None:
    found: list[dict[str, Any]] = []
    url = f"{stand_in.url}/repos/acme/billing/actions/runs?per_page=20&created=%3E%3D2026-10-01"
    while url:
        page = requests.get(url, headers=TOKEN, timeout=10)
        found += page.json()["workflow_runs"]
        url = page.links.get("next", {}).get("url", "")

    assert found == [run for run in service.workflow_runs(END) if run["created_at"] >= "2026-10-01"]


@pytest.mark.parametrize(
    ("query", "begin", "end"),
    [
        ("created=2026-10-01..2026-10-20", "2026-10-01", "2026-10-21"),
        ("created=2026-10-01T12:00:00Z..2026-10-05T12:00:00Z", "2026-10-01T12", "2026-10-05T12:00:01"),
        ("created=*..2026-10-20", "2000", "2026-10-21"),
        ("created=%3C%3D2026-10-20", "2000", "2026-10-21"),
        ("created=%3E2026-10-20", "2026-10-21", "2100"),
        ("created=%3C2026-10-20", "2000", "2026-10-20"),
    ],
)
def test_workflow_runs_filter_by_a_span(stand_in: StandIn, service: World, query: str, begin: str, end: str) -> None:
    expected = [run["id"] for run in service.workflow_runs(END) if begin <= run["created_at"] < end]

    assert [run["id"] for run in runs(stand_in, f"?per_page=100&{query}").json()["workflow_runs"]] == expected[:100]


def test_workflow_runs_filter_by_branch_event_and_status(stand_in: StandIn) -> None:
    found = runs(stand_in, "?per_page=100&branch=main&event=push&status=failure").json()["workflow_runs"]

    assert found
    assert {(run["head_branch"], run["event"], run["conclusion"]) for run in found} == {("main", "push", "failure")}


def test_a_filtered_list_of_runs_ends_after_a_thousand() -> None:
    world = exact_world("acme/billing", end=END, pull_requests=0, deployments=0, issues=0, releases=0, runs=1050, commits=1)
    with StandIn({"acme/billing": world}) as stand_in:
        pages = [runs(stand_in, f"?per_page=100&page={page}{span}").json() for span in ("", "&created=%3E2000-01-01") for page in (10, 11)]

    assert [page["total_count"] for page in pages] == [1050] * 4
    assert [len(page["workflow_runs"]) for page in pages] == [100, 50, 100, 0]


def test_a_run_and_each_of_its_attempts_are_given_by_number(stand_in: StandIn, service: World) -> None:
    run = next(run for run in service.workflow_runs(END) if run["run_attempt"] == 2)
    place = f"/repos/acme/billing/actions/runs/{run['id']}"
    found = [get(stand_in, path) for path in (place, f"{place}/attempts/1", f"{place}/attempts/2", f"{place}/attempts/3", f"{place}1")]

    assert [one.status_code for one in found] == [200, 200, 200, 404, 404]
    assert found[0].json() == found[2].json() == run
    assert (found[1].json()["run_attempt"], found[1].json()["conclusion"]) == (1, "failure")


def test_an_unchanged_list_is_304(stand_in: StandIn) -> None:
    etag = runs(stand_in).headers["ETag"]

    unchanged = runs(stand_in, **{"If-None-Match": etag})
    another = runs(stand_in, **{"If-None-Match": etag, "Authorization": "bearer other"})
    stand_in.clock = END - timedelta(days=7)
    changed = runs(stand_in, **{"If-None-Match": etag})

    assert (unchanged.status_code, unchanged.content, changed.status_code) == (304, b"", 200)
    assert another.status_code == 200, "a tag is of one credential"


# --- HTTP -------------------------------------------------------------------------------------------------------------


def test_one_connection_serves_many_requests_and_answers_are_packed_when_asked(stand_in: StandIn) -> None:
    connection = http.client.HTTPConnection(stand_in.url.removeprefix("http://"), timeout=10)
    variables = {"owner": "acme", "name": "billing", "first": 100, "withFiles": True}
    body = json.dumps({"query": query_text("pull_requests"), "variables": variables})
    bodies = []
    for encoding in ("identity", "gzip"):
        connection.request("POST", "/graphql", body, {**TOKEN, "Accept-Encoding": encoding})
        socket = connection.sock
        response = connection.getresponse()
        bodies.append(response.read())
        assert response.headers.get("Content-Encoding") == (None if encoding == "identity" else "gzip")
        assert connection.sock is socket
    connection.close()

    plain, packed = (json.loads(one) for one in (bodies[0], gzip.decompress(bodies[1])))
    assert plain["data"]["repository"] == packed["data"]["repository"]
    assert len(bodies[1]) < len(bodies[0]) / 2


def test_latency_holds_no_other_request_up(service: World) -> None:
    with StandIn({"acme/billing": service}, clock=END, latency_seconds=0.2) as stand_in:
        get(stand_in, "/rate_limit")
        threads = [threading.Thread(target=get, args=(stand_in, "/rate_limit")) for _ in range(8)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began

    assert 0.2 <= seconds < 1.2
    assert stand_in.counts["most_at_once"] > 2


def test_enterprise_servers_addresses_answer_too(stand_in: StandIn) -> None:
    assert get(stand_in, "/api/v3/repos/acme/billing/actions/runs?per_page=1").links["next"]["url"].startswith(f"{stand_in.url}/api/v3/repos/")
    found = requests.post(f"{stand_in.url}/api/graphql", json={"query": "query Q { rateLimit { cost } }"}, headers=TOKEN, timeout=10)
    assert found.json() == {"data": {"rateLimit": {"cost": 1}}}


def test_levers_work_over_http(stand_in: StandIn) -> None:
    levers = f"{stand_in.url}/_stand_in"
    requests.post(f"{levers}/clock", json={"now": "2026-10-01T00:00:00Z"}, timeout=10)
    requests.post(f"{levers}/faults", json={"outage": True}, timeout=10)

    assert stand_in.clock == datetime.fromisoformat("2026-10-01T00:00:00Z")
    assert runs(stand_in).status_code == 502
    assert requests.get(f"{levers}/counts", timeout=10).json()["requests"] == 1


def test_it_runs_by_itself(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    options = ["--repository", "acme/billing", "--days", "60", "--port", "0", "--port-file", str(port_file)]
    with subprocess.Popen([sys.executable, "-m", "github_stand_in", *options], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            url = line.removeprefix("stand-in: ")
            found = requests.get(f"{url}/repos/acme/billing/actions/runs", headers=TOKEN, timeout=10)
        finally:
            process.terminate()

    assert re.fullmatch(r"stand-in: http://127\.0\.0\.1:\d+", line)
    assert port_file.read_text() == url
    assert found.json()["total_count"] > 0


def test_a_renamed_default_branch_is_led_on_from_its_former_names() -> None:
    renamed = ordinary_world("acme/billing", end=END, days=20)
    when = END - timedelta(days=5)
    renamed.rename_default_branch(when, "stem/1")
    with StandIn({"acme/billing": renamed}, clock=when - timedelta(days=1)) as stand_in:
        before = get(stand_in, "/repos/acme/billing/branches/main"), get(stand_in, "/repos/acme/billing/branches/stem%2F1")
        open_then = {pull["number"] for pull in renamed.pull_requests(stand_in.clock) if pull["state"] == "OPEN"}
        stand_in.clock = END
        after = get(stand_in, "/repos/acme/billing/branches/main"), get(stand_in, "/repos/acme/billing/branches/stem%2F1")
        others = get(stand_in, "/repos/acme/billing/branches/master"), get(stand_in, "/repos/acme/billing/branches/feature%2F2")
        name = answer(stand_in, "pull_requests", withFiles=False)["repository"]["defaultBranchRef"]["name"]

    assert [one.status_code for one in (*before, *after, *others)] == [200, 404, 301, 200, 301, 404]
    assert after[0].headers["Location"] == others[0].headers["Location"] == f"{stand_in.url}/repositories/{renamed.number}/branches/stem%2F1"
    assert name == "stem/1"
    pulls = renamed.pull_requests(END)
    assert {pull["number"] for pull in pulls if pull["baseRefName"] == "main"} == {
        pull["number"] for pull in pulls if pull["closedAt"] and datetime.fromisoformat(pull["closedAt"]) <= when
    }
    assert open_then
    assert {run["head_branch"] for run in renamed.workflow_runs(END) if run["created_at"] < when.isoformat()} >= {"main"}
