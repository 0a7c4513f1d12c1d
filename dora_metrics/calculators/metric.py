"""What a metric's module must offer: one class each, measured period by period and opened by `members`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from dora_metrics.calculators.facts import NOWHERE, Coverage, Origin
from dora_metrics.calculators.periods import Period


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured of one period; None is unknown. Durations in seconds, shares from 0 to 1."""

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
    """One deployment, change or incident behind a value.

    `counts`: what it adds to which number of the report, under the report's own names; durations under "seconds".
    `rules`: the rules that placed it, in words.
    """

    kind: str  # deployment, change or incident
    key: str
    at: datetime  # what placed it in the period
    counts: dict[str, float]
    rules: tuple[str, ...]
    repository: str = ""  # empty: from the logs, and of no repository that is known
    title: str = ""
    flags: tuple[str, ...] = ()
    origin: Origin = NOWHERE


class Metric(Protocol):
    name: str
    unit: str
    coverage: Coverage | None  # where all facts that it needs are known

    def measure(self, period: Period, part: Period) -> Measures:
        """`part`: the days of the period that were collected, at least one."""
        ...

    def members(self, part: Period) -> Sequence[Member]:
        """Whatever `measure` counted in those days, in the order of time."""
        ...
