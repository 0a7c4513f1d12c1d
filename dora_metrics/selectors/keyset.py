"""Long lists a page at a time: by one column, then by id, from the last row that was seen.

No page shifts when rows are added between two requests, none is counted, and the hundredth page costs what the first
does. Django's own iterator would not do for streaming: on MySQL the driver holds the whole result in memory.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from django.db.models import DateTimeField, Model, Q, QuerySet

ROWS_AT_ONCE = 1000
M = TypeVar("M", bound=Model)


class Position(NamedTuple):
    """Behind which row to go on: its value of the column, and its id."""

    value: Any
    pk: int

    def __str__(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        return f"{value}~{self.pk}"


@dataclass(frozen=True, slots=True)
class Keyset(Generic[M]):
    """`by`: a column that is never null, with an index that begins with it or with what `rows` is filtered by.

    `keeps` leaves out rows that no query can: a page may then hold fewer than its limit, and another may follow all the same.
    """

    rows: QuerySet[M]
    by: str
    keeps: Callable[[M], bool] = lambda row: True

    def page(self, limit: int, after: Position | None = None) -> tuple[list[M], Position | None]:
        """At most `limit` rows, and where the next page begins; None behind the last one."""
        rows = self.rows
        if after:
            # As a range first, for the index; the OR within it is about the rows of one instant.
            beyond = Q(**{f"{self.by}__gt": after.value}) | Q(pk__gt=after.pk)
            rows = rows.filter(beyond, **{f"{self.by}__gte": after.value})
        found = list(rows.order_by(self.by, "pk")[: limit + 1])
        has_more = len(found) > limit
        shown = found[:limit]
        return [row for row in shown if self.keeps(row)], self._position(shown[-1]) if has_more else None

    def pages(self, limit: int = ROWS_AT_ONCE) -> Iterator[list[M]]:
        """All of them, in the memory of one page."""
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
        """What str() of a position gave. Raises ValueError, with a sentence, for anything else."""
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
        raise ValueError(f"cursor {text!r} is none of ours: take it, as it is, from the `next` of the page before")

    def _position(self, row: M) -> Position:
        return Position(getattr(row, self.by), row.pk)
