"""Facts by the local date to which they belong."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from dora_metrics.calculators.periods import Period, local_date

T = TypeVar("T")


class ByDate(Generic[T]):
    """Sorted by the local date of `moment`, in their own order within a date; those without a moment are left out."""

    def __init__(self, items: Iterable[T], moment: Callable[[T], datetime | None], time_zone: str) -> None:
        dated = [(local_date(when, time_zone), item) for item in items if (when := moment(item)) is not None]
        dated.sort(key=lambda pair: pair[0])
        self.dates = [day for day, _ in dated]
        self._items = [item for _, item in dated]

    def within(self, period: Period) -> Sequence[T]:
        return self._items[bisect_left(self.dates, period.start) : bisect_left(self.dates, period.end)]
