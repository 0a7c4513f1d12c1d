"""Open a value: the deployments, changes and incidents behind it, the rule that placed each, and where each came from."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from django.utils.timezone import now

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.calculate import metrics_of
from dora_metrics.calculators.flags import MEANING, NOT_BEGUN, NOT_COLLECTED
from dora_metrics.calculators.metric import Measures, Member, Metric
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import Period, collected_part, local_date
from dora_metrics.derivation.derived_rows import assessed
from dora_metrics.models import Service

METRICS = ("deployment_frequency", "change_lead_time", "change_fail_rate", "failed_deployment_recovery_time", "deployment_rework_rate")


def explanation(service: Service, *, metric: str, period: Period, environment: str, moment: datetime | None = None) -> dict[str, Any]:
    """The value, its members, and `sums`: what the members' counts add up to, which are the report's own numbers.

    It is computed from the facts as they are now, by the code that computes the metric. A value that is not known has
    no members. Raises KeyError for an unknown metric.
    """
    moment = moment or now()
    assessment = assessed(service, environment=environment, moment=moment)
    today = local_date(moment, assessment.settings.time_zone)
    chosen = {one.name: one for one in metrics_of(assessment)}[metric]
    part = _known_part(chosen, period, assessment.settings.time_zone)
    unknown = NOT_BEGUN if period.start > today else NOT_COLLECTED
    measures = chosen.measure(period, part) if part else Measures(n=0, value=None, flags=frozenset({unknown}))
    members = chosen.members(part) if part else []
    flags = sorted(measures.flags)
    return {
        "service": service.name,
        "environment": environment,
        "metric": metric,
        "period": {"kind": period.kind, "start": period.start.isoformat(), "end": period.end.isoformat()},
        "collected": {"start": part.start.isoformat(), "end": part.end.isoformat(), "days": part.days} if part else None,
        "time_zone": assessment.settings.time_zone,
        "definition_version": DEFINITION_VERSION,
        "deployments_from": assessment.source,
        "value": measures.value,
        "unit": chosen.unit,
        "numbers": measures.details if part else {},
        "sums": sums(members),
        "arithmetic": _arithmetic(chosen, measures, members) if part else _unknown(chosen, period, today, assessment.settings.time_zone),
        "quality_flags": flags,
        "flags": {flag: MEANING[flag] for flag in flags},
        "members": [_row(member) for member in members],
    }


def _known_part(metric: Metric, period: Period, time_zone: str) -> Period | None:
    if metric.coverage is None:
        return None
    part = collected_part(period, metric.coverage, time_zone)
    return part if part.days else None


def sums(members: Iterable[Member]) -> dict[str, float]:
    """Of counts; durations do not add up to a median, and are left to it."""
    found: dict[str, float] = defaultdict(int)
    for member in members:
        for name, count in member.counts.items():
            if not name.endswith("seconds"):
                found[name] += count
    return dict(sorted(found.items()))


def _unknown(metric: Metric, period: Period, today: date, time_zone: str) -> str:
    """Why there is no value, in one line."""
    if period.start > today:
        return f"unknown: the period has not begun; today is {today}"
    if metric.coverage is None:
        return "unknown: not all of the facts that it needs were ever collected"
    since, until = local_date(metric.coverage.since, time_zone), local_date(metric.coverage.until, time_zone)
    if period.end <= since:
        return f"unknown: the facts that it needs were collected from {since} on only"
    return f"unknown: the facts that it needs have been collected up to {until} only"


def _arithmetic(metric: Metric, measures: Measures, members: Iterable[Member]) -> str:
    """How the value comes from the members, in one line."""
    if metric.unit == "seconds":
        seconds = [member.counts["seconds"] for member in members if "seconds" in member.counts]
        median = percentile(seconds, 0.5)
        return f"the median of {len(seconds)} durations is {'unknown' if median is None else duration(median)}"
    below = f"{measures.denominator:g}{' days' if metric.unit == 'deployments/day' else ''}"
    value = "unknown: there is nothing to divide by" if measures.value is None else f"{measures.value:.4g}"
    return f"{measures.numerator:g} / {below} = {value}"


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s ({timedelta(seconds=round(seconds))})"


def _row(member: Member) -> dict[str, Any]:
    return {
        "kind": member.kind,
        "repository": member.repository,
        "key": member.key,
        "at": member.at.isoformat(),
        "title": member.title,
        "counts": member.counts,
        "rules": list(member.rules),
        "quality_flags": list(member.flags),
        "url": member.origin.url,
        "staged_page": member.origin.page_id,
    }


def period_name(period: Period) -> str:
    """As `parse_period` reads it."""
    match period.kind:
        case "week":
            year, week, _ = period.start.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{period.start:%Y-%m}"
    return period.start.isoformat()
