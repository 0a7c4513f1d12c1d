"""The streams of a GitHub repository, declared: what is asked, by which key, in which order, and where reading may stop."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from dora_metrics.models import Service
from etl_tasks.sources.github.wanted import is_undecided

QUERIES = Path(__file__).parent / "queries"
# GitHub shows a change to every reader within minutes; what is newer than this before a reading is read once more.
LAG = timedelta(minutes=10)

From = Service.DeploymentsFrom


@dataclass(frozen=True, slots=True)
class Rest:
    """What lies beyond the first page of a record's own lists, and becomes a part of its fact.

    `key`: the record's field by which it is asked for. `path`: where the record lies in an answer. `lists`: its fields.
    `is_measured`: of other records no metric reads more than that page.
    """

    query: str
    key: str
    path: tuple[str, ...]
    fact: str
    lists: tuple[str, ...]
    is_measured: Callable[[Mapping[str, Any]], bool] = lambda record: True

    def lacking(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Each list that goes on, and behind which cursor."""
        infos = {name: (record.get(name) or {}).get("pageInfo") or {} for name in self.lists}
        return {name: info["endCursor"] for name, info in infos.items() if info.get("hasNextPage")}


NO_LISTS = Rest(query="", key="", path=(), fact="", lists=())


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of fact of a repository.

    `fact`: its natural key is declared once, with its table (loaders/facts.py). `path`: where the list of records lies
    in an answer. `order_key`: the field of a record by which the list is sorted, newest first; empty for a commit
    history, which is walked to the last known commit instead. `lag`: how far before the cursor reading goes on.
    `again_query`: asks by global id for records that were not final. `first_page`: records of the first page of a night
    that has read the stream before.
    `permission`: what the token needs. `is_asked_for`: what nobody needs costs nothing.
    """

    name: str
    path: tuple[str, ...]
    fact: str
    permission: str
    query: str = ""
    rest_path: str = ""
    order_key: str = ""
    lag: timedelta = LAG
    again_query: str = ""
    rest: Rest = NO_LISTS
    first_page: int = 25
    is_asked_for: Callable[[Service], bool] = lambda service: True

    def shape(self, context: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
        """Where the records lie in a page, and which fact they become."""
        match context.get("shape"):
            case "again":
                return ("data", "nodes"), self.fact
            case "rest":
                return self.rest.path, self.rest.fact
            case "one":
                return (), self.fact
        return self.path, self.fact


STREAMS = (
    Stream(
        # Lead time follows a change to its deployment through git's history.
        name="commits",
        query="commits.graphql",
        path=("data", "repository", "object", "history"),
        rest=Rest("commit_rest.graphql", key="oid", path=("data", "repository", "object"), fact="commit_rest", lists=("parents",)),
        fact="commit",
        permission="Contents",
        first_page=50,
    ),
    Stream(
        name="pull_requests",
        query="pull_requests.graphql",
        again_query="pull_requests_again.graphql",
        path=("data", "repository", "pullRequests"),
        rest=Rest(
            "pull_request_rest.graphql",
            key="number",
            path=("data", "repository", "pullRequest"),
            fact="change_rest",
            lists=("labels", "commits", "reviews", "files", "closingIssuesReferences", "timelineItems"),
            is_measured=lambda record: bool(record.get("mergedAt")),
        ),
        fact="change",
        permission="Pull requests",
        order_key="updatedAt",
    ),
    Stream(
        name="issues",
        query="issues.graphql",
        again_query="issues_again.graphql",
        path=("data", "repository", "issues"),
        rest=Rest("issue_rest.graphql", key="number", path=("data", "repository", "issue"), fact="issue_rest", lists=("labels", "timelineItems")),
        fact="issue",
        permission="Issues",
        order_key="updatedAt",
        is_asked_for=lambda service: bool(service.incident_label),
    ),
    Stream(
        name="deployments",
        query="deployments.graphql",
        again_query="deployments_again.graphql",
        path=("data", "repository", "deployments"),
        rest=Rest("deployment_rest.graphql", key="id", path=("data", "node"), fact="deployment_rest", lists=("statuses",)),
        fact="deployment",
        permission="Deployments",
        order_key="createdAt",
        is_asked_for=lambda service: service.deployments_from in (From.AUTO, From.GITHUB),
    ),
    Stream(
        name="workflow_runs",
        rest_path="/repos/{repository}/actions/runs",
        path=("workflow_runs",),
        fact="workflow_run",
        permission="Actions",
        order_key="created_at",
        lag=timedelta(hours=6),
        is_asked_for=lambda service: service.deployments_from == From.WORKFLOWS or is_undecided(service),
    ),
    Stream(
        name="releases",
        query="releases.graphql",
        again_query="releases_again.graphql",
        path=("data", "repository", "releases"),
        fact="release",
        permission="Contents",
        order_key="createdAt",
        is_asked_for=lambda service: service.deployments_from == From.RELEASES or is_undecided(service),
    ),
)
BY_NAME = {stream.name: stream for stream in STREAMS}


@cache
def names_query(stream: Stream) -> str:
    """A page of a list with nothing but the ids of its records: what GitHub can tell of one that it cannot give."""
    filters, declared = (", filterBy: { since: $since }", ", $since: DateTime") if stream.name == "issues" else ("", "")
    order = {"updatedAt": "UPDATED_AT", "createdAt": "CREATED_AT"}[stream.order_key]
    listed = f"{stream.path[-1]}(first: $first, after: $after{filters}, orderBy: {{ field: {order}, direction: DESC }}) {{ nodes {{ id }} }}"
    variables = f"$owner: String!, $name: String!, $first: Int!, $after: String{declared}"
    return with_fragments(f"query Names({variables}) {{ repository(owner: $owner, name: $name) {{ {listed} }} rateLimit {{ ...Budget }} }}")


@cache
def query_text(file_name: str) -> str:
    """A query with the fragments that it names."""
    return with_fragments((QUERIES / file_name).read_text())


def with_fragments(query: str) -> str:
    known = _fragments()
    needed: dict[str, str] = {}
    waiting = re.findall(r"\.\.\.(\w+)", query)
    while waiting:
        name = waiting.pop()
        if name in known and name not in needed:
            needed[name] = known[name]
            waiting.extend(re.findall(r"\.\.\.(\w+)", known[name]))
    return "\n".join([query, *needed.values()])


@cache
def _fragments() -> dict[str, str]:
    text = (QUERIES / "shared.graphql").read_text()
    return {part.split()[1]: part for part in re.findall(r"^fragment .*?^}", text, re.DOTALL | re.MULTILINE)}
