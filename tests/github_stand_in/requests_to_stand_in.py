"""Send the GraphQL queries of the extract stage to the stand-in for GitHub."""

import re
from pathlib import Path
from typing import Any

import requests

from github_stand_in.server import StandIn

QUERIES = Path(__file__).parents[2] / "etl_tasks/sources/github/queries"
NAMES = sorted(path.stem for path in QUERIES.glob("*.graphql"))
FRAGMENT_TEXT = "\n".join(path.read_text() for path in sorted(QUERIES.glob("fragments/*.graphql")))
FRAGMENTS = {found[1]: found[0] for found in re.finditer(r"^fragment (\w+) on .*?^}", FRAGMENT_TEXT, re.S | re.M)}
SPREAD = re.compile(r"\.\.\.(\w+)")
# Maps each query to the field of GitHub's Repository object that contains the list it asks for.
LISTS = {"pull_requests": "pullRequests", "deployments": "deployments", "issues": "issues", "releases": "releases", "commits": "object"}
TOKEN = {"Authorization": "bearer t"}
PARTS = ("labels", "commits", "reviews", "files", "closingIssuesReferences", "timelineItems")
NOTHING_MORE = {name: value for part in PARTS for name, value in ((f"with{part[0].upper()}{part[1:]}", False), (f"{part}After", None))}


def with_fragments(text: str) -> str:
    named: list[str] = []
    waiting = SPREAD.findall(text)
    while waiting:
        if (name := waiting.pop()) in FRAGMENTS and name not in named:
            named.append(name)
            waiting += SPREAD.findall(FRAGMENTS[name])
    return "\n".join([text, *(FRAGMENTS[name] for name in named)])


def query_text(name: str) -> str:
    return with_fragments((QUERIES / f"{name}.graphql").read_text())


def survey_text(count: int) -> str:
    fields = " ".join(f"...{name}" for name in ("RepositoryFields", *(name for name in FRAGMENTS if name.startswith("TopOf"))))
    declared = ", ".join(f"$o{n}: String!, $n{n}: String!, $i{n}: [ID!]!" for n in range(count))
    asked = " ".join(
        f"r{n}: repository(owner: $o{n}, name: $n{n}) {{ {fields} }} n{n}: nodes(ids: $i{n}) {{ ...WatchedFields }}" for n in range(count)
    )
    return with_fragments(f"query Survey({declared}) {{ {asked} rateLimit {{ ...RateLimitFields }} }}")


def post(stand_in: StandIn, text: str, variables: dict[str, Any] | None = None, **headers: str) -> requests.Response:
    payload = {"query": text, "variables": variables or {}}
    return requests.post(f"{stand_in.url}/graphql", json=payload, headers={**TOKEN, **headers}, timeout=10)


def ask(stand_in: StandIn, query: str, *, name: str = "billing", token: str = "t", **variables: Any) -> requests.Response:
    given = {"owner": "acme", "name": name, "first": 100, "after": None, **variables}
    return post(stand_in, query_text(query), given, Authorization=f"bearer {token}")


def answer(stand_in: StandIn, query: str, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = ask(stand_in, query, **variables).json()
    assert "errors" not in found, found["errors"]
    return found["data"]


def page_of(stand_in: StandIn, query: str, **variables: Any) -> dict[str, Any]:
    defaults = {"pull_requests": {"withFiles": True}, "commits": {"revision": "HEAD"}}.get(query, {})
    found: dict[str, Any] = answer(stand_in, query, **{**defaults, **variables})["repository"][LISTS[query]]
    return found["history"] if query == "commits" else found


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


def get(stand_in: StandIn, path: str, **headers: str) -> requests.Response:
    return requests.get(f"{stand_in.url}{path}", headers={**TOKEN, **headers}, timeout=10, allow_redirects=False)


def runs(stand_in: StandIn, query: str = "?per_page=100", **headers: str) -> requests.Response:
    return get(stand_in, f"/repos/acme/billing/actions/runs{query}", **headers)
