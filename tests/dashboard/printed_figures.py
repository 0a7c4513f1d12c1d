"""What `dora_report` and `dora_explain` print as JSON, for comparison with pages."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from io import StringIO
from typing import Any

from django.core.management import call_command

from dashboard.templatetags.display import FLAG_NAMES
from dora_metrics.explain import METRICS
from dora_metrics.period_input import parse_period
from tests.dashboard.page_reader import UNIT_OF

FREQUENCY, LEAD_TIME, FAIL_RATE, RECOVERY, REWORK = METRICS
PRODUCTION = "production"
DAY = timedelta(days=1)
NOTHING: Mapping[str, Any] = {}


@cache
def printed(*words: str) -> Any:
    """Return the JSON that a command prints. The results are kept as long as the world."""
    out = StringIO()
    call_command(*words, stdout=out)
    return json.loads(out.getvalue())


def reported(by: str, start: date, end: date, environment: str = PRODUCTION) -> dict[str, list[dict[str, Any]]]:
    """Return the periods of the report that overlap [start, end), by service."""
    words = ("dora_report", "--format=json", f"--by={by}", f"--from={start}", f"--to={end}", f"--environment={environment}")
    return {report["service"]: report["periods"] for report in printed(*words)}


def reported_in(period: str, environment: str) -> dict[str, Mapping[str, Any]]:
    """Return the numbers of each service in one period; NOTHING for a period that has not begun."""
    asked = parse_period(period)
    found = reported(asked.kind, asked.start, asked.end, environment)
    return {service: periods[0] if periods else NOTHING for service, periods in found.items()}


def explained(service: str, metric: str, period: str, environment: str, against: str) -> dict[str, Any]:
    return printed("dora_explain", service, metric, period, "--json", f"--environment={environment}", f"--against={against}")


def value_in(numbers: Mapping[str, Any], metric: str) -> float | None:
    of_metric = numbers.get(metric, NOTHING)
    return of_metric.get("p50" if UNIT_OF[metric] == "seconds" else "value")


def tiers_in(numbers: Mapping[str, Any], metric: str) -> list[str]:
    """Return the tier of the value, if it has one."""
    tier = numbers.get(metric, NOTHING).get("tier")
    return [tier] if tier else []


def flags_in(numbers: Mapping[str, Any], metric: str) -> set[str]:
    return {flag_word(flag) for flag in numbers.get("metric_flags", {}).get(metric, ["not_begun"])}


def flag_word(flag: str) -> str:
    return str(FLAG_NAMES.get(flag, flag.replace("_", " ")))


def counts_in(numbers: Mapping[str, Any], metric: str) -> list[int]:
    """Return the numbers of facts that stand beside a value, without those that are unknown."""
    names = {
        FREQUENCY: ["deployments"],
        LEAD_TIME: ["n"],
        FAIL_RATE: ["failed", "deployments"],
        RECOVERY: ["n"],
        REWORK: ["unplanned", "deployments"],
    }
    found = [numbers.get(metric, NOTHING).get(name) for name in names[metric]]
    return [count for count in found if count is not None]


def period_before(name: str) -> str:
    """Return the name of the period of the same kind before."""
    period = parse_period(name)
    if period.kind == "month":
        return f"{period.start - DAY:%Y-%m}"
    if period.kind == "week":
        year, week, _day = (period.start - DAY).isocalendar()
        return f"{year}-W{week:02}"
    if period.kind == "day":
        return f"{period.start - DAY}"
    return f"{period.start - (period.end - period.start)}..{period.start - DAY}"


def moved(metric: str, before: float | None, after: float | None) -> str:
    """Return how the value has moved (docs/metrics.md): a difference of at most 5 % of the earlier value counts as none."""
    if before is None or after is None:
        return ""
    if abs(after - before) <= 0.05 * before:
        return "unchanged"
    return "better" if (after > before) == (metric == FREQUENCY) else "worse"


def code(period: Mapping[str, Any], by: str) -> str:
    """Return the name of a period of the report."""
    start = date.fromisoformat(period["start"])
    return {"day": f"{start}", "month": f"{start:%Y-%m}", "week": "{}-W{:02}".format(*start.isocalendar())}[by]


def spoken(period: Mapping[str, Any], by: str) -> str:
    """Return the period of the report in words, as a page names it."""
    start = date.fromisoformat(period["start"])
    year, week, _day = start.isocalendar()
    return {"day": f"{start:%-d %b %Y}", "month": f"{start:%B %Y}", "week": f"week {week} of {year}"}[by]
