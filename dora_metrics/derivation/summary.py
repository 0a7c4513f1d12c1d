"""Write the summary of a service's stored metrics, which pages with many services read."""

import secrets
from typing import Any

from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_values import metrics_of
from dora_metrics.calculators.periods import local_date, start_of
from dora_metrics.derivation.environments import deployments_by_environment
from dora_metrics.models import MetricsSummary, Service

MOST_ENVIRONMENTS = 20  # of a service: some services have one for each pull request
Collected = dict[str, dict[str, str | bool]]


def update_summary(service: Service, linked: LinkedFacts, *, has_new_facts: bool, has_changed: bool, derived_from: str) -> None:
    """Store the summary, with a new stamp if the collected dates, the environments or a row has changed. Call it with the service locked.

    `has_new_facts`: whether the facts may have changed. `has_changed`: whether a row of the service has. `derived_from`: the digest of what the
    rows were derived from.
    """
    shown: dict[str, Any] = {"collected": collected_dates(linked)}
    if has_new_facts:
        shown["environments"] = most_frequent_environments(service)
    stored: Any = MetricsSummary.objects.filter(service=service).values("collected", "environments", "derived_from").first()
    if stored is None or has_changed or any(stored[name] != value for name, value in shown.items()):
        shown["stamp"] = secrets.token_hex(8)
    if stored is None:
        MetricsSummary.objects.create(service=service, derived_from=derived_from, **shown)
    elif "stamp" in shown or stored["derived_from"] != derived_from:
        MetricsSummary.objects.filter(service=service).update(derived_from=derived_from, **shown)


def most_frequent_environments(service: Service) -> list[str]:
    counts = deployments_by_environment(service)
    return sorted(counts, key=lambda name: (-counts[name], name))[:MOST_ENVIRONMENTS]


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
