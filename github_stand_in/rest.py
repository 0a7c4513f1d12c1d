"""GitHub's REST API: a repository, its default branch, its workflow runs and their attempts."""

import hashlib
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlencode

from github_stand_in.call import Call, Reply
from github_stand_in.resolvers import LARGEST_PAGE, Asking
from github_stand_in.worlds.facts import FACTS_A_REPOSITORY, Row
from github_stand_in.worlds.world import World

DEFAULT_PAGE = 30
# If a request has one of these parameters, GitHub searches. A search returns at most 1,000 results.
FILTERS = ("actor", "branch", "check_suite_id", "created", "event", "head_sha", "status")
MOST_FOUND = 1000
NOT_FOUND = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}


def answer(asking: Asking, call: Call, base: str) -> Reply:
    """Answer a REST request. `base`: the address of the server's API, with which the addresses in the answer begin."""
    parts = call.path.strip("/").split("/")
    if call.method != "GET" or parts[0] not in {"repos", "repositories"}:
        return Reply(404, NOT_FOUND)
    name = "/".join(parts[1:3]) if parts[0] == "repos" else ""
    if name:
        world, rest = asking.worlds.find(name, asking.clock, asking.reader), parts[3:]
    else:
        number = int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0
        world, rest = asking.worlds.find_number(number, asking.clock, asking.reader), parts[2:]
    if world is None:
        return Reply(404, NOT_FOUND)
    if name and name.lower() != world.name_at(asking.clock).lower():
        address = f"{base}/{'/'.join(['repositories', str(world.number), *rest])}" + (f"?{urlencode(call.query)}" if call.query else "")
        return Reply(301, {"message": "Moved Permanently", "url": address}, {"Location": address})
    if rest[:1] == ["actions"] and "actions" in asking.reader.forbidden:
        return Reply(403, {"message": asking.reader.refusal, "status": "403"})
    return _of_repository(asking, world, rest, call, base)


def _of_repository(asking: Asking, world: World, rest: list[str], call: Call, base: str) -> Reply:
    number = int(rest[2]) - world.number * FACTS_A_REPOSITORY if len(rest) > 2 and rest[2].isdecimal() else 0
    row: Row | None = None
    match rest:
        case []:
            row = _repository(world, asking)
        case ["branches", *name] if name:
            return _branch("/".join(name), world, asking, base)
        case ["environments"]:
            return _environments(world, asking)
        case ["actions", "runs"]:
            return _runs(asking, world, call, base)
        case ["actions", "runs", _]:
            row = world.row("WFR", number, asking.clock)
        case ["actions", "runs", _, "attempts", attempt] if attempt.isdecimal():
            row = world.workflow_run_attempt(number, int(attempt), asking.clock)
    return Reply(200, dict(row)) if row else Reply(404, NOT_FOUND)


def _branch(name: str, world: World, asking: Asking, base: str) -> Reply:
    """Answer for the default branch, or redirect to it from its former names. Every other branch is unknown."""
    now = world.branch_now(unquote(name), asking.clock)
    if now is None:
        return Reply(404, NOT_FOUND)
    if now == unquote(name):
        return Reply(200, {"name": now, "commit": {"sha": world.head(asking.clock)}})
    address = f"{base}/repositories/{world.number}/branches/{quote(now, safe='')}"
    return Reply(301, {"message": "Moved Permanently", "url": address}, {"Location": address})


def _repository(world: World, asking: Asking) -> Row:
    name = world.name_at(asking.clock)
    return {
        "id": world.number,
        "node_id": world.node_id,
        "full_name": name,
        "name": name.partition("/")[2],
        "private": world.is_private,
        "archived": world.is_archived,
        "default_branch": world.default_branch(asking.clock),
    }


def _environments(world: World, asking: Asking) -> Reply:
    """Answer with the environments that the repository was deployed to. GitHub makes one at the first deployment to it."""
    names = sorted({row["environment"] for row in world.deployments(asking.clock) if row["environment"]})
    return Reply(200, {"total_count": len(names), "environments": [{"id": number, "name": name} for number, name in enumerate(names, 1)]})


def _runs(asking: Asking, world: World, call: Call, base: str) -> Reply:
    runs = [run for run in world.workflow_runs(asking.clock) if _is_asked_for(run, call.query)]
    found = runs[:MOST_FOUND] if any(name in call.query for name in FILTERS) else runs
    size, page = min(int(call.query.get("per_page", DEFAULT_PAGE)), LARGEST_PAGE), int(call.query.get("page", 1))
    chosen = [dict(run) for run in found[(page - 1) * size : page * size]]
    last = max(1, -(-len(found) // size))
    pages = {"prev": page - 1, "first": 1} if page > 1 else {}
    if page < last:
        pages |= {"next": page + 1, "last": last}
    links = [f'<{base}{call.path}?{urlencode({**call.query, "page": number})}>; rel="{name}"' for name, number in pages.items()]
    return Reply(200, {"total_count": len(runs), "workflow_runs": chosen}, {"Link": ", ".join(links)} if links else {})


def _is_asked_for(run: Row, query: Mapping[str, str]) -> bool:
    wanted = {"branch": run["head_branch"], "event": run["event"], "head_sha": run["head_sha"]}
    if any(query.get(name, value) != value for name, value in wanted.items()):
        return False
    if query.get("status", run["status"]) not in {run["status"], run["conclusion"]}:
        return False
    return _is_within(run["created_at"], query.get("created", ""))


def _is_within(time: str, created: str) -> bool:
    """Return whether a time is in the range `created`, in GitHub's syntax: >=day, <=day, >time, <time, from..until, or one day."""
    if ".." in created:
        begin, _, end = created.partition("..")
        return (begin == "*" or time >= begin) and (end == "*" or time[: len(end)] <= end)
    for mark, holds in ((">=", created[2:] <= time), ("<=", time[: len(created) - 2] <= created[2:])):
        if created.startswith(mark):
            return holds
    if created.startswith(">"):
        return time[: len(created) - 1] > created[1:]
    if created.startswith("<"):
        return time < created[1:]
    return time.startswith(created)


def conditional(reply: Reply, call: Call) -> Reply:
    """Return the reply with its ETag, or a 304 if the caller has sent the same ETag. An ETag is valid for one credential only."""
    if reply.status != 200:
        return reply
    known = call.authorization.encode() + reply.body + reply.headers.get("Link", "").encode()
    tag = f'W/"{hashlib.sha256(known).hexdigest()}"'
    if call.headers.get("If-None-Match") == tag:
        return Reply(304, b"", {"ETag": tag})
    reply.headers["ETag"] = tag
    return reply
