"""The interface of the five metrics. Each metric is a class that computes its numbers for a period and lists the facts behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from dora_metrics.calculators.inputs import NO_ORIGIN, Coverage, Origin
from dora_metrics.calculators.periods import Period


class Measures(msgspec.Struct, frozen=True, gc=False):
    """The numbers of a metric for one period. None means unknown. Durations are in seconds, and shares are from 0 to 1."""

    n: int
    value: float | None
    numerator: float | None = None
    denominator: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    tier: str | None = None
    flags: frozenset[str] = frozenset()
    details: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Member:
    """One deployment, change or incident that counts in a value.

    `counts`: what it adds to each number of the report, by the name that the number has in the report. The name of a duration ends
    in "seconds". `rules`: the rules by which it counts in the value, in words. `reasons`: the names of the rules by which a
    deployment counts as failed or as unplanned in the value.
    """

    kind: str  # deployment, change or incident
    key: str
    at: datetime  # the time by which it belongs to the period
    counts: dict[str, float]
    rules: tuple[str, ...]
    repository: str = ""  # empty for an incident from the logs, and for a deployment from the logs whose repository is unknown
    title: str = ""
    flags: tuple[str, ...] = ()
    origin: Origin = NO_ORIGIN
    reasons: tuple[str, ...] = ()


class Metric(Protocol):
    name: str
    unit: str
    coverage: Coverage | None  # the span in which all facts that it is computed from were collected; None if there is none

    def measure(self, period: Period, collected: Period) -> Measures:
        """Return the numbers for the period. `collected`: the days of the period that were collected, at least one."""
        ...

    def members(self, collected: Period) -> Sequence[Member]:
        """Return what `measure` counts in the `collected` days, ordered by time."""
        ...
