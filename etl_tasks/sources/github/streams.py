"""The streams of a GitHub repository, declared: what is asked, in which order, and where it may stop."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from dora_metrics.models import Service

QUERIES = Path(__file__).parent / "queries"


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of fact of a repository.

    `path`: where the list of records lies in the answer. `order_key`: the field of a record by which the list is
    sorted, newest first; empty for a commit history, which is walked to the last known commit instead. `lag`: how far
    before the cursor reading goes on, for what GitHub changes or shows late. `needs_final`: records that are not final
    are asked again, however old they are.
    """

    name: str
    path: tuple[str, ...]
    fact: str
    query: str = ""
    rest_path: str = ""
    order_key: str = ""
    lag: timedelta = timedelta(0)
    needs_final: bool = False
    is_asked_for: Callable[[Service], bool] = lambda service: True


def _asks_for(*choices: str) -> Callable[[Service], bool]:
    return lambda service: service.deployments_from in choices


STREAMS = (
    Stream(
        name="deployments",
        query="deployments.graphql",
        path=("data", "repository", "deployments"),
        fact="deployment",
        order_key="createdAt",
        # A deployment's end comes later than its creation, and GraphQL cannot sort by change.
        lag=timedelta(days=2),
        needs_final=True,
        is_asked_for=_asks_for(Service.DeploymentsFrom.AUTO, Service.DeploymentsFrom.GITHUB),
    ),
    Stream(
        name="workflow_runs",
        rest_path="/repos/{repository}/actions/runs",
        path=("workflow_runs",),
        fact="workflow_run",
        order_key="created_at",
        lag=timedelta(days=2),
        needs_final=True,
        is_asked_for=_asks_for(Service.DeploymentsFrom.AUTO, Service.DeploymentsFrom.WORKFLOWS),
    ),
    Stream(
        name="pull_requests",
        query="pull_requests.graphql",
        path=("data", "repository", "pullRequests"),
        fact="change",
        order_key="updatedAt",
        lag=timedelta(minutes=5),
    ),
    Stream(
        # Lead time follows a change to its deployment through git's history.
        name="commits",
        query="commits.graphql",
        path=("data", "repository", "object", "history"),
        fact="commit",
    ),
)
BY_NAME = {stream.name: stream for stream in STREAMS}


@cache
def query_text(stream: Stream) -> str:
    return (QUERIES / stream.query).read_text()
