"""The report: a service's five metrics by period."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.metric_values import values_in, values_of
from dora_metrics.calculators.periods import ONE_DAY, RANGE, Period, periods_between
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import NOT_COLLECTED
from dora_metrics.derivation.derived_rows import metric_row
from dora_metrics.derivation.environments import deployments_by_environment
from dora_metrics.derivation.stored_facts import linked_facts_of
from dora_metrics.derivation.stored_links import stored_links_of
from dora_metrics.models import DORAMetric, Service
from dora_metrics.name_suggestions import suggestion

UNKNOWN: Mapping[str, dict[str, Any]] = {
    "deployment_frequency": {
        "value": None,
        "unit": "deployments/day",
        "deployments": None,
        "deploy_days": None,
        "deploy_days_per_week": None,
        "tier": None,
    },
    "change_lead_time": {
        "p50": None,
        "p75": None,
        "p90": None,
        "unit": "seconds",
        "n": None,
        "n_bots": None,
        "tier": None,
        "stages": {stage: {"p50": None, "n": None} for stage in ("coding", "draft", "pickup", "review", "deploy")},
    },
    "change_fail_rate": {
        "value": None,
        "failed": None,
        "deployments": None,
        "reasons": None,
        "unlinked_incidents": None,
        "devlake_value": None,
        "tier": None,
    },
    "failed_deployment_recovery_time": {
        "p50": None,
        "p75": None,
        "p90": None,
        "unit": "seconds",
        "n": None,
        "n_open": None,
        "tier": None,
        "mean_time_to_restore": {"mean": None, "n": None},
    },
    "deployment_rework_rate": {"value": None, "unplanned": None, "deployments": None},
}


class UnknownEnvironment(ValueError):
    """The service was never deployed to this environment. The message suggests one, or lists those that there are: `known`."""

    def __init__(self, service: Service, environment: str, known: Sequence[str]) -> None:
        values = {"service": service, "environment": environment, "meant": suggestion(environment, known)}
        super().__init__(_("%(service)s was never deployed to %(environment)r; %(meant)s") % values)
        self.known = known


def check_environment(service: Service, environment: str) -> None:
    """Raise UnknownEnvironment if the service was never deployed to the environment.

    Without this check the report would have zeros, which would look like an answer.
    """
    if environment == PRODUCTION:
        return
    known = environments(service)
    if environment not in known:
        raise UnknownEnvironment(service, environment, sorted({PRODUCTION, *known}))


def environments(service: Service) -> set[str]:
    """Return the names of the environments to which the service was deployed."""
    return set(deployments_by_environment(service))


def report(service: Service, *, start: date, end: date, by: str, environment: str, time_zone: str, now: datetime) -> dict[str, Any]:
    """Return the object that `dora_report --format json` prints. Raises UnknownEnvironment.

    It has every period of the kind `by` (day, week or month) that overlaps [start, end) and has begun, or by range the one period
    [start, end). `environment`: production, or another environment by its exact name. Production's values by day, week and month are
    stored; all others are computed here.
    """
    [found] = reports([service], start=start, end=end, by=by, environment=environment, time_zone=time_zone, now=now)
    return found


def reports(services: Sequence[Service], *, start: date, end: date, by: str, environment: str, time_zone: str, now: datetime) -> list[dict[str, Any]]:
    """Return the report of each service, in the order of `services`. One query reads the stored values of all of them."""
    for service in services:
        check_environment(service, environment)
    today = now.astimezone(ZoneInfo(time_zone)).date()
    periods = begun_periods(start, end, by, today=today)
    if environment == PRODUCTION and by != RANGE:
        found = _stored(services, periods)
    else:
        found = _computed(services, periods, environment=environment, now=now)
    rows: dict[int, dict[tuple[date, str], DORAMetric]] = defaultdict(dict)
    for row in found:
        rows[row.service_id][row.period_start, row.metric] = row
    return [
        {
            "service": service.name,
            "environment": environment,
            "from": start.isoformat(),
            "to": end.isoformat(),
            "by": by,
            "time_zone": time_zone,
            "definition_version": DEFINITION_VERSION,
            "periods": [_period(period, rows[service.pk], today) for period in periods],
        }
        for service in services
    ]


def begun_periods(start: date, end: date, by: str, *, today: date) -> list[Period]:
    """Return every period of the kind `by` (day, week or month) that overlaps [start, end) and has begun. Periods are whole.

    By range it is the period [start, end), if it has begun.
    """
    if by == RANGE:
        return [Period(start, end, RANGE)] if start <= today else []
    return list(periods_between(start, min(end, today + ONE_DAY), by))


def _stored(services: Sequence[Service], periods: Sequence[Period]) -> Iterable[DORAMetric]:
    if not periods:
        return []
    first, last = periods[0], periods[-1]
    stored = DORAMetric.objects.filter(service__in=services, environment=PRODUCTION, period=first.kind)
    return stored.filter(period_start__gte=first.start, period_start__lte=last.start)


def _computed(services: Sequence[Service], periods: Sequence[Period], *, environment: str, now: datetime) -> Iterable[DORAMetric]:
    if not periods:
        return
    kind = periods[0].kind
    for service in services:
        if environment == PRODUCTION:
            linked = stored_links_of(service, periods, moment=now)
        else:
            linked = linked_facts_of(service, environment=environment, moment=now)
        values = values_in(linked, periods[0]) if kind == RANGE else values_of(linked)
        for value in values:
            if value.period_kind == kind:
                yield DORAMetric(service=service, **metric_row(value, time_zone=settings.ETL_TIME_ZONE))


def _period(period: Period, rows: Mapping[tuple[date, str], DORAMetric], today: date) -> dict[str, Any]:
    found = {metric: rows.get((period.start, metric)) for metric in UNKNOWN}
    flags = {metric: sorted(row.quality_flags) if row else [NOT_COLLECTED] for metric, row in found.items()}
    is_partial = period.end > today or any(row.is_partial for row in found.values() if row)
    return {
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "partial": is_partial,
        **{metric: _shown(metric, row) for metric, row in found.items()},
        "quality_flags": sorted({flag for of_metric in flags.values() for flag in of_metric}),
        "metric_flags": flags,
    }


def _shown(metric: str, row: DORAMetric | None) -> dict[str, Any]:
    """Return the metric as the report shows it. If its facts were not collected, every number is None."""
    unknown = UNKNOWN[metric]
    if row is None or NOT_COLLECTED in row.quality_flags:
        return dict(unknown)
    columns = {"value": row.value, "p50": row.p50, "p75": row.p75, "p90": row.p90, "unit": row.unit, "n": row.n, "tier": row.tier or None}
    return {name: row.details[name] if name in row.details else columns[name] for name in unknown}
