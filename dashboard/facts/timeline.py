"""The timeline of a change, from its first commit to production."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dora_metrics.calculators.lead_time_stages import LeadTime

# The stage that ends at each milestone.
STAGE_BEFORE: Mapping[str, str] = {
    "created": "coding",
    "ready": "draft",
    "first_review": "pickup",
    "merged": "review",
    "deployed": "deploy",
}
WIDTH = 1000.0  # of the bar, in the units of its drawing
LEAST_WIDTH = 4.0  # of a stage that takes any time, so that it can be seen


@dataclass(frozen=True, slots=True)
class Step:
    """A milestone, and the stage that ends there.

    `seconds`: how long the stage took; None if there is none or it is unknown. `x` and `width`: its part of the bar.
    """

    name: str
    at: datetime
    stage: str
    seconds: float | None
    x: float
    width: float


def timeline(milestones: Sequence[tuple[str, datetime]], lead_time: LeadTime | None) -> list[Step]:
    """Return the steps of a change. The lead time has the seconds of the stages; without it only the milestones are known."""
    stages = lead_time.stages if lead_time else {}
    known = [stages.get(STAGE_BEFORE.get(name, "")) for name, _at in milestones]
    widths = _widths([seconds or 0.0 for seconds in known])
    steps, x = [], 0.0
    for (name, at), seconds, width in zip(milestones, known, widths, strict=True):
        stage = STAGE_BEFORE.get(name, "") if seconds is not None else ""
        steps.append(Step(name, at, stage, seconds, x, width))
        x += width
    return steps


def _widths(seconds: Sequence[float]) -> list[float]:
    """Divide the bar in proportion to the seconds. A stage that takes any time is at least LEAST_WIDTH wide."""
    total = sum(seconds)
    if not total:
        return [0.0] * len(seconds)
    wanted = [max(LEAST_WIDTH, WIDTH * each / total) if each else 0.0 for each in seconds]
    return [WIDTH * each / sum(wanted) for each in wanted]
