"""Percentiles, which are computed like SQL's PERCENTILE_CONT, and means."""

from collections.abc import Sequence
from math import fsum


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the percentile, interpolated linearly between the closest ranks; None if there are no values.

    `share`: the percentile as a number from 0 to 1, such as 0.5 for the median.
    """
    if not values:
        return None
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def mean(values: Sequence[float]) -> float | None:
    """Return the mean; None if there are no values. The order of the values does not affect the result."""
    return fsum(values) / len(values) if values else None
