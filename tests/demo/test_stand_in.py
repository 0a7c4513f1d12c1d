import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from demo.github.server import StandIn
from demo.github.world import World

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
EARLIER = END - timedelta(days=1)
PROJECT = Path(__file__).parents[2]
QUERIES = PROJECT / "etl_tasks/sources/github/queries"
LISTS = {"pull_requests": "pullRequests", "deployments": "deployments"}
TOKEN = {"Authorization": "bearer t"}


@pytest.fixture(scope="module")
def service() -> World:
    return World("acme/billing", seed=7, days=120, end=END)


@pytest.fixture
def stand_in(service: World) -> Iterator[StandIn]:
    with StandIn({"acme/billing": service}, clock=END) as running:
        yield running


def ask(stand_in: StandIn, query: str, *, name: str = "billing", **variables: Any) -> requests.Response:
    variables = {"owner": "acme", "name": name, "first": 100, "after": None, **variables}
    text = (QUERIES / f"{query}.graphql").read_text()
    return requests.post(f"{stand_in.url}/graphql", json={"query": text, "variables": variables}, headers=TOKEN, timeout=10)


def page_of(stand_in: StandIn, query: str, **variables: Any) -> dict[str, Any]:
    answer = ask(stand_in, query, **variables).json()
    assert "errors" not in answer
    repository = answer["data"]["repository"]
    found: dict[str, Any] = repository["object"]["history"] if query == "commits" else repository[LISTS[query]]
    return found


def everything(stand_in: StandIn, query: str, **variables: Any) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    after = None
    while True:
        page = page_of(stand_in, query, after=after, **variables)
        nodes += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            assert len(nodes) == page["totalCount"]
            return nodes


def runs(url: str, **headers: str) -> requests.Response:
    return requests.get(f"{url}/repos/acme/billing/actions/runs?per_page=100", headers={**TOKEN, **headers}, timeout=10)


def test_the_same_seed_makes_the_same_world(service: World) -> None:
    again = World("acme/billing", seed=7, days=120, end=END)
    other = World("acme/billing", seed=8, days=120, end=END)

    assert again.pull_requests(END) == service.pull_requests(END)
    assert again.deployments(END) == service.deployments(END)
    assert again.workflow_runs(END) == service.workflow_runs(END)
    assert again.head(END) == service.head(END)
    assert other.pull_requests(END) != service.pull_requests(END)


@pytest.mark.parametrize("seed", range(5))
def test_history_lists_each_commit_before_its_parents(seed: int) -> None:
    world = World("acme/other", seed=seed, days=60, end=END)
    head = world.head(END)
    assert head
    place = {commit.oid: n for n, commit in enumerate(world.history(head))}

    assert [oid for oid, n in place.items() for parent in world.commits[oid].parents if place[parent] < n] == []
    assert all(pull["mergeCommit"]["oid"] in place for pull in world.pull_requests(END) if pull["mergedAt"])


@pytest.mark.parametrize("seed", range(5))
def test_nothing_of_the_future_is_seen(seed: int) -> None:
    world = World("acme/other", seed=seed, days=60, end=END)
    for clock in (END - timedelta(days=49, hours=3), END):
        now = f"{clock:%Y-%m-%dT%H:%M:%SZ}"
        head = world.head(clock)
        assert head
        for pull in world.pull_requests(clock):
            assert pull["createdAt"] <= pull["updatedAt"] <= now
            assert (pull["state"] == "MERGED") == (pull["mergedAt"] is not None) == (pull["mergeCommit"] is not None)
        assert [row for row in world.deployments(clock) if not row["createdAt"] <= row["updatedAt"] <= now] == []
        assert [run for run in world.workflow_runs(clock) if run["updated_at"] > now] == []
        assert [commit for commit in world.history(head) if commit.committed > clock] == []


def test_ids_are_unique_and_fit_graphql(service: World) -> None:
    for rows in (service.pull_requests(END), service.deployments(END)):
        ids = [row["databaseId"] for row in rows]
        assert len(set(ids)) == len(ids)
        assert max(ids) < 2**31


def test_the_world_has_what_is_hard(service: World) -> None:
    pulls, deployments = service.pull_requests(END), service.deployments(END)
    production = [row for row in deployments[::-1] if row["environment"] == "production"]
    succeeded = [row["commitOid"] for row in production if any(status["state"] == "SUCCESS" for status in row["statuses"]["nodes"])]
    order = [oid for _, oid in service.main]

    assert {pull["state"] for pull in pulls} == {"OPEN", "CLOSED", "MERGED"}
    assert any(pull["labels"]["nodes"] == [{"name": "hotfix"}] for pull in pulls)
    assert any(pull["author"] is None for pull in pulls)
    assert any(pull["author"] and pull["author"]["__typename"] == "Bot" for pull in pulls)
    assert any(pull["timelineItems"]["nodes"] for pull in pulls)
    assert Counter(row["state"] for row in production)["FAILURE"] > 3
    assert any(order.index(b) < order.index(a) for a, b in zip(succeeded, succeeded[1:], strict=False)), "a rollback"  # noqa: RUF007
    assert {run["run_attempt"] for run in service.workflow_runs(END)} == {1, 2}


@pytest.mark.parametrize("first", [100, 17])
def test_paging_gives_every_record_once_as_it_is(stand_in: StandIn, service: World, first: int) -> None:
    pulls = everything(stand_in, "pull_requests", first=first)
    deployments = everything(stand_in, "deployments", first=first)
    commits = everything(stand_in, "commits", first=first, revision="HEAD")

    def outline(rows: list[dict[str, Any]], *keys: str) -> list[tuple[Any, ...]]:
        return [tuple(row[key] for key in keys) for row in rows]

    head = service.head(END)
    assert head
    keys = ("databaseId", "number", "state", "updatedAt", "mergedAt", "headRefOid", "mergeCommit", "author")
    assert outline(pulls, *keys) == outline(service.pull_requests(END), *keys)
    keys = ("databaseId", "commitOid", "environment", "state", "payload", "createdAt", "updatedAt", "statuses")
    assert outline(deployments, *keys) == outline(service.deployments(END), *keys)
    assert [commit["oid"] for commit in commits] == [commit.oid for commit in service.history(head)]


def test_a_list_that_shifts_while_paged_skips_nothing_that_stood_still(stand_in: StandIn, service: World) -> None:
    stand_in.clock = EARLIER
    first = page_of(stand_in, "pull_requests", first=10)
    stand_in.clock = END
    second = page_of(stand_in, "pull_requests", first=100, after=first["pageInfo"]["endCursor"])

    seen = {node["number"] for node in first["nodes"] + second["nodes"]}
    still = [pull["number"] for pull in service.pull_requests(END) if pull["updatedAt"] <= f"{EARLIER:%Y-%m-%dT%H:%M:%SZ}"]
    assert set(still[:80]) <= seen


def test_a_day_changes_a_handful(service: World) -> None:
    before = service.pull_requests(EARLIER)
    changed = [pull for pull in service.pull_requests(END) if pull not in before]

    assert 0 < len(changed) < 20


def test_workflow_runs_page_by_link_and_filter_by_day(stand_in: StandIn, service: World) -> None:
    found: list[dict[str, Any]] = []
    url = f"{stand_in.url}/repos/acme/billing/actions/runs?per_page=20&created=%3E%3D2026-10-01"
    while url:
        answer = requests.get(url, headers=TOKEN, timeout=10)
        found += answer.json()["workflow_runs"]
        url = answer.links.get("next", {}).get("url", "")

    assert found == [run for run in service.workflow_runs(END) if run["created_at"] >= "2026-10-01"]


def test_an_unchanged_list_is_304(stand_in: StandIn) -> None:
    etag = runs(stand_in.url).headers["ETag"]

    unchanged = runs(stand_in.url, **{"If-None-Match": etag})
    stand_in.clock = END - timedelta(days=7)
    changed = runs(stand_in.url, **{"If-None-Match": etag})

    assert (unchanged.status_code, unchanged.content, changed.status_code) == (304, b"", 200)


def test_an_unchanged_list_is_free(stand_in: StandIn) -> None:
    etag = runs(stand_in.url).headers["ETag"]
    points = stand_in.counts["points"]

    runs(stand_in.url, **{"If-None-Match": etag})

    assert stand_in.counts["points"] == points


def test_unknown_repositories_are_not_found(stand_in: StandIn) -> None:
    answer = ask(stand_in, "deployments", name="nothing").json()

    assert answer["data"]["repository"] is None
    [error] = answer["errors"]
    assert (error["type"], error["path"]) == ("NOT_FOUND", ["repository"])
    assert error["message"] == "Could not resolve to a Repository with the name 'acme/nothing'."
    assert requests.get(f"{stand_in.url}/repos/acme/nothing/actions/runs", headers=TOKEN, timeout=10).status_code == 404


def test_what_github_refuses_is_refused(stand_in: StandIn) -> None:
    url = f"{stand_in.url}/graphql"
    unknown = requests.post(url, json={"query": "query Q { viewer { login } }"}, headers=TOKEN, timeout=10).json()

    assert requests.post(url, json={}, timeout=10).status_code == 401
    assert unknown["errors"]
    assert ask(stand_in, "deployments", first=101).json()["errors"]
    assert ask(stand_in, "commits", revision="0" * 40).json()["data"]["repository"]["object"] is None


def test_costs_are_githubs(stand_in: StandIn) -> None:
    answers = [ask(stand_in, "pull_requests"), ask(stand_in, "deployments"), ask(stand_in, "commits", revision="HEAD")]

    assert [answer.json()["data"]["rateLimit"]["cost"] for answer in answers] == [4, 1, 1]


def test_a_commit_is_unknown_before_it_is_made(stand_in: StandIn, service: World) -> None:
    head = service.head(END)
    stand_in.clock = END - timedelta(days=30)

    assert ask(stand_in, "commits", revision=head).json()["data"]["repository"]["object"] is None


def test_every_nth_answer_fails(stand_in: StandIn) -> None:
    stand_in.faults = {"every": 2, "status": 502}

    assert [ask(stand_in, "deployments").status_code for _ in range(4)] == [200, 502, 200, 502]


def test_an_outage_takes_all(stand_in: StandIn) -> None:
    stand_in.faults = {"outage": True}

    assert {ask(stand_in, "deployments").status_code, runs(stand_in.url).status_code} == {502}


def test_a_limit_asks_to_wait_a_few_times(stand_in: StandIn) -> None:
    stand_in.faults = {"retry_after": 7, "status": 429, "times": 2}
    answers = [ask(stand_in, "deployments") for _ in range(3)]

    assert [(a.status_code, a.headers.get("Retry-After")) for a in answers] == [(429, "7"), (429, "7"), (200, None)]


def test_garbage_is_of_one_operation_until_cleared(stand_in: StandIn) -> None:
    stand_in.faults = {"garbage": "PullRequests"}
    garbage, other = ask(stand_in, "pull_requests"), ask(stand_in, "deployments")
    stand_in.faults = {}

    assert (garbage.status_code, garbage.text[:1], other.text[:1]) == (200, "<", "{")
    assert ask(stand_in, "pull_requests").text.startswith("{")


def test_a_bad_record_is_the_last_of_the_first_page(stand_in: StandIn) -> None:
    stand_in.faults = {"bad_record": "Deployments"}
    first = page_of(stand_in, "deployments", first=5)

    assert [node["createdAt"] == "not a date" for node in first["nodes"]] == [False] * 4 + [True]


def test_a_bad_record_spoils_only_its_own_answer(stand_in: StandIn, service: World) -> None:
    stand_in.faults = {"bad_record": "Deployments"}
    page_of(stand_in, "deployments", first=5)
    stand_in.faults = {}

    assert all(re.match(r"\d{4}-", node["createdAt"]) for node in page_of(stand_in, "deployments", first=5)["nodes"])


def test_levers_work_over_http(stand_in: StandIn) -> None:
    levers = f"{stand_in.url}/_stand_in"
    requests.post(f"{levers}/clock", json={"now": "2026-10-01T00:00:00Z"}, timeout=10)
    requests.post(f"{levers}/faults", json={"outage": True}, timeout=10)

    assert stand_in.clock == datetime(2026, 10, 1, tzinfo=UTC)
    assert runs(stand_in.url).status_code == 502
    assert requests.get(f"{levers}/counts", timeout=10).json()["requests"] == 1


def test_it_runs_by_itself(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    options = ["--repository", "acme/billing", "--days", "60", "--port", "0", "--port-file", str(port_file)]
    with subprocess.Popen([sys.executable, "-m", "demo.github", *options], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            answer = runs(line.removeprefix("stand-in: "))
        finally:
            process.terminate()

    assert re.fullmatch(r"stand-in: http://127\.0\.0\.1:\d+", line)
    assert answer.json()["total_count"] > 0
