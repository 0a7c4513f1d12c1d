"""An HTTP server that answers like GitHub's GraphQL and REST APIs, from generated worlds and with faults on request."""

import gzip
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from graphql import GraphQLError
from graphql.execution import execute_sync

from github_stand_in import rest, schema
from github_stand_in.access import Access, Reader
from github_stand_in.budget import GRAPHQL, REST, Budget, Left
from github_stand_in.call import Call, Reply
from github_stand_in.cost import MOST_NODES, Price, price
from github_stand_in.executor import RowExecutor, read_row
from github_stand_in.faults import Faults
from github_stand_in.resolvers import Asking, Worlds
from github_stand_in.resolvers import schema as resolving_schema
from github_stand_in.worlds.facts import iso
from github_stand_in.worlds.world import World

LIMIT = 5000
HOUR_SECONDS = 3600.0
IDLE_SECONDS = 60
SMALLEST_GZIP = 1400
DRIPS = 50
NOBODY = Reader("")
NO_QUERY = Price(points=1, nodes=0)


class StandIn:
    """The server. Use it as `with StandIn({"acme/billing": world}) as github: … github.url`.

    `clock`: the server's time; answers contain what has happened until then. `latency_seconds`: the wait before each answer.
    `limit`, `reset_seconds`: how many points and requests a reader may use, and after how many seconds it may use as many again.
    `tokens`: by token, the repositories that it may read; every other token except "wrong" may read all. `forbidden`,
    `app_public_key`, `app_token_seconds`, `installations`: as in Access. `token_headers`: by token, the headers of each answer that
    describe it, such as X-OAuth-Scopes and GitHub-Authentication-Token-Expiration. `faults`: see github_stand_in/faults.py.

    `counts` contains: "requests" (all), "points" (of GraphQL), "rest" (answers of REST except 304), "not_modified", "refused",
    "most_at_once" (requests answered at the same time). For each operation it contains the number of requests under the
    operation's name, and its points under "points NAME". For each kind of fault it contains their number under "fault NAME".
    """

    def __init__(
        self,
        worlds: Mapping[str, World],
        *,
        clock: datetime | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_seconds: float = 0.0,
        limit: int = LIMIT,
        reset_seconds: float = HOUR_SECONDS,
        tokens: Mapping[str, Collection[str]] | None = None,
        forbidden: Mapping[str, Collection[str]] | None = None,
        app_public_key: str | bytes | None = None,
        app_token_seconds: float = HOUR_SECONDS,
        installations: Mapping[str, Collection[str] | None] | None = None,
        token_headers: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.token_headers = token_headers or {}
        self.worlds = Worlds(worlds)
        self.clock = clock or max(world.end for world in worlds.values())
        self.latency_seconds = latency_seconds
        self.budget = Budget(limit=limit, reset_seconds=reset_seconds)
        self.access = Access(
            tokens=tokens or {},
            forbidden=forbidden or {},
            app_public_key=app_public_key,
            app_token_seconds=app_token_seconds,
            installations=installations,
        )
        self.faults = {}
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.at_once = 0
        self.schema = resolving_schema()
        server = self

        class Handler(_Handler):
            stand_in = server

        self._server = _Server((host, port), Handler)
        self.url = f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve_forever(self) -> None:
        self._server.serve_forever()

    @property
    def faults(self) -> dict[str, Any]:
        return self._faults.settings

    @faults.setter
    def faults(self, settings: dict[str, Any]) -> None:
        self._faults = Faults(settings)

    # --- one request ----------------------------------------------------------------------------------------------

    def respond(self, call: Call) -> Reply:
        if call.path.startswith("/_stand_in/"):
            return self._lever(call)
        with self.lock:
            self.at_once += 1
            self.counts["most_at_once"] = max(self.counts["most_at_once"], self.at_once)
            for name in {"requests", *({call.operation, call.path} if not call.is_query else {call.operation})}:
                self.counts[name] += 1
            number = self.counts["requests"]
        try:
            return self._respond(call, number)
        finally:
            with self.lock:
                self.at_once -= 1

    def _respond(self, call: Call, number: int) -> Reply:
        faults = self._faults
        strike = faults.strike(call, number)
        if strike.name:
            self._count(f"fault {strike.name}")
        if seconds := self.latency_seconds + faults.slow_seconds:
            time.sleep(seconds)
        reader = self.access.reader(call.authorization)
        resource = GRAPHQL if call.is_query else REST
        if strike.refusal:
            self._charge(call, reader or NOBODY, 1)
            self._count("refused")
            reply = strike.refusal
        elif call.method == "POST" and call.path.startswith("/app/installations/"):
            return self._app_token(call)
        elif reader is None:
            self._count("refused")
            reply = Reply(401, {"message": "Bad credentials", "status": "401"})
        else:
            reply = self._answer(call, reader, faults)
        of_token = self.token_headers.get(reader.name, {}) if reader else {}
        reply.headers = {**self.budget.left((reader or NOBODY).name, resource).headers, **of_token, **reply.headers}
        if strike.damage == "cut":
            reply.is_cut = True
        elif strike.damage == "drip":
            reply.drip_seconds = faults.drip_seconds
        elif strike.damage == "truncated":
            reply = Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers)
        return reply

    def _answer(self, call: Call, reader: Reader, faults: Faults) -> Reply:
        if call.path == "/rate_limit":
            return self._rate_limit(reader)
        left = self.budget.left(reader.name, GRAPHQL if call.is_query else REST)
        if left.remaining <= 0:
            self._count("refused")
            return _spent(call, reader)
        if call.is_query:
            reply = Reply(200, self._query(call, reader, left))
            faults.spoil(call, reply.content)
        else:
            plain = rest.answer(self._asking(reader, left), call, f"{self.url}{call.prefix}")
            faults.spoil(call, plain.content)
            reply = rest.conditional(plain, call)
            if reply.status == 304:
                self._count("not_modified")
            else:
                self._charge(call, reader, 1)
        self.clock += faults.shift(call)
        return reply

    def _query(self, call: Call, reader: Reader, left: Left) -> dict[str, Any]:
        document = schema.document(str(call.payload.get("query")))
        if isinstance(document, tuple):
            self._charge(call, reader, 1)
            return {"errors": [_error(error) for error in document]}
        cost = price(document, call.variables)
        self._charge(call, reader, cost.points)
        if cost.nodes > MOST_NODES:
            message = f"This query requests up to {cost.nodes:,} possible nodes which exceeds the maximum limit of {MOST_NODES:,}."
            return {"errors": [{"type": "MAX_NODE_LIMIT_EXCEEDED", "message": message}]}
        result = execute_sync(
            self.schema,
            document,
            root_value={},
            context_value=self._asking(reader, left, cost),
            variable_values=call.variables,
            field_resolver=read_row,
            executor_class=RowExecutor,
        )
        errors = {"errors": [_error(error) for error in result.errors]} if result.errors else {}
        # GitHub leaves `data` out if the variables are wrong.
        return errors if result.data is None and any(not error.path for error in result.errors or ()) else {"data": result.data, **errors}

    def _asking(self, reader: Reader, left: Left, cost: Price = NO_QUERY) -> Asking:
        used = min(left.limit, left.used + cost.points)
        row = {
            "cost": cost.points,
            "limit": left.limit,
            "nodeCount": cost.nodes,
            "remaining": left.limit - used,
            "resetAt": iso(datetime.fromtimestamp(left.reset, UTC)),
            "used": used,
        }
        return Asking(self.worlds, self.clock, reader, row)

    def _rate_limit(self, reader: Reader) -> Reply:
        resources = {}
        for name in (REST, GRAPHQL):
            left = self.budget.left(reader.name, name)
            resources[name] = {"limit": left.limit, "used": left.used, "remaining": left.remaining, "reset": left.reset}
        return Reply(200, {"resources": resources, "rate": resources[REST]})

    def _app_token(self, call: Call) -> Reply:
        parts = call.path.strip("/").split("/")
        if len(parts) != 4 or parts[3] != "access_tokens":
            return Reply(404, rest.NOT_FOUND)
        status, content = self.access.installation_token(parts[2], call.authorization)
        if status != 201:
            self._count("refused")
        return Reply(status, content)

    def _charge(self, call: Call, reader: Reader, points: int) -> None:
        self.budget.spend(reader.name, GRAPHQL if call.is_query else REST, points)
        self._count("points" if call.is_query else "rest", points)
        if call.is_query:
            self._count(f"points {call.operation}", points)

    def _count(self, name: str, by: int = 1) -> None:
        with self.lock:
            self.counts[name] += by

    def _lever(self, call: Call) -> Reply:
        match call.method, call.path.removeprefix("/_stand_in/"):
            case "POST", "clock":
                self.clock = datetime.fromisoformat(call.payload["now"]).astimezone(UTC)
            case "POST", "faults":
                self.faults = call.payload
            case "GET", "counts":
                return Reply(200, dict(self.counts))
            case _:
                return Reply(404, rest.NOT_FOUND)
        return Reply(200, {})


def _spent(call: Call, reader: Reader) -> Reply:
    message = f"API rate limit exceeded for {reader.name or 'you'}."
    if call.is_query:
        return Reply(200, {"errors": [{"type": "RATE_LIMITED", "message": message}]})
    return Reply(403, {"message": message, "documentation_url": "https://docs.github.com/rest"})


def _error(error: GraphQLError) -> dict[str, Any]:
    extensions = error.extensions or {}
    path = {"path": error.path} if error.path else {}
    locations = [{"line": place.line, "column": place.column} for place in error.locations or ()]
    return {**extensions, **path, "locations": locations, "message": error.message}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore an error because the caller closed the connection. Report every other error, because it is a bug of this server."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body are sent with one write
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, because `counts` records the requests."""

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(self.stand_in.respond(Call(self.command, self.path, self.headers, body)))

    def _send(self, reply: Reply) -> None:
        body, headers = reply.body, dict(reply.headers)
        if len(body) >= SMALLEST_GZIP and "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, 1, mtime=0), "gzip"
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        for name, value in headers.items():
            self.send_header(name, value)
        if reply.status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if reply.drip_seconds:
            self._drip(body, reply.drip_seconds)
        else:
            self.wfile.write(body[: math.ceil(len(body) / 2)] if reply.is_cut else body)
        self.close_connection = self.close_connection or reply.is_cut

    def _drip(self, body: bytes, seconds: float) -> None:
        size = max(1, math.ceil(len(body) / DRIPS))
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            self.wfile.flush()
            time.sleep(seconds / DRIPS)
