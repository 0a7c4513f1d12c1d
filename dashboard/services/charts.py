"""The data of the charts of metrics, as the script services.js draws them. The numbers are those of the report."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _

from dashboard.templatetags.display import METRIC_NAMES, TIERS
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import NOT_COLLECTED
from dora_metrics.calculators.tiers import ONE_DAY_SECONDS, ONE_HOUR_SECONDS
from dora_metrics.period_input import period_name

Report = Mapping[str, Any]
STAGES = ("coding", "draft", "pickup", "review", "deploy")
# The lower bound of each tier's band, in the unit of the value (docs/metrics.md, "Tiers").
TIER_BOUNDS: Mapping[str, tuple[tuple[float, str], ...]] = {
    "deploy_days_per_week": ((1, "high"), (5, "elite")),  # below 1 the tier depends on the last month, not on this number
    "change_lead_time": ((0, "elite"), (ONE_DAY_SECONDS, "high"), (7 * ONE_DAY_SECONDS, "medium"), (30 * ONE_DAY_SECONDS, "low")),
    "change_fail_rate": ((0, "elite"), (0.05, "high"), (0.10, "medium"), (0.15, "low")),
    "failed_deployment_recovery_time": ((0, "elite"), (ONE_HOUR_SECONDS, "high"), (ONE_DAY_SECONDS, "medium"), (7 * ONE_DAY_SECONDS, "low")),
}
VALUE_KEYS = {
    "deployment_frequency": "value",
    "change_lead_time": "p50",
    "change_fail_rate": "value",
    "failed_deployment_recovery_time": "p50",
    "deployment_rework_rate": "value",
}
UNITS = {
    "deployment_frequency": "per_day",
    "change_lead_time": "seconds",
    "change_fail_rate": "share",
    "failed_deployment_recovery_time": "seconds",
    "deployment_rework_rate": "share",
}


def service_charts(report: Report, events: Mapping[str, Sequence[date]]) -> list[dict[str, Any]]:
    """Return the five charts of a service and that of the lead time's stages.

    `events`: the local dates of the incidents and of the failed deployments, under "incidents" and "failed_deployments".
    """
    marks = _marks(report, events)
    return [
        _chart("deployment_frequency", report, _frequency_series(report), marks, deploy_days=_per_week(report)),
        _chart("change_lead_time", report, _percentile_series("change_lead_time", report, ("p50", "p75", "p90")), marks),
        _chart("stages", report, _stage_series(report), marks, title=_("Lead time by stage (median of each stage)"), metric="change_lead_time"),
        _chart("change_fail_rate", report, _value_series("change_fail_rate", report), marks),
        _chart(
            "failed_deployment_recovery_time", report, _percentile_series("failed_deployment_recovery_time", report, ("p50", "p75", "p90")), marks
        ),
        _chart("deployment_rework_rate", report, _value_series("deployment_rework_rate", report), marks),
    ]


def comparison_charts(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Return the chart of each metric with one line for each service."""
    charts = []
    for metric in METRIC_NAMES:
        series = [{"name": report["service"], "values": _values(metric, report), "kind": "line"} for report in reports]
        charts.append(_chart(metric, reports[0], series, [], partial=_anywhere_partial(reports), links=[], missing=[]))
    return charts


def _chart(
    name: str,
    report: Report,
    series: list[dict[str, Any]],
    marks: list[dict[str, Any]],
    *,
    title: str = "",
    metric: str = "",
    deploy_days: list[float | None] | None = None,
    partial: list[bool] | None = None,
    links: list[str] | None = None,
    missing: list[bool] | None = None,
) -> dict[str, Any]:
    metric = metric or name
    periods = report["periods"]
    return {
        "id": name,
        "element_id": f"data-{name}",
        "metric": metric,
        "title": title or str(METRIC_NAMES[metric]),
        "unit": UNITS[metric],
        "labels": [label(period, report["by"]) for period in periods],
        "links": [value_url(report, metric, period) for period in periods] if links is None else links,
        "series": series,
        "partial": [period["partial"] for period in periods] if partial is None else partial,
        "missing": missing if missing is not None else [_is_missing(period, metric) for period in periods],
        "bands": [] if name == "stages" else _bands(metric),
        "marks": marks,
        "deploy_days": deploy_days,
        "deploy_day_bands": _bands("deploy_days_per_week") if deploy_days else [],
    }


def span(report: Report) -> tuple[date, date]:
    """Return the first day of the report's periods, and the day after the last one. Periods are whole, so they may reach beyond its range."""
    return date.fromisoformat(report["periods"][0]["start"]), date.fromisoformat(report["periods"][-1]["end"])


def label(period: Mapping[str, Any], by: str) -> str:
    """Return the name of the period of a report: its date, ISO week or month."""
    return period_name(report_period(period, by))


def value_url(report: Report, metric: str, period: Mapping[str, Any]) -> str:
    """Return the address of the page with the facts behind the value."""
    url = reverse("dashboard:value", args=[report["service"], metric, label(period, report["by"])])
    return url if report["environment"] == PRODUCTION else f"{url}?{urlencode({'environment': report['environment']})}"


def report_period(period: Mapping[str, Any], by: str) -> Period:
    """Return a period of a report."""
    return Period(date.fromisoformat(period["start"]), date.fromisoformat(period["end"]), by)


def _values(metric: str, report: Report) -> list[float | None]:
    return [period[metric][VALUE_KEYS[metric]] for period in report["periods"]]


def _value_series(metric: str, report: Report) -> list[dict[str, Any]]:
    return [{"name": str(METRIC_NAMES[metric]), "values": _values(metric, report), "kind": "line"}]


def _frequency_series(report: Report) -> list[dict[str, Any]]:
    return [{"name": _("Deployments a day"), "values": _values("deployment_frequency", report), "kind": "bar"}]


def _per_week(report: Report) -> list[float | None] | None:
    values = [period["deployment_frequency"]["deploy_days_per_week"] for period in report["periods"]]
    return values if any(value is not None for value in values) else None


def _percentile_series(metric: str, report: Report, keys: Sequence[str]) -> list[dict[str, Any]]:
    names = {"p50": _("median (p50)"), "p75": "p75", "p90": "p90"}
    return [
        {"name": names[key], "values": [period[metric][key] for period in report["periods"]], "kind": "line" if key == "p50" else "thin"}
        for key in keys
    ]


def _stage_series(report: Report) -> list[dict[str, Any]]:
    names = stage_names()
    return [
        {"name": names[stage], "values": [period["change_lead_time"]["stages"][stage]["p50"] for period in report["periods"]], "kind": "stack"}
        for stage in STAGES
    ]


def stage_names() -> dict[str, str]:
    return {"coding": _("coding"), "draft": _("draft"), "pickup": _("pickup"), "review": _("review"), "deploy": _("deploy")}


def _bands(metric: str) -> list[dict[str, Any]]:
    bounds = TIER_BOUNDS.get(metric, ())
    uppers = [bound for bound, _tier in bounds[1:]] + [None]
    return [{"from": bound, "to": upper, "tier": tier, "name": str(TIERS[tier][1])} for (bound, tier), upper in zip(bounds, uppers, strict=False)]


def _is_missing(period: Mapping[str, Any], metric: str) -> bool:
    """Return whether the facts behind the value were not collected. A period without deployments has no fail rate, but is collected."""
    count = "n" if UNITS[metric] == "seconds" else "deployments"
    return NOT_COLLECTED in period["quality_flags"] and period[metric][count] is None


def _anywhere_partial(reports: Sequence[Report]) -> list[bool]:
    return [any(period["partial"] for period in periods) for periods in zip(*(report["periods"] for report in reports), strict=True)]


def _marks(report: Report, events: Mapping[str, Sequence[date]]) -> list[dict[str, Any]]:
    """Return the number of incidents and of failed deployments of each period."""
    names = {"incidents": _("Incidents"), "failed_deployments": _("Failed deployments")}
    periods = [report_period(period, report["by"]) for period in report["periods"]]
    return [
        {"kind": kind, "name": names[kind], "counts": [sum(day in period for day in days) for period in periods]} for kind, days in events.items()
    ]
