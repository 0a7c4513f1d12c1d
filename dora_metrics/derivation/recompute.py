"""Recompute a service's attempts, deliveries, incidents and production metrics from its stored facts.

Periods are measured again from the first affected one on (affected_periods.py), and only rows that differ are written. If a value
changes after its period was over, a MetricRevision records the change. Metrics of other environments are not stored, because
reports compute them when they are asked for.
"""

import logging
from collections.abc import Iterable
from datetime import date, datetime

from django.db import models

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_values import values_of
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.derivation.affected_periods import first_affected_date
from dora_metrics.derivation.changed_rows import ATTEMPTS, DELIVERIES, INCIDENTS, METRIC_KEY, METRICS, Difference, Table, write_changed_rows
from dora_metrics.derivation.derived_rows import Row, attempt_row, delivery_row, incident_row, metric_row
from dora_metrics.derivation.garbage_collection import garbage_collection_paused
from dora_metrics.derivation.stored_facts import counted_repositories, linked_facts_of
from dora_metrics.derivation.summary import update_summary
from dora_metrics.models import Change, MetricRevision, Service

logger = logging.getLogger(__name__)

REVISIONS_PER_QUERY = 500
REVISED = ("value", "n", "numerator", "denominator", "p50", "p75", "p90", "tier", "quality_flags", "details")


def hold(service: Service) -> Service:
    """Lock the service's row for this transaction. Call it before the transaction writes anything else of the service.

    Without the lock, the runs of two sources that load facts at the same time would each recompute without the facts of the
    other. The lock must come first, because on MySQL an insert that refers to the service takes a shared lock on the service's row. If
    two transactions hold the shared lock and both request the exclusive lock, they are in a deadlock.
    """
    return Service.objects.select_for_update().get(pk=service.pk)


def recompute(service: Service, *, run_id: int | None = None, moment: datetime | None = None) -> int:
    """Recompute everything that new facts or changed settings may have changed. Return how many metrics changed.

    Call it inside a transaction that has called `hold` first. `moment`: coverage ends at this time at the latest; None means now.
    """
    with garbage_collection_paused():
        service, linked, differences = _recompute_rows(service, moment=moment)
        start = date.min if service.needs_recompute else first_affected_date(differences, service, linked)
        changed = _recompute_metrics(service, linked, start=start, end=date.max, run_id=run_id)
        update_summary(service, linked, has_changed=bool(differences or changed))
        return changed


def recompute_periods(service: Service, *, start: date | None = None, end: date | None = None, moment: datetime | None = None) -> int:
    """Recompute every period that overlaps [start, end), even if nothing in it has changed. Return how many metrics changed.

    If `start` or `end` is None, the range is open on that side. Call it inside a transaction. `moment`: as for `recompute`.
    """
    with garbage_collection_paused():
        service, linked, differences = _recompute_rows(service, moment=moment)
        changed = _recompute_metrics(service, linked, start=start or date.min, end=end or date.max, run_id=None)
        update_summary(service, linked, has_changed=bool(differences or changed))
        return changed


def _recompute_rows(service: Service, *, moment: datetime | None) -> tuple[Service, LinkedFacts, list[tuple[Table, Difference]]]:
    """Recompute attempts, deliveries and incidents.

    Return the locked service, its linked facts, and the rows that changed, each with its table.
    """
    service = hold(service)
    linked = linked_facts_of(service, environment=PRODUCTION, moment=moment)
    repository_ids = {name: repository.pk for name, repository in counted_repositories(service).items()}
    merged = Change.present.filter(service=service, merged_at__isnull=False).values_list("repository_id", "number", "pk")
    change_ids = {(repository_id, number): pk for repository_id, number, pk in merged}
    wanted: list[tuple[Table, Iterable[Row]]] = [
        (ATTEMPTS, (attempt_row(outcome, linked, repository_ids) for outcome in linked.attempts)),
        (DELIVERIES, (delivery_row(change, change_ids[repository_ids[change.repository], change.pull.number]) for change in linked.changes)),
        (INCIDENTS, (incident_row(incident, repository_ids) for incident in linked.incidents)),
    ]
    return service, linked, [(table, difference) for table, rows in wanted for difference in write_changed_rows(table, service, rows)]


def _recompute_metrics(service: Service, linked: LinkedFacts, *, start: date, end: date, run_id: int | None) -> int:
    """Recompute the metrics of the periods that overlap [start, end). Return how many metrics changed.

    A MetricRevision is stored for each value that changed although its period was over.
    """
    values = (metric_row(value, time_zone=linked.settings.time_zone) for value in values_of(linked, since=start))
    rows = [row for row in values if row["period_start"] < end]
    overlapping = models.Q(environment=PRODUCTION, period_start__lt=end, period_end__gt=start)
    differences = write_changed_rows(METRICS, service, rows, only=overlapping, run_id=run_id)
    revisions = [
        MetricRevision(
            service=service,
            **{name: difference.before[name] for name in METRIC_KEY},
            before=before,
            after=after,
            definition_version=DEFINITION_VERSION,
            run_id=run_id,
        )
        for difference in differences
        if difference.before
        and not difference.before["is_partial"]
        and (before := {name: difference.before[name] for name in REVISED})
        != (after := {name: difference.after[name] for name in REVISED} if difference.after else {})
    ]
    MetricRevision.objects.bulk_create(revisions, batch_size=REVISIONS_PER_QUERY)
    if service.needs_recompute and (start, end) == (date.min, date.max):
        Service.objects.filter(pk=service.pk).update(needs_recompute=False)
    changed = {"service": service.name, "since": start.isoformat(), "changed": len(differences), "revised": len(revisions)}
    logger.info("metrics_recomputed", extra=changed)
    return len(differences)
