"""The streams of a GitHub repository: for each, the query, the place and order of its records, and the permission that the token needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from dora_metrics.models import Service
from etl_tasks.sources.github.needed_deployment_sources import may_count
from etl_tasks.sources.github.query_texts import with_fragments
from etl_tasks.sources.github.raw_values import as_text

# GitHub may need some minutes until every reader sees a change. So each run reads the list again from this
# long before the newest record of the last run.
LAG = timedelta(minutes=10)

# The values of "shape" in the context of a staged page. A page of the stream's list has no shape. A page of another kind holds:
BY_ID = "again"  # records that were requested by global id
EXISTENCE = "looked"  # the answer to the question which stored records GitHub still has
NEXT_PAGES = "rest"  # pages, after the first, of the lists inside one record
SINGLE_RECORD = "one"  # one record of REST
DEPLOYED_HISTORY = "deployed"  # a page of the history of a deployed commit


@dataclass(frozen=True, slots=True)
class NextPages:
    """How to request the pages after the first of the lists inside a record. Their items are added to the record's fact.

    `key`: the record's field by which the query finds the record. `path`: where the record is in an answer. `fact`: the kind
    of fact that these pages become. `lists`: the record's fields that are lists. `is_read`: returns whether a metric uses
    more of the record's lists than their first pages.
    """

    query: str
    key: str
    path: tuple[str, ...]
    fact: str
    lists: tuple[str, ...]
    is_read: Callable[[Mapping[str, Any]], bool] = lambda record: True

    def cursors(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Return the end cursor of each list that has a next page, by the list's name."""
        found = {}
        for name in self.lists:  # most lists have one page: this is called for each of them in each record
            connection = record.get(name)
            info = connection.get("pageInfo") if isinstance(connection, dict) else None
            if isinstance(info, dict) and info.get("hasNextPage") and (cursor := as_text(info.get("endCursor"))):
                found[name] = cursor
        return found


NO_LISTS = NextPages(query="", key="", path=(), fact="", lists=())


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of record of a repository.

    `path`: where the list of records is in an answer. `fact`: the kind of fact that the records become, as in fact_kinds.py.
    `permission`: the permission that the token needs. `query`, `by_id_query`: the files of the queries for the list and for
    records by global id. `order_key`: the field by which the list is sorted, newest first; empty for commits, which are read
    until all parents are known. `lag`: a run reads the list back to this long before the newest record of the last run.
    `first_page`: how many records the first query of a run asks for, if the stream was read before. `is_asked_for`: returns
    whether a service's settings need the stream. A stream that is not needed is not read.
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
        """Return the path to the records in a staged page that has this context."""
        paths = {BY_ID: ("data", "nodes"), NEXT_PAGES: self.next_pages.path, SINGLE_RECORD: ()}
        return paths.get(context.get("shape", ""), self.path)

    def fact_of(self, context: Mapping[str, Any]) -> str:
        """Return the kind of fact that the records of a staged page with this context become."""
        return self.next_pages.fact if context.get("shape") == NEXT_PAGES else self.fact


STREAMS = (
    Stream(
        # Always read: lead time needs the history to find the deployment that contains a change.
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
    """Return a query for only the ids in one page of a stream's list. It often returns the id of a record for which the full query returned null."""
    filters, declared = (", filterBy: { since: $since }", ", $since: DateTime") if stream.name == "issues" else ("", "")
    order = {"updatedAt": "UPDATED_AT", "createdAt": "CREATED_AT"}[stream.order_key]
    listed = f"{stream.path[-1]}(first: $first, after: $after{filters}, orderBy: {{ field: {order}, direction: DESC }}) {{ nodes {{ id }} }}"
    variables = f"$owner: String!, $name: String!, $first: Int!, $after: String{declared}"
    return with_fragments(
        f"query ListIds({variables}) {{ repository(owner: $owner, name: $name) {{ {listed} }} rateLimit {{ ...RateLimitFields }} }}"
    )
