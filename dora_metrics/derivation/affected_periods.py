"""Find the first date whose metrics a change of facts affects: a late incident affects the periods from its deployment on.

Metrics are made of attempts, deliveries and incidents. These are stored, so the rows that differ show which periods may have changed.
"""

from collections.abc import Iterable
from datetime import date

from django.db.models import Max, Min, Q

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_values import metrics_of
from dora_metrics.calculators.periods import local_date, start_of
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.derivation.changed_rows import Difference, Table
from dora_metrics.models import DORAMetric, Service


def first_affected_date(differences: Iterable[tuple[Table, Difference]], service: Service, linked: LinkedFacts) -> date:
    """Return the first local date whose periods must be measured again: they may have changed, or were not over when last measured.

    `differences`: the changed rows of attempts, deliveries and incidents. `date.min` means all periods.
    """
    touched = [row[table.moment] for table, difference in differences for row in (difference.before, difference.after) if row]
    return min([_last_measured(service, linked), *([local_date(min(touched), linked.settings.time_zone)] if touched else [])])


def _last_measured(service: Service, linked: LinkedFacts) -> date:
    """Return the last day that was measured. It was not over then.

    It is `date.min` if the stored metrics were computed by another definition or time zone, or from another start of collection.
    """
    stored = DORAMetric.objects.filter(service=service, environment=PRODUCTION)
    zone = linked.settings.time_zone
    if list(stored.values_list("definition_version", "time_zone").distinct()) != [(DEFINITION_VERSION, zone)]:
        return date.min
    days = stored.filter(period="day").values("metric").annotate(first=Min("period_start"), last=Max("period_start"))
    measured = {row["metric"]: (row["first"], row["last"]) for row in days}
    covered = {metric.name: metric.coverage for metric in metrics_of(linked) if metric.coverage}
    first_of = {name: local_date(coverage.since, zone) for name, coverage in covered.items()}
    if {name: first for name, (first, _) in measured.items()} != first_of:
        return date.min
    # If collection now begins at another hour of the same day, its first periods become partial, or are no longer partial.
    begins_inside = {name for name, coverage in covered.items() if coverage.since > start_of(first_of[name], zone)}
    first_days = Q(*(Q(metric=name, period_start=first) for name, first in first_of.items()), _connector=Q.OR)
    if set(stored.filter(first_days, period="day", is_partial=True).values_list("metric", flat=True)) != begins_inside:
        return date.min
    return min(min(measured[name][1], local_date(coverage.until, zone)) for name, coverage in covered.items())
