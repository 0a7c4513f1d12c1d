"""Write the summary of a service's stored metrics, which pages with many services read."""

import secrets

from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_values import metrics_of
from dora_metrics.calculators.periods import local_date, start_of
from dora_metrics.derivation.environments import deployments_by_environment
from dora_metrics.models import MetricsSummary, Service

MOST_ENVIRONMENTS = 20  # of a service: some services have one for each pull request
Collected = dict[str, dict[str, str | bool]]


def update_summary(service: Service, linked: LinkedFacts, *, has_changed: bool) -> None:
    """Store the summary with a new stamp, unless neither it nor a row has changed. `has_changed`: whether a row of the service has."""
    names = [name for name, _ in deployments_by_environment(service).most_common(MOST_ENVIRONMENTS)]
    columns = {"collected": collected_dates(linked), "environments": names}
    stored = MetricsSummary.objects.filter(service=service).values(*columns).first()
    if has_changed or stored != columns:
        MetricsSummary.objects.update_or_create(service=service, defaults={**columns, "stamp": secrets.token_hex(8)})


def collected_dates(linked: LinkedFacts) -> Collected:
    """Return the first and the last collected local date of each metric, and whether collection began inside the first date."""
    zone = linked.settings.time_zone
    found: Collected = {}
    for metric in metrics_of(linked):
        if metric.coverage:
            first, last = local_date(metric.coverage.since, zone), local_date(metric.coverage.until, zone)
            begins_inside = metric.coverage.since > start_of(first, zone)
            found[metric.name] = {"first": first.isoformat(), "last": last.isoformat(), "begins_inside": begins_inside}
    return found
