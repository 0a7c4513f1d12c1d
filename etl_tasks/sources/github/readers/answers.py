"""Decode the parts of GitHub's answer that a reader needs, and make the page to stage from the answer."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from typing import Any

import msgspec

from etl_tasks.errors import RetriableError
from etl_tasks.outcomes import UnreadablePage
from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github import mapping
from etl_tasks.sources.github.client import Answer
from etl_tasks.sources.github.raw_values import as_number, as_object, as_text, object_type
from etl_tasks.sources.github.streams import BY_ID, DEPLOYED_HISTORY, Stream


@cache
def list_part(stream: Stream) -> msgspec.json.Decoder[Any]:
    """Return a decoder of what the readers need of a page of the stream's list. The transform stage decodes everything else."""
    inner, some = stream.next_pages, partial(object_type, has_all=False)
    ends = dict.fromkeys(inner.lists, some({"pageInfo": Any}) | None)
    record = some({name: Any for name in ("id", "mergedAt", inner.key, stream.order_key) if name} | (ends if stream.order_key else {"parents": Any}))
    nodes: Any = list[record | None]  # type: ignore[valid-type]
    found = some({"totalCount": Any, "pageInfo": Any, "nodes": nodes | None})
    for key in reversed(stream.path):
        found = some({key: found | None} | ({"errors": Any} if key == "data" else {}))
    return msgspec.json.Decoder(found)


class AnswerContent:
    """The nodes, the total count and the end cursor of an answer. The transform stage decodes everything else.

    `shape`: what the answer holds, as in streams.py; empty for a page of the list. `context`: further keys of the page's context.
    """

    def __init__(self, stream: Stream, answer: Answer, *, shape: str = "", **context: Any) -> None:
        self.stream, self.answer = stream, answer
        self.context = {**({"shape": shape} if shape else {}), **context}
        self.fetched_at = answer.fetched_at
        self.nodes: list[Any] = []
        self.total: int | None = None
        self.end_cursor: str | None = None
        self.is_broken = False
        path = stream.path_in({"shape": shape})
        try:
            self.nodes = mapping.nodes_in(answer.json(), path)
        except UnreadablePage:
            self.is_broken = True
            return
        if shape == BY_ID and len(self.nodes) != len(context["ids"]):
            self.is_broken = True
            return
        self.decoded = answer.json()
        if None in self.nodes and not stream.query:
            self.context["list"] = {"url": answer.url}  # REST gives no ids for nulls: such a record is found again by the list's address
        connection: Any = self.decoded
        for key in path:
            connection = as_object(connection).get(key)
        if connection is None and stream.query and not shape:
            raise RetriableError(f"GitHub left {stream.name} out of its answer")
        if isinstance(connection, dict):
            self.total = as_number(connection.get("totalCount"))
        elif isinstance(self.decoded, dict):
            self.total = as_number(self.decoded.get("total_count"))  # REST
        info = as_object(connection).get("pageInfo")
        if as_object(info).get("hasNextPage"):
            self.end_cursor = as_text(as_object(info).get("endCursor"))
        is_list = bool(stream.query) and shape in ("", DEPLOYED_HISTORY) and connection is not None
        if self.end_cursor == "" or (is_list and not isinstance(info, dict)):
            raise RetriableError(f"GitHub does not say where the next page of {stream.name} is: its answer is not what was asked for")

    @cached_property
    def times(self) -> list[datetime]:
        """Return the values of the stream's `order_key` in the records. Values that are not times, or have no time zone, are left out."""
        found = []
        for node in self.nodes:
            try:
                moment = datetime.fromisoformat(node[self.stream.order_key])
                if moment.tzinfo is None:
                    continue
                found.append(min(moment.astimezone(UTC), self.fetched_at))  # a cursor in the future would hide all records before that time
            except (KeyError, TypeError, ValueError, OverflowError):
                continue  # the record is bad: the transform stage makes it a dead letter
        return found

    @property
    def oldest(self) -> datetime | None:
        return min(self.times, default=None)

    def page(self, *, cursor: Mapping[str, Any], resume: Mapping[str, Any], is_done: bool, is_wanted: bool = True) -> Page:
        """Return the page to stage. `cursor`, `resume`, `is_done`: as in Page. `is_wanted`: if False, the page has no body, so it is not staged.

        An unreadable answer counts as one record and becomes one dead letter. It ends its stream and does not move the stream's cursor.
        """
        body = (self.answer.body or b" ") if is_wanted else b""
        if self.is_broken:
            return self._page(body=body, record_count=1, cursor={}, resume={}, context=self.context, is_done=True)
        count = len(self.nodes) - len(self.context.get("named", ())) if is_wanted else 0
        return self._page(body=body, record_count=count, cursor=dict(cursor), resume=dict(resume), context=self.context, is_done=is_done)

    def _page(self, **fields: Any) -> Page:
        return Page(stream=self.stream.name, url=self.answer.url, fetched_at=self.fetched_at, **fields)
