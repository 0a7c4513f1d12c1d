"""Explain a value: list the deployments, changes and incidents that count in it, with the rules by which each counts, and its origin.

Compare it with the value of another period, too, and list the facts that made the difference.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Q
from django.utils.timezone import now

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_interface import Measures, Member, Metric
from dora_metrics.calculators.metric_values import metrics_of
from dora_metrics.calculators.movement import Contribution, Group, Influence, Movement, QuotientMovement, Side, movement
from dora_metrics.calculators.periods import Period, collected_part, local_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import MEANING, NOT_BEGUN, NOT_COLLECTED
from dora_metrics.calculators.sentences import Sentence, gettext_noop
from dora_metrics.derivation.stored_links import linked_facts_in, stored_links_of
from dora_metrics.display import duration_text
from dora_metrics.models import MetricRevision, Repository, Service

METRICS = ("deployment_frequency", "change_lead_time", "change_fail_rate", "failed_deployment_recovery_time", "deployment_rework_rate")
MOST_REVISIONS = 50
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class ExplainedValue:
    """The value of a metric in a period, and its members, which are the facts that count in it.

    `collected`: the days of the period that were collected. If there are none, it is None, and there are no members.
    """

    metric: Metric
    period: Period
    collected: Period | None
    measures: Measures
    members: Sequence[Member]
    arithmetic: Sentence

    @property
    def side(self) -> Side:
        return Side(self.measures, self.members, self.collected or self.period)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values of a metric. `movement`: what made the difference; None if one of them is unknown."""

    before: ExplainedValue
    after: ExplainedValue
    movement: Movement | None
    revisions: Sequence[MetricRevision]


def links_of(
    service: Service,
    periods: Sequence[Period],
    *,
    environment: str,
    moment: datetime,
    repositories: Mapping[str, Repository] | None = None,
    with_changes: Sequence[Period] | None = None,
) -> LinkedFacts:
    """Return at least the linked facts that count in the periods.

    Those of production are rebuilt from the stored rows, from which the report's numbers were computed, too. Those of another
    environment are not stored, so all facts of the service are linked. `repositories` and `with_changes`: as for
    `stored_links_of`.
    """
    if environment == PRODUCTION:
        return stored_links_of(service, periods, moment=moment, repositories=repositories, with_changes=with_changes)
    return linked_facts_in(service, environment, moment=moment, repositories=repositories)


def explained_values(
    linked: LinkedFacts, period: Period, *, moment: datetime, only: Collection[str] = METRICS, with_members: Collection[str] = METRICS
) -> dict[str, ExplainedValue]:
    """Return the values of the metrics in the period, by the name of the metric.

    `only`: the names of the metrics. `with_members`: the names of those of which the members are wanted, too.
    """
    zone = linked.settings.time_zone
    today = local_date(moment, zone)
    return {
        metric.name: _explained(metric, period, today=today, time_zone=zone, with_members=metric.name in with_members)
        for metric in metrics_of(linked)
        if metric.name in only
    }


def _explained(metric: Metric, period: Period, *, today: date, time_zone: str, with_members: bool) -> ExplainedValue:
    collected = _collected_part(metric, period, time_zone)
    if collected is None:
        unknown = NOT_BEGUN if period.start > today else NOT_COLLECTED
        nothing = Measures(n=0, value=None, flags=frozenset({unknown}))
        return ExplainedValue(metric, period, None, nothing, [], _why_unknown(metric, period, today, time_zone))
    measures, members = metric.measure(period, collected), metric.members(collected) if with_members else []
    return ExplainedValue(metric, period, collected, measures, members, _arithmetic(metric, measures))


def explanation(service: Service, *, metric: str, period: Period, environment: str, moment: datetime | None = None) -> dict[str, Any]:
    """Return the value and its members as an object for JSON. Raises KeyError for an unknown metric.

    `sums` in the result has the totals of the members' counts, which equal the numbers of the report. If the facts were not
    collected, there are no members.
    """
    moment = moment or now()
    linked = links_of(service, [period], environment=environment, moment=moment)
    return _as_json(service, linked, explained_values(linked, period, moment=moment, only=[metric])[metric])


def compared(service: Service, linked: LinkedFacts, *, before: ExplainedValue, after: ExplainedValue) -> Comparison:
    """Compare two values of a metric. `linked`: the facts in which both count."""
    name = after.metric.name
    moved = movement(name, before.side, after.side, time_zone=linked.settings.time_zone)
    return Comparison(before, after, moved, revisions(service, name, [after.period, before.period], environment=linked.environment))


def comparison(service: Service, *, metric: str, period: Period, against: Period, environment: str, moment: datetime | None = None) -> dict[str, Any]:
    """Return the explanation of the value, and in `movement` what made the difference to its value in the period `against`."""
    moment = moment or now()
    linked = links_of(service, [period, against], environment=environment, moment=moment)
    after, before = (explained_values(linked, each, moment=moment, only=[metric])[metric] for each in (period, against))
    found = compared(service, linked, before=before, after=after)
    return {**_as_json(service, linked, found.after), "movement": _movement_as_json(found)}


def revisions(service: Service, metric: str, periods: Iterable[Period], *, environment: str) -> list[MetricRevision]:
    """Return the latest changes of the values of these periods after the periods were over, newest first.

    They are recorded for days, weeks and months of production only.
    """
    if environment != PRODUCTION:
        return []
    of_periods = Q(*(Q(period=period.kind, period_start=period.start) for period in periods), _connector=Q.OR)
    found = MetricRevision.objects.filter(of_periods, service=service, environment=environment, metric=metric)
    return list(found.order_by("-revised_at", "-pk")[:MOST_REVISIONS])


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


def _why_unknown(metric: Metric, period: Period, today: date, time_zone: str) -> Sentence:
    """Return one line that says why there is no value."""
    if period.start > today:
        return Sentence(gettext_noop("unknown: the period has not begun; today is {}"), today)
    if metric.coverage is None:
        return Sentence(gettext_noop("unknown: not all of the facts that it needs were ever collected"))
    since, until = local_date(metric.coverage.since, time_zone), local_date(metric.coverage.until, time_zone)
    if period.end <= since:
        return Sentence(gettext_noop("unknown: the facts that it needs were collected from {} on only"), since)
    return Sentence(gettext_noop("unknown: the facts that it needs have been collected up to {} only"), until)


def _arithmetic(metric: Metric, measures: Measures) -> Sentence:
    """Return one line that says how the value is computed."""
    if metric.unit == "seconds":
        if measures.p50 is None:
            return Sentence(gettext_noop("the median of {} durations is unknown"), 0)
        return Sentence(gettext_noop("the median of {} durations is {}"), measures.n, duration(measures.p50))
    divided = f"{measures.numerator:g}", f"{measures.denominator:g}"
    if measures.value is None:
        return Sentence(gettext_noop("{} / {} = unknown: there is nothing to divide by"), *divided)
    template = gettext_noop("{} / {} days = {}") if metric.unit == "deployments/day" else gettext_noop("{} / {} = {}")
    return Sentence(template, *divided, f"{measures.value:.4g}")


def duration(seconds: float) -> str:
    """Return the duration for people, and the exact number of seconds, from which the median can be checked."""
    return f"{duration_text(seconds)} ({seconds:.0f} s)"


# --- for JSON ---------------------------------------------------------------------------------------------------------


def _as_json(service: Service, linked: LinkedFacts, found: ExplainedValue) -> dict[str, Any]:
    period, flags = found.period, sorted(found.measures.flags)
    return {
        "service": service.name,
        "environment": linked.environment,
        "metric": found.metric.name,
        "period": {"kind": period.kind, "start": period.start.isoformat(), "end": period.end.isoformat()},
        "collected": _days(found.collected) if found.collected else None,
        "time_zone": linked.settings.time_zone,
        "definition_version": DEFINITION_VERSION,
        "deployments_from": linked.source,
        "value": found.measures.value,
        "unit": found.metric.unit,
        "numbers": found.measures.details,
        "sums": sums(found.members),
        "arithmetic": found.arithmetic,
        "quality_flags": flags,
        "flags": {flag: MEANING[flag] for flag in flags},
        "members": [_row(member) for member in found.members],
    }


def _days(collected: Period) -> dict[str, Any]:
    return {"start": collected.start.isoformat(), "end": collected.end.isoformat(), "days": collected.days}


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


def _movement_as_json(found: Comparison) -> dict[str, Any]:
    before, moved = found.before, found.movement
    return {
        "against": {"kind": before.period.kind, "start": before.period.start.isoformat(), "end": before.period.end.isoformat()},
        "before": before.measures.value,
        "before_arithmetic": before.arithmetic,
        "difference": float(moved.difference) if moved else None,
        **(_details_as_json(moved) if moved else {}),
        "revisions": [
            {
                "period": revision.period,
                "start": revision.period_start.isoformat(),
                "before": revision.before.get("value"),
                "after": revision.after.get("value"),
                "revised_at": revision.revised_at.isoformat(),
                "run": revision.run_id,
            }
            for revision in found.revisions
        ],
    }


def _details_as_json(moved: Movement) -> dict[str, Any]:
    if isinstance(moved, QuotientMovement):
        return {
            "each": float(moved.each),
            "volume": float(moved.volume),
            "denominators": list(moved.denominators),
            "groups": [_group_as_json(group) for group in moved.groups],
            "facts": [_fact_as_json(one, float(one.amount)) for one in moved.contributions],
        }
    return {
        "distributions": {"before": asdict(moved.before), "after": asdict(moved.after)},
        "stages": [{**asdict(stage), "difference": stage.difference} for stage in moved.stages],
        "facts": [_fact_as_json(one, one.amount) for one in moved.influences],
    }


def _group_as_json(group: Group) -> dict[str, Any]:
    reasons = WEEKDAYS[group.rules] if isinstance(group.rules, int) else list(group.rules)
    return {"reasons": reasons, "before": group.before, "after": group.after, "amount": float(group.amount)}


def _fact_as_json(fact: Contribution | Influence, amount: float | None) -> dict[str, Any]:
    return {"is_before": fact.is_before, "amount": amount, **_row(fact.member)}
