"""Rebuild the linked facts of production from the rows that were derived from them (derived_rows.py is the reverse).

Linking reads all facts of a service, which takes seconds for a large one. The rows of the periods in question take milliseconds. What
the metrics compute from the rebuilt facts for these periods equals what they compute from the linked facts. No rows are stored for other
environments, so their facts are linked.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils.timezone import now

from dora_metrics.calculators.change_matching import Match
from dora_metrics.calculators.deployment_frequency import RECENT
from dora_metrics.calculators.deployment_sources import AUTO, GITHUB
from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.failures import INCIDENT, AttemptOutcome, Cause
from dora_metrics.calculators.incident_linking import Link
from dora_metrics.calculators.incidents import Incident, LogErrors, LogEvidence
from dora_metrics.calculators.inputs import Origin, PullRequest
from dora_metrics.calculators.lead_time_stages import LeadTime
from dora_metrics.calculators.linked_facts import LinkedFacts, LinkedIncident, MetricCoverage, link_facts, metric_coverage
from dora_metrics.calculators.log_incidents import ONE_MINUTE, errors_command
from dora_metrics.calculators.periods import Period, start_of
from dora_metrics.calculators.quality_flags import CLOCK_SKEW, IMPOSSIBLE_CAUSE, RECOVERED_BEFORE_FINISH
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.derivation.environments import stored_source
from dora_metrics.derivation.garbage_collection import garbage_collection_paused
from dora_metrics.derivation.stored_facts import counted_repositories, coverage_of, facts_of_each, settings_of
from dora_metrics.models import Attempt as AttemptRow
from dora_metrics.models import Change, Delivery, Repository, Service
from dora_metrics.models import Incident as IncidentRow

PULL_COLUMNS = ("author", "author_is_bot", "base_branch", "head_sha", "merge_sha", "created_at", "merged_at", "closed_at", "title")
Span = tuple[datetime, datetime]
Names = Mapping[int | None, str]  # the name of each repository by its id; the key None has ""


@garbage_collection_paused()
def stored_links_of(
    service: Service,
    periods: Sequence[Period],
    *,
    moment: datetime | None = None,
    repositories: Mapping[str, Repository] | None = None,
    with_changes: Sequence[Period] | None = None,
) -> LinkedFacts:
    """Return the linked facts that count in at least one of the periods, and some more. `moment`: as for `linked_facts_of`.

    It takes at most seven queries, whatever the number of facts. `repositories`: those that `counted_repositories` returns, if they have
    been read already. `with_changes`: the periods in which the changes are needed, too; None for all.
    """
    chosen = settings_of(service, time_zone=settings.ETL_TIME_ZONE)
    repositories = counted_repositories(service) if repositories is None else repositories
    attempts, incidents = _attempts_and_incidents(service, _spans(periods, chosen.time_zone), read=_attempts)
    delivered = _spans(periods if with_changes is None else with_changes, chosen.time_zone)
    source = source_of(service, attempts)
    return linked_from_rows(
        chosen,
        names_by_id(repositories),
        source=source,
        coverage=metric_coverage(coverage_of(service, repositories.values()), source, now=moment or now()),
        attempts=attempts,
        deliveries=_deliveries(service, _within("deployed_at", delivered)) if delivered else [],
        incidents=incidents,
    )


@garbage_collection_paused()
def measurable_links_of(service: Service, period: Period, known: LinkedFacts, *, repositories: Mapping[str, Repository]) -> LinkedFacts:
    """Return the linked facts from which the metrics of each period within `period` are measured. Columns that are only shown are left blank.

    `known`: its settings, source and coverage are used.
    """
    spans = _spans([period], known.settings.time_zone)
    attempts, incidents = _attempts_and_incidents(service, spans, read=_measured_attempts)
    return linked_from_rows(
        known.settings,
        names_by_id(repositories),
        source=known.source,
        coverage=known.coverage,
        attempts=attempts,
        deliveries=_measured_deliveries(service, _within("deployed_at", spans)),
        incidents=incidents,
    )


def _attempts_and_incidents(
    service: Service, spans: Sequence[Span], *, read: Callable[[Service, Q], list["StoredAttempt"]]
) -> tuple[list["StoredAttempt"], list[IncidentRow]]:
    """Return the attempts and incidents that count within the spans, and the attempts to which these incidents are linked.

    `read`: returns the service's attempts that meet a condition.
    """
    # The tier of the deployment frequency, and its deploy days per week, count days before the period.
    long_spans = [(start - RECENT, end) for start, end in spans]
    has_recovered = Q(is_failed=True) & _within("recovered_at", spans)
    attempts = read(service, _within("finished_at", long_spans) | has_recovered)
    of_logs = {cause["fact"] for row in attempts for cause in row.causes if cause["rule"] == INCIDENT and cause["fact"].startswith("logs ")}
    has_counted = _within("started_at", spans) | _within("ended_at", spans) | Q(key__in=of_logs)
    incidents = list(IncidentRow.objects.filter(has_counted, service=service))
    missing = {incident.deployment for incident in incidents} - {attempt.key for attempt in attempts} - {""}
    return [*attempts, *(read(service, Q(key__in=missing)) if missing else ())], incidents


# Named tuples are read in half the time that instances of the models take.
StoredAttempt: Any = namedtuple(
    "StoredAttempt",
    "key repository_id ids source environment sha started_at finished_at is_success causes unplanned recovered_at recovered_by flags url page_id",
)
StoredDelivery: Any = namedtuple("StoredDelivery", "deployment how change_start lead_time_seconds is_bots stages flags change")
StoredChange: Any = namedtuple(
    "StoredChange", "number repository_id url page_id author author_is_bot base_branch head_sha merge_sha created_at merged_at closed_at title"
)


def _attempts(service: Service, condition: Q) -> list[StoredAttempt]:
    rows = AttemptRow.objects.filter(condition, service=service)
    return [StoredAttempt._make(row) for row in rows.values_list(*StoredAttempt._fields)]


def _measured_attempts(service: Service, condition: Q) -> list[StoredAttempt]:
    """Return the attempts with the columns that metrics are measured by. What is only shown is left blank."""
    columns = ("key", "source", "finished_at", "is_success", "causes", "unplanned", "recovered_at", "flags")
    return [
        StoredAttempt(key, None, [key], source, "", "", finished_at, finished_at, is_success, causes, unplanned, recovered_at, "", flags, "", 0)
        for key, source, finished_at, is_success, causes, unplanned, recovered_at, flags in AttemptRow.objects.filter(
            condition, service=service
        ).values_list(*columns)
    ]


def _pull_request(change: Change | StoredChange) -> PullRequest:
    return PullRequest(
        number=change.number, origin=Origin(change.url, change.page_id), **{column: getattr(change, column) for column in PULL_COLUMNS}
    )


NO_CHANGE = StoredChange(0, None, "", 0, "", False, "", "", "", None, None, None, "")
NO_PULL = _pull_request(NO_CHANGE)


def _measured_deliveries(service: Service, condition: Q) -> list[StoredDelivery]:
    """Return the deliveries with the columns that metrics are measured by, and without their changes."""
    columns = ("deployment", "lead_time_seconds", "is_bots", "stages", "flags")
    rows = Delivery.objects.filter(condition, service=service).values_list(*columns)
    return [StoredDelivery(key, "", None, seconds, is_bots, stages, flags, NO_CHANGE) for key, seconds, is_bots, stages, flags in rows]


def _deliveries(service: Service, condition: Q) -> list[StoredDelivery]:
    own = StoredDelivery._fields[:-1]
    of_change = [f"change__{column}" for column in StoredChange._fields]
    rows = Delivery.objects.filter(condition, service=service).values_list(*own, *of_change)
    return [StoredDelivery._make((*row[: len(own)], StoredChange._make(row[len(own) :]))) for row in rows]


def _spans(periods: Iterable[Period], time_zone: str) -> list[Span]:
    return [(start_of(period.start, time_zone), start_of(period.end, time_zone)) for period in periods]


def linked_facts_in(
    service: Service, environment: str, *, moment: datetime | None = None, repositories: Mapping[str, Repository] | None = None
) -> LinkedFacts:
    """Return the linked facts of an environment other than production, like `linked_facts_of`.

    The source of deployments that counts is known from production, so the facts of other sources are not read. Neither are the logs'
    counts: an incident from the logs is linked by time, which is done in production only, and counts nowhere else.
    """
    known = counted_repositories(service) if repositories is None else repositories
    return linked_facts_of_each([service], environment, {service.pk: known}, moment=moment)[service.pk]


def linked_facts_of_each(
    services: Sequence[Service], environment: str, repositories: Mapping[int, Mapping[str, Repository]], *, moment: datetime | None = None
) -> dict[int, LinkedFacts]:
    """Return what `linked_facts_in` returns for each service, by the service's id. The number of queries does not depend on the services.

    `repositories`: by the service's id, as `counted_repositories_of` returns them.
    """
    sources = _sources(services)
    counted = set(sources.values())
    unread = {"log_hours", *({"releases"} - counted)}
    unread |= set() if "logs" in counted else {"log_deployments"}
    unread |= set() if counted & {GITHUB, "workflows"} else {"workflow_runs"}
    facts = facts_of_each(services, repositories, without=unread)
    found = {}
    for service in services:
        chosen = replace(settings_of(service, time_zone=settings.ETL_TIME_ZONE), deployments_from=sources[service.pk])
        found[service.pk] = link_facts(facts[service.pk], chosen, now=moment or now(), environment=environment)
    return found


def stored_links_of_attempt(service: Service, row: AttemptRow, repositories: Mapping[str, Repository]) -> LinkedFacts:
    """Return the linked facts of one attempt: its changes, its incidents, and those by which it failed. Their coverage is left out."""
    of_causes = {cause["fact"] for cause in row.causes if cause["rule"] == INCIDENT}
    incidents = list(IncidentRow.objects.filter(Q(deployment=row.key) | Q(key__in=of_causes), service=service))
    return linked_from_rows(
        settings_of(service, time_zone=settings.ETL_TIME_ZONE),
        names_by_id(repositories),
        source=row.source,
        coverage=MetricCoverage(None, None, None),
        attempts=[row],
        deliveries=_deliveries(service, Q(deployment=row.key)),
        incidents=incidents,
    )


def _within(column: str, spans: Iterable[Span]) -> Q:
    return Q(*(Q(**{f"{column}__gte": start, f"{column}__lt": end}) for start, end in spans), _connector=Q.OR)


def linked_from_rows(
    chosen: Settings,
    names: Names,
    *,
    source: str,
    coverage: MetricCoverage,
    attempts: Iterable[AttemptRow | StoredAttempt],
    deliveries: Iterable[Delivery | StoredDelivery],
    incidents: Iterable[IncidentRow],
) -> LinkedFacts:
    """Return linked facts with what the rows tell. The database is not read.

    `source`: the source of deployments that counts. `attempts`: among others those of the deliveries, and those to which the
    incidents are linked.
    """
    outcomes = sorted((outcome_of(row, names) for row in attempts), key=lambda outcome: outcome.attempt.order)
    attempt_of = {outcome.attempt.key: outcome.attempt for outcome in outcomes}
    return LinkedFacts.of(
        chosen,
        source=source,
        coverage=coverage,
        attempts=outcomes,
        changes=(lead_time_of(row, attempt_of[row.deployment], names) for row in deliveries),
        incidents=(linked_incident_of(row, attempt_of.get(row.deployment), names, chosen) for row in incidents),
    )


def names_by_id(repositories: Mapping[str, Repository]) -> Names:
    """Return the names for `linked_from_rows`. `repositories`: as `counted_repositories` returns them."""
    return {repository.pk: name for name, repository in repositories.items()} | {None: ""}


def source_of(service: Service, attempts: Iterable[StoredAttempt] = ()) -> str:
    """Return the source of deployments that counts. With "auto" every source without an attempt is passed over, and GitHub is the last resort."""
    if service.deployments_from != AUTO:
        return service.deployments_from
    return next((attempt.source for attempt in attempts), None) or stored_source(service) or GITHUB


def _sources(services: Iterable[Service]) -> dict[int, str]:
    """Return the source of deployments that counts for each service, by the service's id. At most one query."""
    automatic = [service.pk for service in services if service.deployments_from == AUTO]
    known = dict(AttemptRow.objects.filter(service__in=automatic).order_by().values_list("service_id", "source").distinct())
    return {service.pk: known.get(service.pk, GITHUB) if service.deployments_from == AUTO else service.deployments_from for service in services}


def outcome_of(row: AttemptRow | StoredAttempt, names: Names) -> AttemptOutcome:
    """Return the outcome that `derived_rows.attempt_row` turned into the row. Its causes do not say what ended them."""
    attempt = Attempt(
        ids=tuple(row.ids),
        environment=row.environment,
        sha=row.sha,
        started_at=row.started_at,
        finished_at=row.finished_at,
        is_success=row.is_success,
        pull_request=int(row.key.rpartition("#")[2]) if row.source == "pulls" else None,
        has_skew=CLOCK_SKEW in row.flags,
        origin=Origin(row.url, row.page_id),
        repository=names.get(row.repository_id, ""),
    )
    return AttemptOutcome(
        attempt=attempt,
        causes=_causes(row.causes),
        unplanned=_causes(row.unplanned),
        recovered_at=row.recovered_at,
        recovered_by=row.recovered_by,
        flags=frozenset(row.flags) - {RECOVERED_BEFORE_FINISH},
        is_recovered_early=RECOVERED_BEFORE_FINISH in row.flags,
    )


def _causes(stored: Iterable[Mapping[str, Any]]) -> tuple[Cause, ...]:
    return tuple(Cause(cause["rule"], cause["fact"], datetime.fromisoformat(cause["ended_at"]) if cause["ended_at"] else None) for cause in stored)


def lead_time_of(row: Delivery | StoredDelivery, attempt: Attempt, names: Names) -> LeadTime:
    """Return the lead time that `derived_rows.delivery_row` turned into the row. Its pull request has no lists. `attempt`: the deployment."""
    name, pull = names.get(row.change.repository_id, ""), NO_PULL if row.change is NO_CHANGE else _pull_request(row.change)
    qualifier = f"{name}#" if len(names) > 2 else ""  # one repository, and the key None
    return LeadTime(
        key=f"pull request {qualifier}{pull.number}",
        repository=name,
        pull=pull,
        match=Match(attempt, row.how),
        change_start=row.change_start,
        seconds=row.lead_time_seconds,
        stages=row.stages,
        flags=frozenset(row.flags),
        is_by_bot=row.is_bots,
    )


def linked_incident_of(row: IncidentRow, attempt: Attempt | None, names: Names, chosen: Settings) -> LinkedIncident:
    """Return the incident that `derived_rows.incident_row` turned into the row. `attempt`: the deployment that it is linked to."""
    incident = Incident(
        key=row.key,
        started_at=row.started_at,
        ended_at=row.ended_at,
        number=row.number,
        repository=names.get(row.repository_id, ""),
        title=row.title,
        has_skew=CLOCK_SKEW in row.flags,
        origin=Origin(row.url, row.page_id),
        evidence=_evidence(row.evidence, chosen) if row.evidence else None,
    )
    return LinkedIncident(incident, Link(attempt, row.how, is_contradicted=IMPOSSIBLE_CAUSE in row.flags))


def _evidence(stored: Mapping[str, Any], chosen: Settings) -> LogEvidence:
    first, last = datetime.fromisoformat(stored["first_minute"]), datetime.fromisoformat(stored["last_minute"])
    sources = tuple(
        LogErrors(log["source"], log["events"], log["errors"], log["url"], errors_command(log["source"], first, last + ONE_MINUTE, chosen))
        for log in stored["sources"]
    )
    return LogEvidence(first, last, stored["bad_minutes"], stored["events"], stored["errors"], sources)
