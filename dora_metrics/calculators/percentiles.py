"""Percentiles as SQL's PERCENTILE_CONT gives them, and means."""

from collections.abc import Sequence
from math import fsum


def percentile(values: Sequence[float], share: float) -> float | None:
    """Interpolated linearly between the closest ranks; None of no values. `share`: from 0 to 1."""
    if not values:
        return None
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def mean(values: Sequence[float]) -> float | None:
    """None of no values. The same for any order of them."""
    return fsum(values) / len(values) if values else None
