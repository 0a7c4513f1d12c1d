"""GitHub's GraphQL endpoint and the REST list of workflow runs, over generated worlds, with faults on request."""

import base64
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from graphql import (
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    build_schema,
    graphql_sync,
    parse,
)

from demo.github.world import World

LIMIT = 5000
LARGEST_PAGE = 100


class StandIn:
    """`with StandIn({"acme/billing": world}) as github: … github.url`.

    `clock`: what has happened by then is shown. `faults`: {"every": n, "status": 502} (each nth answer),
    {"outage": true}, {"garbage": operation}, {"bad_record": operation}, {"status": s, "retry_after": s, "times": n}.
    """

    def __init__(self, worlds: Mapping[str, World], *, clock: datetime | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.worlds = dict(worlds)
        self.clock = clock or max(world.end for world in worlds.values())
        self.faults: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.schema = _schema()
        server = self

        class Handler(_Handler):
            stand_in = server

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        self._server.serve_forever()

    def query(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        price = cost(str(payload.get("query")), payload.get("variables") or {})
        self.counts["points"] += price
        result = graphql_sync(
            self.schema, str(payload.get("query")), root_value={"price": price}, variable_values=payload.get("variables"), context_value=self
        )
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [{"message": error.message, "path": error.path, **(error.extensions or {})} for error in result.errors]
        return answer


@lru_cache(maxsize=1)
def _schema() -> GraphQLSchema:
    schema = build_schema((Path(__file__).parent / "schema.graphql").read_text())
    resolvers = {
        ("Query", "repository"): _repository,
        ("Query", "rateLimit"): _rate_limit,
        ("Repository", "pullRequests"): _pull_requests,
        ("Repository", "deployments"): _deployments,
        ("Repository", "object"): _object,
        ("Commit", "history"): _history,
    }
    for (type_name, field_name), resolve in resolvers.items():
        schema.type_map[type_name].fields[field_name].resolve = resolve  # type: ignore[attr-defined]
    return schema


def _repository(_: Any, info: GraphQLResolveInfo, owner: str, name: str) -> dict[str, Any]:
    world = info.context.worlds.get(f"{owner}/{name}")
    if world is None:
        raise GraphQLError(f"Could not resolve to a Repository with the name '{owner}/{name}'.", extensions={"type": "NOT_FOUND"})
    return {
        "world": world,
        "databaseId": world.number,
        "nameWithOwner": world.repository,
        "createdAt": world.start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "defaultBranchRef": {"name": "main"},
    }


def cost(query: str, variables: Mapping[str, Any]) -> int:
    """GitHub's published formula: the requests that all connections amount to, by hundreds, at least 1."""
    try:
        operation = next(node for node in parse(query).definitions if isinstance(node, OperationDefinitionNode))
    except (GraphQLError, StopIteration):
        return 1
    return max(1, round(sum(_requests(field, variables, parents=1) for field in operation.selection_set.selections) / 100))


def _requests(node: Any, variables: Mapping[str, Any], *, parents: int) -> int:
    """A connection is asked once for each parent; each of its `first` records is a parent of what lies below."""
    first = next((argument.value for argument in getattr(node, "arguments", None) or () if argument.name.value == "first"), None)
    here, below = 0, parents
    if first is not None:
        here = parents
        below = parents * int(first.value if isinstance(first, IntValueNode) else variables[first.name.value])
    selections = node.selection_set.selections if node.selection_set else ()
    return here + sum(_requests(field, variables, parents=below) for field in selections)


def _rate_limit(root: Any, info: GraphQLResolveInfo) -> dict[str, Any]:
    return {"cost": root["price"], "limit": LIMIT, "remaining": LIMIT - info.context.counts["points"], "resetAt": "2100-01-01T00:00:00Z"}


def _pull_requests(repository: dict[str, Any], info: GraphQLResolveInfo, **arguments: Any) -> dict[str, Any]:
    if arguments.get("orderBy") != {"field": "UPDATED_AT", "direction": "DESC"}:
        raise GraphQLError("this stand-in sorts pull requests by UPDATED_AT, DESC only")
    return _connection(repository["world"].pull_requests(info.context.clock), "updatedAt", **arguments)


def _deployments(repository: dict[str, Any], info: GraphQLResolveInfo, **arguments: Any) -> dict[str, Any]:
    if arguments.get("orderBy") != {"field": "CREATED_AT", "direction": "DESC"}:
        raise GraphQLError("this stand-in sorts deployments by CREATED_AT, DESC only")
    return _connection(repository["world"].deployments(info.context.clock), "createdAt", **arguments)


def _connection(rows: list[dict[str, Any]], key: str, *, first: int = 10, after: str | None = None, **_: Any) -> dict[str, Any]:
    """The cursor holds the sort key, as GitHub's do: a row that moves to the front is not met again behind it."""
    if first > LARGEST_PAGE:
        raise GraphQLError(f"Requesting {first} records exceeds the `first` limit of {LARGEST_PAGE} records.")
    if after:
        time, number = json.loads(base64.b64decode(after))
        rows_left = [row for row in rows if (row[key], row["databaseId"]) < (time, number)]
    else:
        rows_left = rows
    page = rows_left[:first]
    end = base64.b64encode(json.dumps([page[-1][key], page[-1]["databaseId"]]).encode()).decode() if page else None
    return {"totalCount": len(rows), "pageInfo": {"hasNextPage": len(rows_left) > first, "endCursor": end}, "nodes": page}


def _object(repository: dict[str, Any], info: GraphQLResolveInfo, expression: str) -> dict[str, Any] | None:
    world = repository["world"]
    oid = world.head(info.context.clock) if expression == "HEAD" else expression
    commit = world.commits.get(oid)
    return {**world.commit_row(commit), "world": world} if commit and commit.committed <= info.context.clock else None


def _history(commit: dict[str, Any], info: GraphQLResolveInfo, first: int = 10, after: str | None = None) -> dict[str, Any]:
    world = commit["world"]
    commits = world.history(commit["oid"])
    start = int(after.rpartition(" ")[2]) + 1 if after else 0
    page = commits[start : start + first]
    return {
        "totalCount": len(commits),
        "pageInfo": {"hasNextPage": start + first < len(commits), "endCursor": f"{commit['oid']} {start + len(page) - 1}"},
        "nodes": [world.commit_row(one) for one in page],
    }


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the caller counts."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        if path == "/_stand_in/clock":
            self.stand_in.clock = datetime.fromisoformat(json.loads(body)["now"]).astimezone(UTC)
            return self._json(200, {})
        if path == "/_stand_in/faults":
            self.stand_in.faults = json.loads(body)
            return self._json(200, {})
        payload = json.loads(body or b"{}")
        operation = str(payload.get("query", "")).partition("query ")[2].partition("(")[0].strip()
        if self._is_refused(operation):
            return None
        if path != "/graphql":
            return self._json(404, {"message": "Not Found"})
        answer = self.stand_in.query(payload)
        if self.stand_in.faults.get("bad_record") == operation:
            _spoil(answer)
        return self._json(200, answer)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/_stand_in/counts":
            return self._json(200, dict(self.stand_in.counts))
        if self._is_refused(url.path):
            return None
        parts = url.path.strip("/").split("/")
        world = self.stand_in.worlds.get("/".join(parts[1:3])) if parts[0] == "repos" else None
        if world is None or parts[3:] != ["actions", "runs"]:
            return self._json(404, {"message": "Not Found"})
        return self._runs(world, {name: values[0] for name, values in parse_qs(url.query).items()})

    def _runs(self, world: World, query: dict[str, str]) -> None:
        runs = world.workflow_runs(self.stand_in.clock)
        if since := query.get("created", "").removeprefix(">="):
            runs = [run for run in runs if run["created_at"] >= since]
        size, page = min(int(query.get("per_page", 30)), LARGEST_PAGE), int(query.get("page", 1))
        chosen = runs[(page - 1) * size : page * size]
        body = json.dumps({"total_count": len(runs), "workflow_runs": chosen}).encode()
        etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
        if self.headers.get("If-None-Match") == etag:  # costs nothing
            return self._send(304, b"", {"ETag": etag})
        self.stand_in.counts["points"] += 1
        headers = {"ETag": etag}
        if page * size < len(runs):
            address = self.path.partition("&page=")[0]
            headers["Link"] = f'<{self.stand_in.url}{address}&page={page + 1}>; rel="next"'
        return self._send(200, body, headers)

    def _is_refused(self, operation: str) -> bool:
        """Answers by itself where a fault or a missing token decides."""
        stand_in = self.stand_in
        with stand_in.lock:
            stand_in.counts["requests"] += 1
            stand_in.counts[operation] += 1
            faults, number = stand_in.faults, stand_in.counts["requests"]
            if faults.get("times") == 0:
                faults = {}
            elif "times" in faults:
                faults["times"] -= 1
        if faults.get("outage") or ("every" in faults and number % faults["every"] == 0):
            self._send(faults.get("status", 502), b"", {})
            return True
        if "retry_after" in faults:
            self._json(faults.get("status", 429), {"message": "API rate limit exceeded"}, {"Retry-After": str(faults["retry_after"])})
            return True
        if faults.get("garbage") == operation:
            self._send(200, b"<html>half a pa", {})
            return True
        if self.headers.get("Authorization", "").partition(" ")[2] in {"", "wrong"}:
            self._json(401, {"message": "Bad credentials"})
            return True
        return False

    def _json(self, status: int, answer: object, headers: Mapping[str, str] = {}) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json", **headers})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        remaining = LIMIT - self.stand_in.counts["points"]
        for name, value in {"X-RateLimit-Limit": str(LIMIT), "X-RateLimit-Remaining": str(max(1, remaining)), **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _spoil(answer: dict[str, Any]) -> None:
    """Give the last record of the page a creation time that is none."""
    repository = (answer.get("data") or {}).get("repository") or {}
    for connection in repository.values():
        if isinstance(connection, dict) and connection.get("nodes"):
            connection["nodes"][-1]["createdAt"] = "not a date"
