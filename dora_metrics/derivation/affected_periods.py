"""Find the first local date from which new or changed facts may affect metrics.

A late incident, for example, affects the metrics from the date of its deployment on. Metrics are computed from attempts, deliveries
and incidents. The rows of these are stored, so the earliest row that differs from the stored one shows from which date on values
may have changed.
"""

from collections.abc import Collection
from datetime import date, datetime

from django.db.models import Max, Min, Q

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_values import metrics_of
from dora_metrics.calculators.periods import local_date, start_of
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.models import DORAMetric, Service


def first_affected_date(touched: Collection[datetime], service: Service, linked: LinkedFacts) -> date:
    """Return the first local date from which periods must be measured again; `date.min` means all periods.

    The values of these periods may have changed, or the periods were not over when they were last measured. `touched`: the times from which
    the changed attempts, deliveries and incidents count, before and now. `linked`: its settings and coverage are used.
    """
    return min([_last_measured(service, linked), *([local_date(min(touched), linked.settings.time_zone)] if touched else [])])


def _last_measured(service: Service, linked: LinkedFacts) -> date:
    """Return the last day up to which all metrics were measured. That day was not over when it was measured.

    Return `date.min` if the stored metrics were computed with another definition version or time zone, or if collection began at
    another time.
    """
    of_days = Q(period="day")
    stored = DORAMetric.objects.filter(service=service, environment=PRODUCTION).values("metric", "definition_version", "time_zone")
    rows = stored.annotate(
        first=Min("period_start", filter=of_days),
        last=Max("period_start", filter=of_days),
        first_partial=Min("period_start", filter=of_days & Q(is_partial=True)),
    )
    zone = linked.settings.time_zone
    if {(row["definition_version"], row["time_zone"]) for row in rows} != {(DEFINITION_VERSION, zone)}:
        return date.min
    measured = {row["metric"]: row for row in rows}
    covered = {metric.name: metric.coverage for metric in metrics_of(linked) if metric.coverage}
    first_of = {name: local_date(coverage.since, zone) for name, coverage in covered.items()}
    if {name: row["first"] for name, row in measured.items()} != first_of:
        return date.min
    # If collection now begins at another hour of the same day, the first periods may have become partial or stopped being partial.
    begins_inside = {name for name, coverage in covered.items() if coverage.since > start_of(first_of[name], zone)}
    if {name for name, row in measured.items() if row["first_partial"] == row["first"]} != begins_inside:
        return date.min
    return min(min(measured[name]["last"], local_date(coverage.until, zone)) for name, coverage in covered.items())
