"""Keyset pagination: read a long list in pages. The list is ordered by one column and the id. A page begins after the last row of the page before.

Pages do not shift when rows are added between two requests, rows are never counted, and the hundredth page costs as much as the
first. Django's iterator is not used to stream a list, because on MySQL the driver holds the whole result in memory.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from django.db.models import DateTimeField, Model, Q, QuerySet

ROWS_PER_PAGE = 1000
M = TypeVar("M", bound=Model)


class Position(NamedTuple):
    """The end of a page: the value that its last row has in the column by which the list is ordered, and the id of that row.

    The next page begins after that row.
    """

    value: Any
    pk: int

    def __str__(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        return f"{value}~{self.pk}"


@dataclass(frozen=True, slots=True)
class Keyset(Generic[M]):
    """A list of rows, read in pages.

    `by`: the column by which the list is ordered. It is never null. There is an index that begins with it, or with the columns by
    which `rows` is filtered, followed by it. `keeps`: returns whether a row belongs to the list, for a condition that no query can
    express. With it, a page may have fewer rows than its limit although another page follows.
    """

    rows: QuerySet[M]
    by: str
    keeps: Callable[[M], bool] = lambda row: True

    def page(self, limit: int, after: Position | None = None) -> tuple[list[M], Position | None]:
        """Return at most `limit` rows that follow the position `after`, and the position where the next page begins (None on the last page)."""
        rows = self.rows
        if after:
            # The condition with `__gte` can use the index. The OR leaves out rows with the same value that were on earlier pages.
            beyond = Q(**{f"{self.by}__gt": after.value}) | Q(pk__gt=after.pk)
            rows = rows.filter(beyond, **{f"{self.by}__gte": after.value})
        found = list(rows.order_by(self.by, "pk")[: limit + 1])
        has_more = len(found) > limit
        shown = found[:limit]
        return [row for row in shown if self.keeps(row)], self._position(shown[-1]) if has_more else None

    def pages(self, limit: int = ROWS_PER_PAGE) -> Iterator[list[M]]:
        """Yield all pages. Only one page is in memory at a time."""
        after: Position | None = None
        while True:
            rows, after = self.page(limit, after)
            yield rows
            if after is None:
                return

    def __iter__(self) -> Iterator[M]:
        for rows in self.pages():
            yield from rows

    def position(self, text: str) -> Position:
        """Parse a text that str() returned for a position. Raises ValueError with an explanation for any other text."""
        value, _, pk = text.rpartition("~")
        if re.fullmatch(r"[0-9]{1,18}", pk, re.ASCII):
            if not isinstance(self.rows.model._meta.get_field(self.by), DateTimeField):
                return Position(value, int(pk))
            if re.fullmatch(r"[12][0-9]{3}-[0-9:.T-]+\+00:00", value):
                try:
                    moment = datetime.fromisoformat(value)
                except ValueError:
                    moment = None
                if moment and moment.tzinfo:
                    return Position(moment, int(pk))
        raise ValueError(f"cursor {text!r} is not one of this API's: take it, as it is, from the `next` of the page before")

    def _position(self, row: M) -> Position:
        return Position(getattr(row, self.by), row.pk)
