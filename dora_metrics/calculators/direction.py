"""Whether a value is higher than that of the period before, and whether that is better."""

from enum import Enum

MORE_IS_BETTER = frozenset({"deployment_frequency"})  # of the other metrics, less is better
SAME_SHARE = 0.05  # two values whose difference is a smaller share of the earlier one count as the same


class Direction(Enum):
    """`is_higher`, `is_better`: None if the two values count as the same."""

    HIGHER_BETTER = (True, True)
    HIGHER_WORSE = (True, False)
    LOWER_BETTER = (False, True)
    LOWER_WORSE = (False, False)
    SAME = (None, None)

    @property
    def is_higher(self) -> bool | None:
        return self.value[0]

    @property
    def is_better(self) -> bool | None:
        return self.value[1]


def direction(metric: str, *, before: float | None, after: float | None) -> Direction | None:
    """Return how the value has moved; None if one of the two values is unknown."""
    if before is None or after is None:
        return None
    if abs(after - before) <= SAME_SHARE * abs(before):
        return Direction.SAME
    is_higher = after > before
    return Direction((is_higher, is_higher == (metric in MORE_IS_BETTER)))
