"""The streams of a GitHub repository, declared: the query, the key, the order and the permission of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from dora_metrics.models import Service
from etl_tasks.sources.github.needed_deployment_sources import may_count
from etl_tasks.sources.github.query_texts import with_fragments

# GitHub shows a change to every reader within minutes. Records newer than this at the time of a read are read once more.
LAG = timedelta(minutes=10)

# What a staged page holds if it is not one page of the stream's list: the value of "shape" in its context.
BY_ID = "again"  # records asked for by global id
EXISTENCE = "looked"  # the ids of stored records that GitHub still has
NEXT_PAGES = "rest"  # the next pages of the lists inside one record
SINGLE_RECORD = "one"  # one record of REST
DEPLOYED_HISTORY = "deployed"  # the history of a deployed commit


@dataclass(frozen=True, slots=True)
class NextPages:
    """How to ask for the next pages of the lists inside a record. Their items are added to the record's fact.

    `key`: the record's field by which the query finds it. `path`: where the record is in an answer. `lists`: the record's
    fields that are lists. `is_read`: whether a metric reads more of a record's lists than their first page.
    """

    query: str
    key: str
    path: tuple[str, ...]
    fact: str
    lists: tuple[str, ...]
    is_read: Callable[[Mapping[str, Any]], bool] = lambda record: True

    def cursors(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Return the end cursor of each list that has a next page, by the list's name."""
        infos = {name: (record.get(name) or {}).get("pageInfo") or {} for name in self.lists}
        return {name: info["endCursor"] for name, info in infos.items() if info.get("hasNextPage")}


NO_LISTS = NextPages(query="", key="", path=(), fact="", lists=())


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of fact of a repository.

    `fact`: the kind of fact, whose natural key and table are declared once for all streams. `path`: where the list of records
    lies in an answer. `order_key`: the field by which the list is sorted, newest first; empty for the commit history, which is
    read up to the first known commit instead. `lag`: how far before the cursor the next read starts. `by_id_query`: asks for
    records by global id. `first_page`: records in the first page of a run, if the stream was read before. `permission`: what
    the token needs. `is_asked_for`: whether a service's settings need the stream; one that is not needed is not read.
    """

    name: str
    path: tuple[str, ...]
    fact: str
    permission: str
    query: str = ""
    rest_path: str = ""
    order_key: str = ""
    lag: timedelta = LAG
    by_id_query: str = ""
    next_pages: NextPages = NO_LISTS
    first_page: int = 25
    is_asked_for: Callable[[Service], bool] = lambda service: True

    def path_in(self, context: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the path to the records in a staged page."""
        paths = {BY_ID: ("data", "nodes"), NEXT_PAGES: self.next_pages.path, SINGLE_RECORD: ()}
        return paths.get(context.get("shape", ""), self.path)

    def fact_of(self, context: Mapping[str, Any]) -> str:
        """Return the kind of fact that the records of a staged page become."""
        return self.next_pages.fact if context.get("shape") == NEXT_PAGES else self.fact


STREAMS = (
    Stream(
        # Lead time follows a change to its deployment through the history.
        name="commits",
        query="commits.graphql",
        path=("data", "repository", "object", "history"),
        next_pages=NextPages("commit_next_pages.graphql", key="oid", path=("data", "repository", "object"), fact="commit_rest", lists=("parents",)),
        fact="commit",
        permission="Contents",
        first_page=50,
    ),
    Stream(
        name="pull_requests",
        query="pull_requests.graphql",
        by_id_query="pull_requests_by_id.graphql",
        path=("data", "repository", "pullRequests"),
        next_pages=NextPages(
            "pull_request_next_pages.graphql",
            key="number",
            path=("data", "repository", "pullRequest"),
            fact="change_rest",
            lists=("labels", "commits", "reviews", "files", "closingIssuesReferences", "timelineItems"),
            is_read=lambda record: bool(record.get("mergedAt")),
        ),
        fact="change",
        permission="Pull requests",
        order_key="updatedAt",
    ),
    Stream(
        name="issues",
        query="issues.graphql",
        by_id_query="issues_by_id.graphql",
        path=("data", "repository", "issues"),
        next_pages=NextPages(
            "issue_next_pages.graphql", key="number", path=("data", "repository", "issue"), fact="issue_rest", lists=("labels", "timelineItems")
        ),
        fact="issue",
        permission="Issues",
        order_key="updatedAt",
        is_asked_for=lambda service: bool(service.incident_label),
    ),
    Stream(
        name="deployments",
        query="deployments.graphql",
        by_id_query="deployments_by_id.graphql",
        path=("data", "repository", "deployments"),
        next_pages=NextPages("deployment_next_pages.graphql", key="id", path=("data", "node"), fact="deployment_rest", lists=("statuses",)),
        fact="deployment",
        permission="Deployments",
        order_key="createdAt",
        is_asked_for=lambda service: may_count("github", service),
    ),
    Stream(
        name="workflow_runs",
        rest_path="/repos/{repository}/actions/runs",
        path=("workflow_runs",),
        fact="workflow_run",
        permission="Actions",
        order_key="created_at",
        lag=timedelta(hours=6),
        is_asked_for=lambda service: may_count("workflows", service),
    ),
    Stream(
        name="releases",
        query="releases.graphql",
        by_id_query="releases_by_id.graphql",
        path=("data", "repository", "releases"),
        fact="release",
        permission="Contents",
        order_key="createdAt",
        is_asked_for=lambda service: may_count("releases", service),
    ),
)
BY_NAME = {stream.name: stream for stream in STREAMS}


@cache
def ids_query(stream: Stream) -> str:
    """Return a query for only the ids in one page of a stream's list. GitHub can often give the id of a record that it returned as null."""
    filters, declared = (", filterBy: { since: $since }", ", $since: DateTime") if stream.name == "issues" else ("", "")
    order = {"updatedAt": "UPDATED_AT", "createdAt": "CREATED_AT"}[stream.order_key]
    listed = f"{stream.path[-1]}(first: $first, after: $after{filters}, orderBy: {{ field: {order}, direction: DESC }}) {{ nodes {{ id }} }}"
    variables = f"$owner: String!, $name: String!, $first: Int!, $after: String{declared}"
    return with_fragments(
        f"query ListIds({variables}) {{ repository(owner: $owner, name: $name) {{ {listed} }} rateLimit {{ ...RateLimitFields }} }}"
    )
