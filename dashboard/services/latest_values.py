"""The last whole period of a report, and how each metric changed against the period before."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dashboard.facts.periods import period_label
from dashboard.services.charts import VALUE_KEYS, Report, report_period, value_url
from dashboard.templatetags.display import METRIC_NAMES, counts_text
from dora_metrics.calculators.direction import Direction, direction

PARTS = {"change_fail_rate": "failed", "deployment_rework_rate": "unplanned"}  # the part of a share, by the name that it has in the report


@dataclass(frozen=True)
class LatestValue:
    """A metric's value in a period. `change`: better, worse, same, or "" if one of the two values is unknown.

    `is_rise`: whether the value is larger than before. `counts`: how many facts are behind the value, in words.
    """

    metric: str
    value: float | None
    tier: str
    before: float | None
    change: str
    is_rise: bool
    counts: str
    url: str


def latest_values(report: Report) -> tuple[str, list[LatestValue]]:
    """Return the name of the last period that is whole, and the metrics' values in it; ("", []) if no period is whole.

    The first period of the report is not one of them: it is there so that the second one can be compared with it.
    """
    pairs = [(before, period) for before, period in pairwise(report["periods"]) if not period["partial"] and _is_collected(period)]
    if not pairs:
        return "", []
    before, period = pairs[-1]
    return period_label(report_period(period, report["by"])), [_latest(metric, report, period, before) for metric in METRIC_NAMES]


def _is_collected(period: Mapping[str, Any]) -> bool:
    return period["deployment_frequency"]["deployments"] is not None


def _latest(metric: str, report: Report, period: Mapping[str, Any], before: Mapping[str, Any]) -> LatestValue:
    numbers = period[metric]
    value, earlier = (each[metric][VALUE_KEYS[metric]] for each in (period, before))
    moved = direction(metric, before=earlier, after=value)
    return LatestValue(
        metric=metric,
        value=value,
        tier=numbers.get("tier") or "",
        before=earlier,
        change=_word(moved),
        is_rise=moved is not None and bool(moved.is_higher),
        counts=counts_of(metric, numbers),
        url=value_url(report, metric, period),
    )


def counts_of(metric: str, numbers: Mapping[str, Any]) -> str:
    """Return how many facts are behind a value of the report, in words; "" if they were not collected. `numbers`: those of the metric."""
    part = numbers[PARTS[metric]] if metric in PARTS else None
    return counts_text(metric, numbers["deployments"] if "deployments" in numbers else numbers["n"], part=part)


def _word(moved: Direction | None) -> str:
    if moved is None:
        return ""
    if moved is Direction.SAME:
        return "same"
    return "better" if moved.is_better else "worse"
