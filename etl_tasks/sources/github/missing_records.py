"""What a null in an answer means: a record that is gone from GitHub, or one that GitHub did not give.

A page that was asked for by id has the ids in its context, in the order of its nodes. A page of a list has, for the nulls
among its nodes, the ids that a second question named; whatever has no name is one record of the page that is lost.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.github import mapping
from etl_tasks.sources.github.streams import Stream

LOST = "GitHub gave null in the place of this record"


def records(stream: Stream, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
    """The records of a staged page in their order. Raises UnreadablePage."""
    match context.get("shape"):
        case "again":
            return _by_id(stream, content, context)
        case "looked":
            return iter([Good(fact) for fact in gone_facts(content, context)])
        case "rest":
            return mapping.facts(stream.shape(context)[1], mapping.nodes(content, stream.shape(context)[0]))
    return _listed(stream, content, context)


def _listed(stream: Stream, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
    path, fact = stream.shape(context)
    nodes = mapping.nodes(content, path)
    present = [node for node in nodes if node is not None]
    yield from mapping.facts(fact, present)
    for place in range(unnamed(nodes, context)):
        data = {"list": context.get("list", {}), "number": place}
        yield Bad(index=len(present) + place, key="", data=json.dumps(data), error=f"{fact}: {LOST}, and says nothing of its id", is_lost=True)


def unnamed(nodes: Sequence[Any], context: Mapping[str, Any]) -> int:
    return max(0, sum(node is None for node in nodes) - len(context.get("named", ())))


def _by_id(stream: Stream, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
    path, fact = stream.shape(context)
    nodes = mapping.nodes(content, path)
    asked = context.get("ids") or [""] * len(nodes)
    gone = {one["node_id"] for one in gone_facts(content, context)}
    for index, (node_id, node) in enumerate(zip(asked, nodes, strict=True)):
        if node_id in gone:
            yield Good({"node_id": node_id, "gone_at": context["at"]})
        elif not node:
            yield Bad(index=index, key=node_id, data=json.dumps({"id": node_id}), error=f"{fact}: {LOST}", is_lost=True)
        else:
            for one in mapping.facts(fact, [node]):
                yield one if isinstance(one, Good) else Bad(index=index, key=one.key, data=one.data, error=one.error)


def gone_facts(content: bytes, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of what was asked for by its id or number, what is there no more: deleted, or transferred to another repository."""
    decoded = json.loads(content)
    data, errors = decoded.get("data") or {}, _errors(decoded)
    found: list[dict[str, Any]] = []
    for place, node_id in enumerate(context.get("ids", ())):
        node = (data.get("nodes") or ())[place]
        if _is_gone(node, context, [error for error in errors if _is_of(error, ["nodes", place], node_id)]):
            found.append({"node_id": node_id, "gone_at": context["at"]})
    for number in context.get("numbers", ()):
        node = (data.get("repository") or {}).get(f"n{number}")
        if _is_gone(node, context, [error for error in errors if _is_of(error, ["repository", f"n{number}"], "")], number=number):
            found.append({"number": number, "gone_at": context["at"]})
    return found


def _errors(decoded: Mapping[str, Any]) -> list[dict[str, Any]]:
    errors = decoded.get("errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _is_of(error: Mapping[str, Any], path: Sequence[Any], node_id: str) -> bool:
    return list(error.get("path") or ())[: len(path)] == list(path) or bool(node_id and node_id in str(error.get("message", "")))


def _is_gone(node: Any, context: Mapping[str, Any], errors: Sequence[Mapping[str, Any]], *, number: int | None = None) -> bool:
    """A null with another error beside it is a record that GitHub could not give: it may be there."""
    if node is None:
        return all(error.get("type") == "NOT_FOUND" for error in errors)
    home = (node.get("repository") or {}).get("id")
    is_elsewhere = bool(home and context.get("repository")) and home != context["repository"]
    return is_elsewhere or (number is not None and node.get("number", number) != number)
