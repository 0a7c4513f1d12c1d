"""The stand-in for GitHub of the benchmark of a night: GraphQL for the product, and the lists of REST for a rival, of the same generated worlds.

Each answer is made and compressed once, and kept. So this process uses little CPU time in the measured rounds, and is not the bottleneck.
"""

import argparse
import asyncio
import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from github_stand_in.call import Call, Reply
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import add_day, exact_world
from github_stand_in.worlds.facts import Row
from github_stand_in.worlds.world import World

UNLIMITED = 10**9
SMALLEST_GZIP = 1400
PER_PAGE = 100
# Headers of a request on which its answer depends.
READ = ("authorization", "if-none-match")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--worlds", type=json.loads, required=True, help="by owner/name, the arguments of exact_world; those of add_day as 'news'")
    parser.add_argument("--clock", type=datetime.fromisoformat, required=True, help="the worlds' end; the day of news follows it")
    parser.add_argument("--address", type=Path, required=True, help="the file to which the address is written")
    options = parser.parse_args()
    worlds = {name: _world(name, dict(size), options.clock) for name, size in options.worlds.items()}
    asyncio.run(serve(Answers(worlds, options.clock), options.address))


def _world(name: str, size: dict[str, Any], end: datetime) -> World:
    news = size.pop("news", None)
    world = exact_world(name, end=end, **size)
    if news is not None:
        add_day(world, end + timedelta(days=1), **news)
    return world


async def serve(answers: "Answers", address: Path) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", 0, backlog=128)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    answers.url = answers.stand_in.url = url
    partial = address.with_suffix(".partial")
    partial.write_text(url)
    partial.rename(address)
    await server.serve_forever()


class Answers:
    """The answers to requests, as the bytes that are sent. `latency_seconds`: the wait before each. `counts`: the requests since the last reset."""

    def __init__(self, worlds: dict[str, World], clock: datetime) -> None:
        self.worlds, self.url = worlds, ""
        self.stand_in = StandIn(worlds, clock=clock, limit=UNLIMITED)
        self.latency_seconds = 0.0
        self.counts: Counter[str] = Counter()
        self._kept: dict[Any, bytes] = {}

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[bytes, float]:
        """Return the bytes of an answer, and how long to wait before they are sent."""
        if target.startswith("/_bench/"):
            return _encoded(Reply(200, self._lever(target.removeprefix("/_bench/"), json.loads(body or b"{}")))), 0.0
        is_compressed = "gzip" in headers.get("accept-encoding", "")
        key = (self.stand_in.clock, method, target, body, is_compressed, *(headers.get(name) for name in READ))
        if (kept := self._kept.get(key)) is None:
            call = Call(method, target, {name.title(): headers[name] for name in READ if name in headers}, body)
            kept = self._kept[key] = _encoded(self._listed(call) or self.stand_in.respond(call), is_compressed=is_compressed)
            self.counts["answers made"] += 1
        self.counts["requests"] += 1
        return kept, self.latency_seconds

    def _lever(self, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        match name:
            case "counts":
                found = dict(self.counts) | {"process": os.getpid()}
                self.counts.clear()
                return found
            case "latency":
                self.latency_seconds = float(settings["seconds"])
            case "clock":
                self.stand_in.clock = datetime.fromisoformat(settings["now"])
        return {}

    def _listed(self, call: Call) -> Reply | None:
        """Return a page of a list of REST; None if the request is for anything else."""
        parts = call.path.strip("/").split("/")
        world = self.worlds.get("/".join(parts[1:3])) if parts[0] == "repos" else None
        if world is None or call.method != "GET" or not (rows := rest_list(world, parts[3:], self.stand_in.clock)):
            return None
        query = {name: values[0] for name, values in parse_qs(urlsplit(call.address).query).items()}
        size, number = min(int(query.get("per_page", 30)), PER_PAGE), int(query.get("page", 1))
        found = rows()
        last = max(1, -(-len(found) // size))
        pages = {"next": number + 1, "last": last} if number < last else {}
        links = ", ".join(f'<{self.url}{call.path}?per_page={size}&page={page}>; rel="{name}"' for name, page in pages.items())
        return Reply(200, found[(number - 1) * size : number * size], {"Link": links} if links else {})


# --- the lists of REST ------------------------------------------------------------------------------------------------
# A record has only the plain fields that the product stores, too: 2 to 11 of the 30 to 60 that GitHub sends. That is to the rival's advantage.


def rest_list(world: World, parts: list[str], clock: datetime) -> Callable[[], list[Row]] | None:
    match parts:
        case ["pulls"]:
            return lambda: [pull(row) for row in world.pull_requests(clock)]
        case ["issues"]:  # as at GitHub, each pull request is an issue, too
            return lambda: [issue(row) for row in (*world.issues(clock), *world.pull_requests(clock))]
        case ["commits"]:
            return lambda: [commit(world.commit_row(one)) for one in world.history(world.head(clock) or "")]
        case ["releases"]:
            return lambda: [release(row) for row in world.releases(clock)]
        case ["deployments"]:
            return lambda: [deployment(row) for row in world.deployments(clock)]
        case ["deployments", number, "statuses"]:
            return lambda: _of(world, "DE", number, clock, statuses)
        case ["pulls", number, "reviews"]:
            return lambda: _of(world, "PR", number, clock, reviews)
        case ["pulls", number, "commits"]:
            return lambda: _of(world, "PR", number, clock, commits)
    return None


def _of(world: World, kind: str, number: str, clock: datetime, items: Callable[[Row], Iterator[Row]]) -> list[Row]:
    place = int(number) % 100_000  # a deployment's id contains the number of its repository
    row = world.row(kind, place, clock)
    return list(items(row)) if row else []


def issue(row: Row) -> Row:
    return {
        "id": row["databaseId"],
        "number": row["number"],
        "title": row["title"],
        "state": "open" if row["state"] == "OPEN" else "closed",
        "user": row["author"]["login"],
        "html_url": row["url"],
        "created_at": row["createdAt"],
        "updated_at": row["updatedAt"],
        "closed_at": row["closedAt"],
    }


def pull(row: Row) -> Row:
    return {**issue(row), "merged_at": row["mergedAt"], "merge_commit_sha": row["mergeCommit"] and row["mergeCommit"]["oid"]}


def commit(row: Row) -> Row:
    return {"sha": row["oid"], "committed_at": row["committedDate"]}


def release(row: Row) -> Row:
    return {
        "id": row["databaseId"],
        "tag_name": row["tagName"],
        "name": row["name"],
        "prerelease": row["isPrerelease"],
        "html_url": row["url"],
        "created_at": row["createdAt"],
        "published_at": row["publishedAt"],
    }


def deployment(row: Row) -> Row:
    return {
        "id": row["databaseId"],
        "sha": row["commitOid"],
        "environment": row["environment"],
        "task": row["task"],
        "created_at": row["createdAt"],
        "updated_at": row["updatedAt"],
    }


def statuses(row: Row) -> Iterator[Row]:
    for number, status in enumerate(row["statuses"]["nodes"]):
        yield {"id": 10 * row["databaseId"] + number, "state": status["state"].lower(), "created_at": status["createdAt"]}


def reviews(row: Row) -> Iterator[Row]:
    for number, review in enumerate(row["reviews"]["nodes"]):
        author = review["author"] and review["author"]["login"]
        yield {"id": 10 * row["databaseId"] + number, "state": review["state"], "user": author, "submitted_at": review["submittedAt"]}


def commits(row: Row) -> Iterator[Row]:
    for node in row["commits"]["nodes"]:
        one = node["commit"]
        yield {"sha": one["oid"], "authored_at": one["authoredDate"], "committed_at": one["committedDate"]}


# --- HTTP -------------------------------------------------------------------------------------------------------------


def _encoded(reply: Reply, *, is_compressed: bool = False) -> bytes:
    body, headers = reply.body, {**reply.headers, "Content-Type": "application/json; charset=utf-8"}
    if is_compressed and len(body) >= SMALLEST_GZIP:
        body, headers["Content-Encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
    headers["Content-Length"] = str(len(body))
    head = f"HTTP/1.1 {reply.status} -\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


class Connection(asyncio.Protocol):
    """A connection that stays open. The caller sends its next request when it has the answer to the last one."""

    def __init__(self, answers: Answers) -> None:
        self.answers, self.received = answers, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, ends, body = self.received.partition(b"\r\n\r\n")
        if not ends:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if len(body) < int(headers.get("content-length", 0)):
            return
        self.received = b""
        method, target, _ = first.split(" ", 2)
        answer, wait = self.answers.answer(method, target, headers, body)
        if wait:
            asyncio.get_running_loop().call_later(wait, self.transport.write, answer)
        else:
            self.transport.write(answer)


if __name__ == "__main__":
    main()
