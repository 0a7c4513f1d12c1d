"""Select one deployment, change or incident with everything that belongs to it, for its page.

What follows from the facts of production is stored. For another environment all facts of the service are linked.
Each function returns None if there is no such fact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q

from dora_metrics.calculators.bots import is_bot
from dora_metrics.calculators.failures import HOTFIX, REVERT, AttemptOutcome
from dora_metrics.calculators.git_history import Shas
from dora_metrics.calculators.incident_linking import UNLINKED
from dora_metrics.calculators.inputs import PullRequest
from dora_metrics.calculators.lead_time_stages import LeadTime, first_review, possible_dates, ready
from dora_metrics.calculators.linked_facts import LinkedIncident
from dora_metrics.calculators.path_filter import path_filter
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.reverts_and_hotfixes import reverts
from dora_metrics.derivation.stored_facts import counted_repositories, settings_of
from dora_metrics.derivation.stored_links import (
    lead_time_of,
    linked_facts_in,
    linked_incident_of,
    names_by_id,
    outcome_of,
    stored_links_of_attempt,
)
from dora_metrics.derivation.stored_pull_requests import PULL_COLUMNS, pull_request_of
from dora_metrics.models import Attempt, Change, Delivery, Deployment, Incident, Issue, LogDeployment, Release, Repository, Service, WorkflowRun

MERGE_SHA_PREFIXES = range(7, 65)  # the lengths that the sha in "This reverts commit …" may have


@dataclass(frozen=True, slots=True)
class DeploymentFacts:
    """A deployment: its outcome, the changes and incidents that belong to it, and the facts from which its attempt was read.

    `source`: the source of deployments that counts. `facts`: one for each of the attempt's ids, in their order, if they are stored:
    Deployment, LogDeployment, Release, WorkflowRun or Change. `previous` and `following`: the keys of its neighbours in production.
    """

    outcome: AttemptOutcome
    source: str
    changes: Sequence[LeadTime]
    incidents: Sequence[LinkedIncident]
    facts: Sequence[Any]
    repositories: Mapping[str, int]
    previous: str = ""
    following: str = ""


@dataclass(frozen=True, slots=True)
class ChangeFacts:
    """A change: its row, its lead time if it was deployed, and the milestones between its first commit and production, in order.

    `milestones`: the name of each with its time: first_commit, created, ready, first_review, merged, deployed. `outcome`: that of its
    deployment. `reverted_by`: the merged pull requests that revert it. `hotfixes`: those that mend its deployment.
    """

    change: Change
    is_bots: bool
    is_on_path: bool
    lead_time: LeadTime | None
    outcome: AttemptOutcome | None
    milestones: Sequence[tuple[str, datetime]]
    reverted_by: Sequence[Change]
    hotfixes: Sequence[Change]
    repositories: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    """An incident with its link. `issue`: its issue; None for an incident from the logs. `outcome`: that of the linked deployment."""

    linked: LinkedIncident
    issue: Issue | None
    outcome: AttemptOutcome | None
    repositories: Mapping[str, int]


# --- a deployment -----------------------------------------------------------------------------------------------------


def deployment_facts(service: Service, key: str, *, environment: str = PRODUCTION, moment: datetime | None = None) -> DeploymentFacts | None:
    """Return the deployment with this key, which is its id in the source that counts."""
    repositories = counted_repositories(service)
    previous = following = ""
    if environment == PRODUCTION:
        row = Attempt.objects.filter(service=service, key=key).first()
        if row is None:
            return None
        key = row.key
        linked = stored_links_of_attempt(service, row, repositories)
        previous, following = _neighbours(row)
    else:
        linked = linked_facts_in(service, environment, moment=moment, repositories=repositories)
    outcome = next((outcome for outcome in linked.attempts if outcome.attempt.key == key), None)
    if outcome is None:
        return None
    of_causes = {cause.fact for cause in outcome.causes}
    return DeploymentFacts(
        outcome=outcome,
        source=linked.source,
        changes=[change for change in linked.changes if change.match.deployment.key == key],
        incidents=[one for one in linked.incidents if (one.link.attempt and one.link.attempt.key == key) or one.incident.key in of_causes],
        facts=_facts_of_attempt(service, outcome, linked.source, _ids(repositories)),
        repositories=_ids(repositories),
        previous=previous,
        following=following,
    )


def _ids(repositories: Mapping[str, Repository]) -> dict[str, int]:
    return {name: repository.pk for name, repository in repositories.items()}


def _neighbours(row: Attempt) -> tuple[str, str]:
    """Return the keys of the attempts before and after this one, by finish; "" if there is none."""
    rows = Attempt.objects.filter(service=row.service_id)
    before = Q(finished_at__lt=row.finished_at) | Q(finished_at=row.finished_at, pk__lt=row.pk)
    after = Q(finished_at__gt=row.finished_at) | Q(finished_at=row.finished_at, pk__gt=row.pk)
    previous = rows.filter(before).order_by("-finished_at", "-pk").values_list("key", flat=True).first()
    following = rows.filter(after).order_by("finished_at", "pk").values_list("key", flat=True).first()
    return previous or "", following or ""


def _facts_of_attempt(service: Service, outcome: AttemptOutcome, source: str, repositories: Mapping[str, int]) -> list[Any]:
    """Return the rows of the facts from which the attempt and those merged into it were read, in the order of the attempt's ids."""
    ids = outcome.attempt.ids
    if source == "logs":
        rows = {row.event_id: row for row in LogDeployment.objects.filter(service=service, event_id__in=ids)}
        return [rows[one] for one in ids if one in rows]
    repository = repositories.get(outcome.attempt.repository)
    if source == "pulls":
        return list(Change.objects.filter(service=service, repository=repository, number=outcome.attempt.pull_request or 0))
    if source == "workflows":
        runs = WorkflowRun.objects.filter(repository=repository, external_id__in={one.partition(".")[0] for one in ids})
        found: dict[str, Any] = {f"{run.external_id}.{run.attempt}": run for run in runs}
    else:
        model: Any = Release if source == "releases" else Deployment
        found = {str(row.external_id): row for row in model.objects.filter(repository=repository, external_id__in=ids)}
    return [found[one] for one in ids if one in found]


# --- a change ---------------------------------------------------------------------------------------------------------


def change_facts(
    service: Service, repository_id: int, number: int, *, environment: str = PRODUCTION, moment: datetime | None = None
) -> ChangeFacts | None:
    """Return the pull request with this number. If it is not merged or not deployed, it has no lead time."""
    change = Change.objects.filter(service=service, repository=repository_id, number=number).select_related("repository").first()
    if change is None:
        return None
    repositories, bots = counted_repositories(service), frozenset(service.bots)
    lead_time, outcome = _delivery(service, change, repositories, environment=environment, moment=moment)
    pull = pull_request_of({name: getattr(change, name) for name in PULL_COLUMNS}) if change.merged_at else None
    reverted_by, hotfixes = _answers(change, outcome, pull) if pull else ([], [])
    return ChangeFacts(
        change=change,
        is_bots=is_bot(change.author, change.author_is_bot, bots),
        is_on_path=path_filter(service.path)(change.paths),
        lead_time=lead_time,
        outcome=outcome,
        milestones=_milestones(change, pull, lead_time, bots),
        reverted_by=reverted_by,
        hotfixes=hotfixes,
        repositories=_ids(repositories),
    )


def _delivery(
    service: Service, change: Change, repositories: Mapping[str, Repository], *, environment: str, moment: datetime | None
) -> tuple[LeadTime | None, AttemptOutcome | None]:
    """Return the change's lead time, and the outcome of the deployment that first carried it."""
    names = names_by_id(repositories)
    if environment == PRODUCTION:
        row = Delivery.objects.filter(change=change).select_related("change").first()
        attempt = Attempt.objects.filter(service=service, key=row.deployment).first() if row else None
        if row is None or attempt is None:
            return None, None
        outcome = outcome_of(attempt, names)
        return lead_time_of(row, outcome.attempt, names), outcome
    linked = linked_facts_in(service, environment, moment=moment, repositories=repositories)
    name = names.get(change.repository_id, "")
    lead_time = next((one for one in linked.changes if (one.pull.number, one.repository) == (change.number, name)), None)
    if lead_time is None:
        return None, None
    return lead_time, next(one for one in linked.attempts if one.attempt.key == lead_time.match.deployment.key)


def _milestones(change: Change, pull: PullRequest | None, lead_time: LeadTime | None, bots: frozenset[str]) -> list[tuple[str, datetime]]:
    """Return what happened to the change, in the order of the stages. A milestone that is unknown is left out.

    The first commit is the earliest one with a possible date. A pull request that is not merged has no first review, since only reviews
    before the merge count.
    """
    found: list[tuple[str, datetime | None]] = [("created", change.created_at)]
    if pull:
        ready_at, was_draft = ready(pull)
        first_commit = min(possible_dates(pull), default=None)
        found = [
            ("first_commit", first_commit),
            ("created", change.created_at),
            ("ready", ready_at if was_draft else None),
            ("first_review", first_review(pull, bots)),
            ("merged", change.merged_at),
            ("deployed", lead_time.deployed_at if lead_time else None),
        ]
    return [(name, at) for name, at in found if at is not None]


def _answers(change: Change, outcome: AttemptOutcome | None, pull: PullRequest) -> tuple[list[Change], list[Change]]:
    """Return the pull requests that revert the change, and the hotfixes of its deployment."""
    named = {int(number) for cause in (outcome.causes if outcome else ()) if cause.rule in (REVERT, HOTFIX) and (number := _number(cause.fact))}
    shas = [pull.merge_sha[:length] for length in MERGE_SHA_PREFIXES if length <= len(pull.merge_sha)]
    is_named = Q(revert_signs__pull__number=change.number) | Q(revert_signs__branch=change.number) | Q(number__in=named)
    if shas:
        is_named |= Q(revert_signs__sha__in=shas)
    merged = Change.present.filter(repository=change.repository_id, merged_at__isnull=False)
    candidates = {row.number: row for row in merged.filter(is_named).exclude(pk=change.pk).order_by("number")}
    pulls = [pull, *(pull_request_of({name: getattr(row, name) for name in PULL_COLUMNS}) for row in candidates.values())]
    own_names = frozenset(name.lower() for name in change.repository.names)
    known = reverts(pulls, repositories=own_names, shas=Shas([one.merge_sha for one in pulls], [], pull.commit_shas))
    reverting = [row for number, row in candidates.items() if number in known and _reverts(known[number], pull)]
    hotfixing = {int(_number(cause.fact)) for cause in (outcome.causes if outcome else ()) if cause.rule == HOTFIX}
    return reverting, [row for number, row in candidates.items() if number in hotfixing]


def _reverts(revert: Any, pull: PullRequest) -> bool:
    return revert.target_pull == pull.number or (bool(revert.target_sha) and revert.target_sha in pull.commit_shas)


def _number(fact: str) -> str:
    """Return the number at the end of "pull request 7" or "pull request acme/billing#7"; "" for another fact."""
    name, _, text = fact.partition("pull request ")
    number = text.rpartition("#")[2]
    return number if not name and number.isdecimal() else ""


# --- an incident ------------------------------------------------------------------------------------------------------


def incident_facts(service: Service, key: str, *, environment: str = PRODUCTION, moment: datetime | None = None) -> IncidentFacts | None:
    """Return the incident with this key, such as "issue 12". Its link may differ from environment to environment."""
    row = Incident.objects.filter(service=service, key=key).first()
    if row is None:
        return None
    repositories = counted_repositories(service)
    names, chosen = names_by_id(repositories), settings_of(service, time_zone=settings.ETL_TIME_ZONE)
    if environment == PRODUCTION:
        attempt = Attempt.objects.filter(service=service, key=row.deployment).first() if row.deployment else None
        outcome = outcome_of(attempt, names) if attempt else None
        linked = linked_incident_of(row, outcome.attempt if outcome else None, names, chosen)
    else:
        known = linked_facts_in(service, environment, moment=moment, repositories=repositories)
        link = next((one.link for one in known.incidents if one.incident.key == row.key), UNLINKED)
        linked = LinkedIncident(linked_incident_of(row, None, names, chosen).incident, link)
        outcome = next((one for one in known.attempts if link.attempt and one.attempt.key == link.attempt.key), None)
    issue = Issue.objects.filter(service=service, repository=row.repository_id, number=row.number).first() if row.number is not None else None
    return IncidentFacts(linked, issue, outcome, _ids(repositories))
