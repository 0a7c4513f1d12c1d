"""Recompute a service's attempts, deliveries, incidents and production metrics from its stored facts.

Periods are measured again from the first affected one on (affected_periods.py), and only rows that differ are written. If a value
changes after its period was over, a MetricRevision records the change. Metrics of other environments are not stored, because
reports compute them when they are asked for.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

from django.conf import settings
from django.db import models
from django.utils.timezone import now

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.inputs import Coverage
from dora_metrics.calculators.linked_facts import LinkedFacts, links_of_facts, metric_coverage
from dora_metrics.calculators.metric_values import MetricValue, covered_periods, metrics_of, values_of
from dora_metrics.calculators.periods import RANGE, Period, local_date, periods_between
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.derivation.affected_periods import first_affected_date
from dora_metrics.derivation.changed_rows import ATTEMPTS, INCIDENTS, METRIC_KEY, METRICS, Difference, write_changed_rows, write_linked_rows
from dora_metrics.derivation.deliveries import update_deliveries
from dora_metrics.derivation.derived_rows import attempt_row, incident_row, metric_row
from dora_metrics.derivation.garbage_collection import garbage_collection_paused
from dora_metrics.derivation.link_inputs import are_current, digest_of_inputs, state_of_facts
from dora_metrics.derivation.stored_facts import Repositories, counted_repositories, coverage_of, facts_of, settings_of
from dora_metrics.derivation.stored_links import measurable_links_of, source_of
from dora_metrics.derivation.summary import update_summary
from dora_metrics.models import MetricRevision, Service

logger = logging.getLogger(__name__)

REVISIONS_PER_QUERY = 500
MONTHS_AT_ONCE = 6
REVISED = ("value", "n", "numerator", "denominator", "p50", "p75", "p90", "tier", "quality_flags", "details")


def hold(service: Service) -> Service:
    """Lock the service's row for this transaction. Call it before the transaction writes anything else of the service.

    Without the lock, the runs of two sources that load facts at the same time would each recompute without the facts of the
    other. The lock must come first, because on MySQL an insert that refers to the service takes a shared lock on the service's row. If
    two transactions hold the shared lock and both request the exclusive lock, they are in a deadlock.
    """
    return Service.objects.select_for_update().get(pk=service.pk)


def recompute(service: Service, *, run_id: int | None = None, moment: datetime | None = None, trusts_versions: bool = False) -> int:
    """Recompute everything that new facts or changed settings may have changed. Return how many metrics changed.

    Call it inside a transaction that has called `hold` first. `moment`: coverage ends at this time at the latest; None means now.
    `trusts_versions`: whether facts count as unchanged if every version of them that is counted is the same as before. Then they are not read.
    """
    with garbage_collection_paused():
        links = _update_links(service, moment=moment or now(), trusts_versions=trusts_versions)
        start = date.min if links.service.needs_recompute else first_affected_date(links.touched, links.service, links.known)
        return _recompute_metrics(links, start=start, end=date.max, run_id=run_id)


def recompute_periods(service: Service, *, start: date | None = None, end: date | None = None, moment: datetime | None = None) -> int:
    """Recompute every period that overlaps [start, end), even if nothing in it has changed. Return how many metrics changed.

    If `start` or `end` is None, the range is open on that side. If an attempt, delivery or incident has changed, the range is extended by the
    periods in which it may count, because the next run finds it stored and so does not measure them. Call it inside a transaction.
    `moment`: as for `recompute`.
    """
    with garbage_collection_paused():
        links = _update_links(service, moment=moment or now())
        first, last = start or date.min, end or date.max
        if links.touched:
            first, last = min(first, local_date(min(links.touched), links.known.settings.time_zone)), date.max
        return _recompute_metrics(links, start=first, end=last, run_id=None)


@dataclass(frozen=True, slots=True)
class Links:
    """The stored attempts, deliveries and incidents of a service after they were recomputed.

    `known`: the settings, source and coverage by which they are measured; it has no facts. `touched`: when the changed rows count in metrics,
    before and now. `digest`: of what the rows were derived from. `are_new`: False if they were kept as they were.
    """

    service: Service
    repositories: Repositories
    known: LinkedFacts
    touched: list[datetime]
    digest: str
    are_new: bool = True


def _update_links(service: Service, *, moment: datetime, trusts_versions: bool = False) -> Links:
    """Recompute attempts, deliveries and incidents, unless it is certain that they are the same as before."""
    service = hold(service)
    repositories, chosen = counted_repositories(service), settings_of(service, time_zone=settings.ETL_TIME_ZONE)
    state = state_of_facts(service, repositories.values())
    if trusts_versions:
        source = source_of(service)
        coverage = metric_coverage(coverage_of(service, repositories.values()), source, now=moment)
        known = LinkedFacts.of(chosen, source=source, coverage=coverage)
        if are_current(service, digest := digest_of_inputs(service, state, known, moment=moment)):
            return Links(service, repositories, known, [], digest, are_new=False)
    known, touched = _link_again(service, repositories, chosen, moment=moment)
    return Links(service, repositories, known, touched, digest_of_inputs(service, state, known, moment=moment))


def _link_again(service: Service, repositories: Repositories, chosen: Settings, *, moment: datetime) -> tuple[LinkedFacts, list[datetime]]:
    """Return `known` and `touched` of Links."""
    facts = facts_of(service, repositories=repositories, without=("lead_times", "unlabelled_issues"))
    links = links_of_facts(facts, chosen, now=moment)
    known = LinkedFacts.of(chosen, source=links.source, coverage=metric_coverage(facts.coverage, links.source, now=moment))
    del facts  # of a large service it takes most of the memory
    ids = {name: repository.pk for name, repository in repositories.items()}
    touched = write_linked_rows(ATTEMPTS, service, ((one.attempt.key, attempt_row(one, known, ids)) for one in links.outcomes))
    touched += write_linked_rows(INCIDENTS, service, ((one.incident.key, incident_row(one, ids)) for one in links.incidents))
    touched += update_deliveries(service, {ids[name]: matches for name, matches in links.matches.items() if name in ids}, chosen)
    return known, touched


def _windows(known: LinkedFacts, since: date) -> list[tuple[date, date]]:
    """Return ranges [first, last) of dates that together have all dates.

    A range has no more than MONTHS_AT_ONCE months of the collected time after `since`, so that it can be measured in little memory.
    """
    spans, zone = _collected_spans(known), known.settings.time_zone
    bounds = [date.min]
    if spans:
        first, last = min(local_date(span.since, zone) for span in spans), max(local_date(span.until, zone) for span in spans)
        months = [period.start for period in periods_between(max(first, since), last, "month")]
        bounds += months[MONTHS_AT_ONCE::MONTHS_AT_ONCE]
    return list(pairwise([*bounds, date.max]))


def _collected_spans(known: LinkedFacts) -> set[Coverage]:
    return {metric.coverage for metric in metrics_of(known) if metric.coverage}


def _recompute_metrics(links: Links, *, start: date, end: date, run_id: int | None) -> int:
    """Recompute the metrics of the periods that overlap [start, end). Return how many metrics changed.

    A MetricRevision is stored for each value that changed although its period was over.
    """
    service = links.service
    revised = changed = 0
    for window in _windows(links.known, start):
        first, last = window[0], min(window[1], end)
        rows = [metric_row(value, time_zone=links.known.settings.time_zone) for value in _values(links, since=start, starts=(first, last))]
        in_window = models.Q(environment=PRODUCTION, period_start__gte=first, period_start__lt=last, period_end__gt=start)
        differences = write_changed_rows(METRICS, service, rows, only=in_window, run_id=run_id)
        changed += len(differences)
        revised += _store_revisions(service, differences, run_id=run_id)
    if service.needs_recompute and (start, end) == (date.min, date.max):
        Service.objects.filter(pk=service.pk).update(needs_recompute=False)
    has_changed = bool(links.touched or changed)
    update_summary(service, links.known, has_new_facts=links.are_new, has_changed=has_changed, derived_from=links.digest)
    logger.info("metrics_recomputed", extra={"service": service.name, "since": start.isoformat(), "changed": changed, "revised": revised})
    return changed


def _values(links: Links, *, since: date, starts: tuple[date, date]) -> list[MetricValue]:
    """Return the values of the periods that end after `since` and start within `starts`."""
    zone = links.known.settings.time_zone
    periods = {period for span in _collected_spans(links.known) for period in covered_periods(span, zone, since=since, starts=starts)}
    if not periods:
        return []
    whole = Period(min(period.start for period in periods), max(period.end for period in periods), RANGE)
    return values_of(measurable_links_of(links.service, whole, links.known, repositories=links.repositories), since=since, starts=starts)


def _store_revisions(service: Service, differences: Iterable[Difference], *, run_id: int | None) -> int:
    """Store what changed in values whose periods were over. Return how many values that were."""
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
    return len(revisions)
