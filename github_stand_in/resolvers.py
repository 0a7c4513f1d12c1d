"""The resolvers of GitHub's schema, for the repository, its lists, and single records by number or id."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import takewhile
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema

from github_stand_in import schema as published
from github_stand_in.access import Reader
from github_stand_in.worlds.facts import Row, iso
from github_stand_in.worlds.global_ids import parse_global_id
from github_stand_in.worlds.world import World

LARGEST_PAGE = 100
MOST_IDS = 100
Keys = Sequence[tuple[str, int]]
FIELD_OF_KIND = {"PR": "pullRequests", "I": "issues", "DE": "deployments", "RE": "releases", "WFR": "actions"}


class Worlds:
    """The generated repositories, by number and by every name that they have had."""

    def __init__(self, worlds: Mapping[str, World]) -> None:
        self.by_name = dict(worlds)
        self._names = {name.lower(): world for name, world in worlds.items()}
        self.by_number = {world.number: world for world in worlds.values()}

    def find(self, name: str, clock: datetime, reader: Reader) -> World | None:
        """Return the world, or None if it was deleted or the reader may not see it. GitHub does not distinguish the two cases."""
        world = self._names.get(name.lower()) or next(
            (one for one in self.by_name.values() if one.renamed and name.lower() in (known.lower() for known in one.names_by(clock))), None
        )
        return world if world and not world.is_gone(clock) and reader.may_read(world) else None

    def find_number(self, number: int, clock: datetime, reader: Reader) -> World | None:
        world = self.by_number.get(number)
        return world if world and not world.is_gone(clock) and reader.may_read(world) else None


@dataclass(frozen=True, slots=True)
class Asking:
    """The context of one query: the repositories, the current time, who asks (a token with its rights), and the rate limit."""

    worlds: Worlds
    clock: datetime
    reader: Reader
    rate_limit: Row


@lru_cache(maxsize=1)
def schema() -> GraphQLSchema:
    """Return GitHub's published schema with the resolvers of this module."""
    found = published.load()
    for place, resolve in RESOLVERS.items():
        type_name, _, field_name = place.partition(".")
        found.type_map[type_name].fields[field_name].resolve = resolve  # type: ignore[attr-defined]
    return found


# --- the query's own fields -------------------------------------------------------------------------------------------


def _repository(_: Any, info: GraphQLResolveInfo, owner: str, name: str, *, followRenames: bool = True) -> Row:  # noqa: N803
    asking: Asking = info.context
    full_name = f"{owner}/{name}"
    world = asking.worlds.find(full_name, asking.clock, asking.reader)
    if world is None or not (followRenames or world.name_at(asking.clock).lower() == full_name.lower()):
        raise GraphQLError(f"Could not resolve to a Repository with the name '{full_name}'.", extensions={"type": "NOT_FOUND"})
    return repository_row(world, asking.clock)


def repository_row(world: World, clock: datetime) -> Row:
    name, head = world.name_at(clock), world.head(clock)
    target = {**world.commit_row(world.commits[head]), "world": world} if head else None
    return {
        "__typename": "Repository",
        "world": world,
        "id": world.node_id,
        "databaseId": world.number,
        "name": name.partition("/")[2],
        "nameWithOwner": name,
        "url": f"https://github.com/{name}",
        "createdAt": iso(world.start),
        "isArchived": world.is_archived,
        "isPrivate": world.is_private,
        "isEmpty": head is None,
        "defaultBranchRef": {"__typename": "Ref", "name": world.default_branch(clock), "target": target} if target else None,
    }


def _rate_limit(_: Any, info: GraphQLResolveInfo, **__: Any) -> Row:
    found: Row = info.context.rate_limit
    return found


def _node(_: Any, info: GraphQLResolveInfo, id: str) -> Row:
    found = _record(info.context, id)
    if isinstance(found, GraphQLError):
        raise found
    return found


def _nodes(_: Any, info: GraphQLResolveInfo, ids: Sequence[str]) -> list[Row | GraphQLError]:
    """Return a row for each id, or an error for an unknown id. In the answer, the executor writes null for it and adds the error with its path."""
    if len(ids) > MOST_IDS:
        message = f"You may not provide more than {MOST_IDS} node ids; you provided {len(ids)}."
        raise GraphQLError(message, extensions={"type": "ARGUMENT_LIMIT"})
    return [_record(info.context, one) for one in ids]


def _record(asking: Asking, node_id: str) -> Row | GraphQLError:
    kind, repository, number = parse_global_id(node_id) or ("", 0, 0)
    world = asking.worlds.find_number(repository, asking.clock, asking.reader)
    if world and FIELD_OF_KIND.get(kind) in asking.reader.forbidden:
        return _forbidden(asking.reader)
    row = None
    if world and kind == "R":
        row = repository_row(world, asking.clock)
    elif world:
        row = world.row(kind, number, asking.clock) or world.transferred(kind, number, asking.clock)
    if row is None:
        return GraphQLError(f"Could not resolve to a node with the global id of '{node_id}'", extensions={"type": "NOT_FOUND"})
    return _run_row(row) if kind == "WFR" else row


def _run_row(run: Row) -> Row:
    """Return a workflow run's REST record with GraphQL's field names."""
    return {
        "__typename": "WorkflowRun",
        "id": run["node_id"],
        "databaseId": run["id"],
        "runNumber": run["run_number"],
        "event": run["event"],
        "createdAt": run["created_at"],
        "updatedAt": run["updated_at"],
        "url": run["html_url"],
    }


# --- lists ------------------------------------------------------------------------------------------------------------


def page(rows: Sequence[Row], info: GraphQLResolveInfo, arguments: Mapping[str, Any], keys: Keys | None = None) -> Row:
    """Return one page of a list. `rows`: the whole list. `keys`: the sort key of each row; not needed if the list only grows at its end.

    As at GitHub, the cursor contains the sort key of the page's last row. So the next page begins at the right row even if other
    rows have moved to the front of the list.
    """
    first, after = arguments.get("first"), arguments.get("after")
    if first is None:
        message = f"You must provide a `first` or `last` value to properly paginate the `{info.field_name}` connection."
        raise GraphQLError(message, extensions={"type": "MISSING_PAGINATION_BOUNDARIES"})
    if not 0 <= first <= LARGEST_PAGE:
        message = f"Requesting {first} records on the `{info.field_name}` connection exceeds the `first` limit of {LARGEST_PAGE} records."
        raise GraphQLError(message, extensions={"type": "EXCESSIVE_PAGINATION"})
    start = _start(after, keys) if after else 0
    chosen = rows[start : start + first]
    end = start + len(chosen)
    cursor = _cursor((end,) if keys is None else keys[end - 1]) if chosen else None
    return {
        "totalCount": len(rows),
        "pageInfo": {"hasNextPage": end < len(rows), "hasPreviousPage": start > 0, "endCursor": cursor},
        "nodes": chosen,
    }


def _cursor(position: Sequence[Any]) -> str:
    return base64.b64encode(json.dumps(position).encode()).decode()


def _start(after: str, keys: Keys | None) -> int:
    try:
        position = json.loads(base64.b64decode(after, validate=True))
        if keys is None:
            return int(position[0])
        time, number = position
        return sum(1 for _ in takewhile(lambda key: key >= (time, number), keys))
    except (ValueError, TypeError, IndexError):
        raise GraphQLError(f"`{after}` does not appear to be a valid cursor.", extensions={"type": "INVALID_CURSOR_ARGUMENTS"}) from None


def _refuse_others(info: GraphQLResolveInfo, arguments: Mapping[str, Any], *known: str) -> None:
    """Refuse a query with an argument that this server does not implement, instead of ignoring it."""
    for argument in info.field_nodes[0].arguments or ():
        name = argument.name.value
        if name not in {"first", "after", *known} and arguments.get(name) is not None:
            raise GraphQLError(f"this stand-in does not know the argument {name} of {info.parent_type.name}.{info.field_name}")


def _sorted_list(kind: str, order: str) -> Callable[..., Row]:
    """Return the resolver of one of the repository's lists. It refuses every order except `order`, which the product's queries use."""

    def resolve(repository: Row, info: GraphQLResolveInfo, **arguments: Any) -> Row:
        _allow(info)
        _refuse_others(info, arguments, "orderBy", "filterBy")
        if arguments.get("orderBy") != {"field": order, "direction": "DESC"}:
            raise GraphQLError(f"this stand-in sorts {info.field_name} by {order}, DESC only")
        listed = repository["world"].listed(kind, info.context.clock)
        filters = {name: value for name, value in (arguments.get("filterBy") or {}).items() if value not in (None, False)}
        since = filters.pop("since", None)
        if filters:
            raise GraphQLError(f"this stand-in filters {info.field_name} by since only")
        if since is None:
            return page(listed, info, arguments, listed.keys)
        earliest = iso(datetime.fromisoformat(since).astimezone(UTC))
        count = sum(1 for _ in takewhile(lambda key: key[0] >= earliest, listed.keys))
        return page(_Lazily(listed.facts[:count], listed.make), info, arguments, listed.keys[:count])

    return resolve


def _own_list(row: Row, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    """Resolve a list inside a record. The whole list is part of the record's row."""
    _refuse_others(info, arguments)
    return page(row[info.field_name]["nodes"], info, arguments)


def _timeline(row: Row, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    _refuse_others(info, arguments, "itemTypes")
    types = {kind.title().replace("_", "") for kind in arguments.get("itemTypes") or ()}
    return page([event for event in row["timelineItems"]["nodes"] if not types or event["__typename"] in types], info, arguments)


def _history(commit: Row, info: GraphQLResolveInfo, **arguments: Any) -> Row:
    _refuse_others(info, arguments)
    if "world" not in commit:
        raise GraphQLError("this stand-in knows the history of Repository.object and of the default branch only")
    world: World = commit["world"]
    return page(_Lazily(world.history(commit["oid"]), world.commit_row), info, arguments)


class _Lazily(Sequence[Row]):
    """A sequence that makes a row when it is accessed, because a history is long and most queries read only its first page."""

    def __init__(self, items: Sequence[Any], row: Callable[[Any], Row]) -> None:
        self.items, self.row = items, row

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return [self.row(item) for item in self.items[index]] if isinstance(index, slice) else self.row(self.items[index])


# --- single records of a repository -----------------------------------------------------------------------------------


def _allow(info: GraphQLResolveInfo) -> None:
    if info.field_name in info.context.reader.forbidden:
        raise _forbidden(info.context.reader)


def _forbidden(reader: Reader) -> GraphQLError:
    return GraphQLError(reader.refusal, extensions={"type": "FORBIDDEN", "extensions": {"saml_failure": False}})


def _one(kind: str, type_name: str, list_name: str) -> Callable[..., Row]:
    def resolve(repository: Row, info: GraphQLResolveInfo, number: int) -> Row:
        if list_name in info.context.reader.forbidden:
            raise _forbidden(info.context.reader)
        row: Row | None = repository["world"].row(kind, number, info.context.clock)
        if row is None:
            raise GraphQLError(f"Could not resolve to {type_name} with the number of {number}.", extensions={"type": "NOT_FOUND"})
        return row

    return resolve


def _object(repository: Row, info: GraphQLResolveInfo, *, expression: str | None = None, oid: str | None = None) -> Row | None:
    _allow(info)
    world: World = repository["world"]
    main = world.default_branch(info.context.clock)
    wanted = oid or (world.head(info.context.clock) if expression in {"HEAD", main, f"refs/heads/{main}"} else expression)
    commit = world.commits.get(wanted or "")
    return {**world.commit_row(commit), "world": world} if commit and commit.committed <= info.context.clock else None


def _default_branch(repository: Row, info: GraphQLResolveInfo) -> Row | None:
    _allow(info)
    found: Row | None = repository["defaultBranchRef"]
    return found


def _state_reason(issue: Row, info: GraphQLResolveInfo, *, enableDuplicate: bool = False) -> str | None:  # noqa: N803
    reason: str | None = issue["stateReason"]
    return "NOT_PLANNED" if reason == "DUPLICATE" and not enableDuplicate else reason


RESOLVERS: dict[str, Callable[..., Any]] = {
    "Query.repository": _repository,
    "Query.rateLimit": _rate_limit,
    "Query.node": _node,
    "Query.nodes": _nodes,
    "Repository.pullRequests": _sorted_list("PR", "UPDATED_AT"),
    "Repository.issues": _sorted_list("I", "UPDATED_AT"),
    "Repository.deployments": _sorted_list("DE", "CREATED_AT"),
    "Repository.releases": _sorted_list("RE", "CREATED_AT"),
    "Repository.pullRequest": _one("PR", "a PullRequest", "pullRequests"),
    "Repository.issue": _one("I", "an Issue", "issues"),
    "Repository.object": _object,
    "Repository.defaultBranchRef": _default_branch,
    "PullRequest.labels": _own_list,
    "PullRequest.commits": _own_list,
    "PullRequest.reviews": _own_list,
    "PullRequest.files": _own_list,
    "PullRequest.closingIssuesReferences": _own_list,
    "PullRequest.timelineItems": _timeline,
    "Issue.labels": _own_list,
    "Issue.timelineItems": _timeline,
    "Issue.stateReason": _state_reason,
    "Deployment.statuses": _own_list,
    "Commit.parents": _own_list,
    "Commit.history": _history,
}
