"""Decide what a null in the place of a record means: the record is gone (deleted or transferred), or lost (GitHub could not return it).

The context of a page of records by id contains the requested ids ("ids"), in the order of the page's nodes. The context of a
page of a list may contain ids of its null records ("named"), which a second query found; those records are requested later
by id. Each further null in a page of a list is a lost record.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etl_tasks.outcomes import Bad, Good, UnreadablePage
from etl_tasks.sources.github import mapping
from etl_tasks.sources.github.raw_values import as_list, as_object
from etl_tasks.sources.github.streams import BY_ID, DEPLOYED_HISTORY, EXISTENCE, NEXT_PAGES, Stream

LISTS = (None, DEPLOYED_HISTORY)  # the shapes of pages with a list of whole records
LOST = "GitHub gave null in the place of this record"


def records(stream: Stream, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
    """Yield Good or Bad for each record of a staged page. Raises UnreadablePage if the page has no records at the expected place."""
    shape = context.get("shape")
    if shape == BY_ID:
        return _records_by_id(stream, content, context)
    if shape == EXISTENCE:
        return iter([Good(fact) for fact in gone_facts(content, context)])
    path = stream.path_in(context)
    if shape in LISTS and (good := mapping.facts_of_page(stream.fact_of(context), content, path)) is not None:
        return iter(good)
    nodes = mapping.nodes(content, path)
    if shape == NEXT_PAGES:
        return mapping.to_facts(stream.fact_of(context), nodes)
    return _records_of_list(stream.fact_of(context), nodes, context)


def _records_of_list(fact: str, nodes: Sequence[Any], context: Mapping[str, Any]) -> Iterator[Good | Bad]:
    present = [node for node in nodes if node is not None]
    yield from mapping.to_facts(fact, present)
    for number in range(nulls_without_id(nodes, context)):
        data = {"list": context.get("list", {}), "number": number}
        yield Bad(index=len(present) + number, key="", data=json.dumps(data), error=f"{fact}: {LOST}, and says nothing of its id", is_lost=True)


def nulls_without_id(nodes: Sequence[Any], context: Mapping[str, Any]) -> int:
    """Return how many nulls in a list's page stand for records whose id is not known. `nodes`: all nodes of the page."""
    return max(0, sum(node is None for node in nodes) - len(context.get("named", ())))


def _records_by_id(stream: Stream, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
    answer = mapping.decoded(content)
    fact, nodes = stream.fact_of(context), mapping.nodes_in(answer, stream.path_in(context))
    ids = context.get("ids") or [""] * len(nodes)
    if len(nodes) != len(ids):
        raise UnreadablePage(f"the answer has {len(nodes)} nodes for {len(ids)} ids")
    gone = {found["node_id"] for found in gone_facts_in(answer, context)}
    for index, (node_id, node) in enumerate(zip(ids, nodes, strict=True)):
        if node_id in gone:
            yield Good({"node_id": node_id, "gone_at": context["at"]})
        elif not node:
            yield Bad(index=index, key=node_id, data=json.dumps({"id": node_id}), error=f"{fact}: {LOST}", is_lost=True)
        else:
            for outcome in mapping.to_facts(fact, [node]):
                yield outcome if isinstance(outcome, Good) else Bad(index=index, key=outcome.key, data=outcome.data, error=outcome.error)


def gone_facts(content: bytes, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a staged page that are gone, as `gone_facts_in` does. Raises UnreadablePage also if the page is not JSON."""
    return gone_facts_in(mapping.decoded(content), context)


def gone_facts_in(answer: Any, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the records that were deleted or transferred to another repository: the id or number of each, and when that was found.

    `answer`: the decoded answer to a request for records by id or number, which are in `context`. Raises UnreadablePage if the answer does
    not say of each record whether it is there.
    """
    data, errors = as_object(as_object(answer).get("data")), [error for error in as_list(as_object(answer).get("errors")) if isinstance(error, dict)]
    found: list[dict[str, Any]] = []
    ids, numbers = context.get("ids", ()), context.get("numbers", ())
    nodes, by_name = mapping.nodes_in(answer, ("data", "nodes")) if ids else [], as_object(data.get("repository"))
    missing = [f"n{number}" for number in numbers if f"n{number}" not in by_name]
    if len(nodes) != len(ids) or missing:
        raise UnreadablePage(f"the answer has {len(nodes)} nodes for {len(ids)} ids, and nothing at {missing or 'no name'}")
    for index, node_id in enumerate(ids):
        node = nodes[index]
        if _is_gone(node, context, [error for error in errors if _is_about(error, ["nodes", index], node_id)]):
            found.append({"node_id": node_id, "gone_at": context["at"]})
    for number in numbers:
        node = by_name[f"n{number}"]
        if _is_gone(node, context, [error for error in errors if _is_about(error, ["repository", f"n{number}"], "")], number=number):
            found.append({"number": number, "gone_at": context["at"]})
    return found


def _is_about(error: Mapping[str, Any], path: Sequence[Any], node_id: str) -> bool:
    return as_list(error.get("path"))[: len(path)] == list(path) or bool(node_id and node_id in str(error.get("message", "")))


def _is_gone(node: Any, context: Mapping[str, Any], errors: Sequence[Mapping[str, Any]], *, number: int | None = None) -> bool:
    """Return whether a record is gone. After an error other than NOT_FOUND, a null is not gone but lost: the record may still exist.

    `node`: the answer for the record. `errors`: the answer's errors about it. `number`: the number by which it was requested, if any.
    """
    if node is None:
        return all(error.get("type") == "NOT_FOUND" for error in errors)
    if not isinstance(node, dict):
        return False  # the record is bad: it says nothing about being gone
    repository_id = as_object(node.get("repository")).get("id")
    is_elsewhere = bool(repository_id and context.get("repository")) and repository_id != context["repository"]
    return is_elsewhere or (number is not None and node.get("number", number) != number)
