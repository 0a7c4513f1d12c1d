"""Explain a value: list the deployments, changes and incidents that count in it, with the rules by which each counts, and its origin."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

from django.utils.timezone import now

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.metric_interface import Measures, Member, Metric
from dora_metrics.calculators.metric_values import metrics_of
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import Period, collected_part, local_date
from dora_metrics.calculators.quality_flags import MEANING, NOT_BEGUN, NOT_COLLECTED
from dora_metrics.derivation.stored_facts import linked_facts_of
from dora_metrics.models import Service

METRICS = ("deployment_frequency", "change_lead_time", "change_fail_rate", "failed_deployment_recovery_time", "deployment_rework_rate")


def explanation(service: Service, *, metric: str, period: Period, environment: str, moment: datetime | None = None) -> dict[str, Any]:
    """Return the value and its members, which are the facts that count in it. Raises KeyError for an unknown metric.

    `sums` in the result has the totals of the members' counts, which equal the numbers of the report. The value is computed from
    the current facts by the code that also computes the stored metrics. If the facts were not collected, there are no members.
    """
    moment = moment or now()
    linked = linked_facts_of(service, environment=environment, moment=moment)
    today = local_date(moment, linked.settings.time_zone)
    chosen = {candidate.name: candidate for candidate in metrics_of(linked)}[metric]
    collected = _collected_part(chosen, period, linked.settings.time_zone)
    unknown = NOT_BEGUN if period.start > today else NOT_COLLECTED
    measures = chosen.measure(period, collected) if collected else Measures(n=0, value=None, flags=frozenset({unknown}))
    members = chosen.members(collected) if collected else []
    flags = sorted(measures.flags)
    return {
        "service": service.name,
        "environment": environment,
        "metric": metric,
        "period": {"kind": period.kind, "start": period.start.isoformat(), "end": period.end.isoformat()},
        "collected": _days(collected) if collected else None,
        "time_zone": linked.settings.time_zone,
        "definition_version": DEFINITION_VERSION,
        "deployments_from": linked.source,
        "value": measures.value,
        "unit": chosen.unit,
        "numbers": measures.details if collected else {},
        "sums": sums(members),
        "arithmetic": _arithmetic(chosen, measures, members) if collected else _why_unknown(chosen, period, today, linked.settings.time_zone),
        "quality_flags": flags,
        "flags": {flag: MEANING[flag] for flag in flags},
        "members": [_row(member) for member in members],
    }


def _collected_part(metric: Metric, period: Period, time_zone: str) -> Period | None:
    if metric.coverage is None:
        return None
    part = collected_part(period, metric.coverage, time_zone)
    return part if part.days else None


def sums(members: Iterable[Member]) -> dict[str, float]:
    """Return the totals of the members' counts. Durations are left out, because a total of durations is not a median."""
    found: dict[str, float] = defaultdict(int)
    for member in members:
        for name, count in member.counts.items():
            if not name.endswith("seconds"):
                found[name] += count
    return dict(sorted(found.items()))


def _why_unknown(metric: Metric, period: Period, today: date, time_zone: str) -> str:
    """Return one line that says why there is no value."""
    if period.start > today:
        return f"unknown: the period has not begun; today is {today}"
    if metric.coverage is None:
        return "unknown: not all of the facts that it needs were ever collected"
    since, until = local_date(metric.coverage.since, time_zone), local_date(metric.coverage.until, time_zone)
    if period.end <= since:
        return f"unknown: the facts that it needs were collected from {since} on only"
    return f"unknown: the facts that it needs have been collected up to {until} only"


def _arithmetic(metric: Metric, measures: Measures, members: Iterable[Member]) -> str:
    """Return one line that says how the value is computed from the members."""
    if metric.unit == "seconds":
        seconds = [member.counts["seconds"] for member in members if "seconds" in member.counts]
        median = percentile(seconds, 0.5)
        return f"the median of {len(seconds)} durations is {'unknown' if median is None else duration(median)}"
    denominator = f"{measures.denominator:g}{' days' if metric.unit == 'deployments/day' else ''}"
    value = "unknown: there is nothing to divide by" if measures.value is None else f"{measures.value:.4g}"
    return f"{measures.numerator:g} / {denominator} = {value}"


def _days(collected: Period) -> dict[str, Any]:
    return {"start": collected.start.isoformat(), "end": collected.end.isoformat(), "days": collected.days}


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
    """Return the period as a text that `parse_period` can read, such as 2026-W07."""
    match period.kind:
        case "week":
            year, week, _ = period.start.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{period.start:%Y-%m}"
    return period.start.isoformat()
