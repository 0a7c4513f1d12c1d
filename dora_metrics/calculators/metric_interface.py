"""The interface of the five metrics: each is a class that measures a period and lists what the measure is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from dora_metrics.calculators.inputs import NO_ORIGIN, Coverage, Origin
from dora_metrics.calculators.periods import Period


@dataclass(frozen=True, slots=True)
class Measures:
    """A metric's numbers for one period; None is unknown. Durations are seconds, shares from 0 to 1."""

    n: int
    value: float | None
    numerator: float | None = None
    denominator: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    tier: str | None = None
    flags: frozenset[str] = frozenset()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """One deployment, change or incident that a value is made of.

    `counts`: how much it adds to each number of the report, by the number's name there; a duration is named "seconds".
    `rules`: the rules that placed it in the value, in words.
    """

    kind: str  # deployment, change or incident
    key: str
    at: datetime  # the time that places it in the period
    counts: dict[str, float]
    rules: tuple[str, ...]
    repository: str = ""  # empty for one from the logs whose repository is unknown
    title: str = ""
    flags: tuple[str, ...] = ()
    origin: Origin = NO_ORIGIN


class Metric(Protocol):
    name: str
    unit: str
    coverage: Coverage | None  # the span in which all facts that it needs were collected

    def measure(self, period: Period, collected: Period) -> Measures:
        """Measure the period. `collected`: the days of it that were collected, at least one."""
        ...

    def members(self, collected: Period) -> Sequence[Member]:
        """Return what `measure` counts in those days, by time."""
        ...
