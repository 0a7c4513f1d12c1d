"""Link changes and incidents to deployments, and deployments to the facts by which they failed or recovered.

The metrics count the linked facts by period. Numbers of issues and pull requests, and shas, are looked up within one repository,
because several repositories may have the same number or sha.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dora_metrics.calculators.change_matching import FirstDeployments, Match, is_missing_from_git, match_changes
from dora_metrics.calculators.deployment_sources import STREAM_OF, Mentioned, attempts
from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.failures import AttemptOutcome, RepositoryChanges, attempt_outcomes, first_deployment_of_target
from dora_metrics.calculators.git_history import History, Shas
from dora_metrics.calculators.incident_linking import REVERT, UNLINKED, Link, Linker, ServiceAttempts, could_cause
from dora_metrics.calculators.incidents import Incident, LogEvidence, issue_incidents
from dora_metrics.calculators.inputs import Coverage, Facts, IssueKey, PullRequest
from dora_metrics.calculators.lead_time_stages import LeadTime, lead_time
from dora_metrics.calculators.log_incidents import log_incidents, without_duplicates
from dora_metrics.calculators.periods import ByDate, joined
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import CLOCK_SKEW, IMPOSSIBLE_CAUSE, PROXY, UNKNOWN_SHA, flags_where
from dora_metrics.calculators.reverts_and_hotfixes import Revert, hotfixes, is_notable, reverts
from dora_metrics.calculators.service_settings import Settings


@dataclass(frozen=True, slots=True)
class LinkedIncident:
    incident: Incident
    link: Link

    @property
    def flags(self) -> frozenset[str]:
        """The quality flags that the incident adds to every value in which it counts.

        If the incident has no link, the change fail rate adds another flag.
        """
        return flags_where({CLOCK_SKEW: self.incident.has_skew, IMPOSSIBLE_CAUSE: self.link.is_contradicted})


@dataclass(frozen=True, slots=True)
class MetricCoverage:
    """For each group of metrics, the span in which all the facts that it is computed from were collected; None if there is no such span.

    `deployments`: the span for the deployment frequency. `changes`: the span for the lead time. `failures`: the span for the other
    three metrics.
    """

    deployments: Coverage | None
    changes: Coverage | None
    failures: Coverage | None


@dataclass(frozen=True, slots=True)
class LinkedFacts:
    """The linked facts of one environment.

    `source`: the source of deployments that counts. `attempts`: ordered by finish. `changes`: the deployed changes, ordered by
    number. `incidents`: ordered by start. `finished`: all attempts by the local date of their finish. `successes`: the successful
    attempts by the local date of their finish.
    """

    environment: str
    settings: Settings
    source: str
    coverage: MetricCoverage
    attempts: list[AttemptOutcome]
    changes: list[LeadTime]
    incidents: list[LinkedIncident]
    finished: ByDate[AttemptOutcome]
    successes: ByDate[AttemptOutcome]

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        source: str,
        coverage: MetricCoverage,
        attempts: Sequence[AttemptOutcome] = (),
        changes: Iterable[LeadTime] = (),
        incidents: Iterable[LinkedIncident] = (),
        environment: str = PRODUCTION,
    ) -> "LinkedFacts":
        """Return linked facts. `attempts` must be ordered by finish; `changes` and `incidents` may have any order."""
        zone = settings.time_zone
        return cls(
            environment=environment,
            settings=settings,
            source=source,
            coverage=coverage,
            attempts=list(attempts),
            changes=sorted(changes, key=lambda change: (change.pull.number, change.repository)),
            incidents=sorted(incidents, key=lambda linked: linked.incident.order),
            finished=ByDate(attempts, lambda outcome: outcome.attempt.finished_at, zone),
            successes=ByDate((outcome for outcome in attempts if outcome.attempt.is_success), lambda outcome: outcome.attempt.finished_at, zone),
        )

    @property
    def counted_incidents(self) -> list[LinkedIncident]:
        """In production, all incidents. In another environment, only the incidents that have a link there.

        An incident without a link names no environment, so it counts in production only.
        """
        return [linked for linked in self.incidents if linked.link.attempt or self.environment == PRODUCTION]

    @property
    def log_evidence(self) -> dict[str, LogEvidence]:
        """The evidence of each incident from the logs, by the key of the incident."""
        return {linked.incident.key: linked.incident.evidence for linked in self.incidents if linked.incident.evidence}


@dataclass(frozen=True, slots=True)
class FactLinks:
    """What the facts of one environment are linked to.

    `source`: the source of deployments that counts. `outcomes`: of the attempts, ordered by finish. `incidents`: ordered by start.
    `matches`: for each repository, by its name, the first deployment of each deployed change, by the number of its pull request.
    """

    source: str
    outcomes: list[AttemptOutcome]
    incidents: list[LinkedIncident]
    matches: Mapping[str, Mapping[int, Match]]


def links_of_facts(facts: Facts, settings: Settings, *, now: datetime, environment: str = PRODUCTION) -> FactLinks:
    """Link the facts of one environment. Raises ValueError or TypeError for naive datetimes.

    The facts of a pull request that only `lead_time` uses may be missing. `now`: coverage ends at this time at the latest.
    """
    found, source = attempts(facts, settings, environment=environment)
    repositories = _repositories(facts, settings, found, source=source, environment=environment)
    links = _incident_links(all_incidents(facts, settings, now=now), repositories)
    link_of = {(incident.number, incident.repository): link for incident, link in links if incident.number is not None}
    changes_of = {
        name: RepositoryChanges(
            qualifier=repository.qualifier,
            first_deployments=repository.first_deployments,
            history=History.of(repository.part.parents),
            reverts=repository.reverts,
            hotfixes=_hotfix_links(repository, settings, link_of),
            closes=repository.closes,
        )
        for name, repository in repositories.items()
    }
    return FactLinks(
        source=source,
        outcomes=attempt_outcomes(found, links, changes_of, flags_of=_flags_of(found, facts)),
        incidents=[LinkedIncident(incident, link) for incident, link in links],
        matches={name: repository.first_deployments.matches for name, repository in repositories.items()},
    )


def link_facts(facts: Facts, settings: Settings, *, now: datetime, environment: str = PRODUCTION) -> LinkedFacts:
    """Link the facts of one environment as `links_of_facts` does, and compute the lead times of the changes."""
    links = links_of_facts(facts, settings, now=now, environment=environment)
    changes = [
        lead_time(pull, match, bots=settings.bots, repository=part.repository, qualifier=facts.qualifier(part))
        for part in facts.parts
        for pull in part.pull_requests
        if (match := links.matches[part.repository].get(pull.number))
    ]
    return LinkedFacts.of(
        settings,
        source=links.source,
        coverage=metric_coverage(facts.coverage, links.source, now=now),
        attempts=links.outcomes,
        changes=changes,
        incidents=links.incidents,
        environment=environment,
    )


def all_incidents(facts: Facts, settings: Settings, *, now: datetime) -> list[Incident]:
    """Return the incidents from issues and from the logs, ordered by start. `now`: coverage ends at this time at the latest."""
    from_issues = issue_incidents(facts, settings)
    read = facts.coverage.get("log_events")
    from_logs = log_incidents(facts.log_hours, settings, until=min(read.until, now) if read else None)
    return sorted([*from_issues, *without_duplicates(from_logs, from_issues, settings)], key=lambda incident: incident.order)


def metric_coverage(coverage: Mapping[str, Coverage], source: str, *, now: datetime) -> MetricCoverage:
    """Return the spans in which the metrics are known.

    `coverage`: the collected span of each stream. `source`: the source of deployments that counts. `now`: no span ends later.
    """

    def all_of(*streams: str) -> Coverage | None:
        return joined([(span := coverage.get(stream)) and Coverage(span.since, min(span.until, now)) for stream in streams])

    deployed = STREAM_OF[source]
    # Pull requests are matched to deployments by git's history, so commits are required, unless pull requests stand in for deployments.
    delivered = [deployed, "pull_requests"] if source == "pulls" else [deployed, "pull_requests", "commits"]
    return MetricCoverage(all_of(deployed), all_of(*delivered), all_of(*delivered, "issues"))


def _flags_of(found: Sequence[Attempt], facts: Facts) -> dict[str, frozenset[str]]:
    """Return the quality flags of each attempt that has any, by the key of the attempt."""
    missing: set[str] = set()
    if any(part.parents for part in facts.parts):
        parents_of = {part.repository: part.parents for part in facts.parts}
        missing = {attempt.key for attempt in found if attempt.is_success and is_missing_from_git(attempt, parents_of.get(attempt.repository, {}))}
    flags = (
        (attempt.key, flags_where({PROXY: attempt.pull_request is not None, UNKNOWN_SHA: attempt.key in missing, CLOCK_SKEW: attempt.has_skew}))
        for attempt in found
    )
    return {key: of_attempt for key, of_attempt in flags if of_attempt}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the service: its facts (`part`), and what is looked up in them by number or sha.

    `notable`: the pull requests that `is_notable` names.
    """

    part: Facts
    qualifier: str
    first_deployments: FirstDeployments
    linker: Linker
    reverts: Mapping[int, Revert]
    closes: Mapping[int, Sequence[IssueKey]]
    notable: Sequence[PullRequest]


def _repositories(facts: Facts, settings: Settings, found: Sequence[Attempt], *, source: str, environment: str) -> dict[str, Repository]:
    """Return the service's repositories, keyed by name. `found`: the attempts in the environment. `source`: the source that counts."""
    # If no attempt has a commit, changes are matched by time. One failed attempt with a commit is enough to rule this out.
    has_sha = any(attempt.sha for attempt in found)
    service_attempts = ServiceAttempts(found, settings=settings, links_by_time=environment == PRODUCTION)
    attempts_of = _by_repository(found, facts)
    mentioned = Mentioned(facts, settings, source)
    repository_of = _repository_by_name(facts)
    repositories = {}
    for part in facts.parts:
        name, own_attempts = part.repository, attempts_of[part.repository]
        successes = [attempt for attempt in own_attempts if attempt.is_success]
        notable: list[PullRequest] = []
        pulls = _noting(notable, part.pull_requests, settings)
        matches = match_changes(pulls, successes, part.parents, default_branch=part.default_branch, has_sha=has_sha)
        first_deployments = FirstDeployments(matches, pulls=part.pull_requests, successes=successes, parents=part.parents)
        of_pulls = (sha for pull in part.pull_requests for sha in (pull.merge_sha, pull.head_sha, *pull.commit_shas))
        shas = Shas(part.parents, (attempt.sha for attempt in own_attempts), of_pulls)
        linker = Linker(
            service_attempts,
            own_attempts,
            mentioned=mentioned,
            repository=name,
            qualifier=facts.qualifier(part),
            first_deployments=first_deployments,
            shas=shas,
        )
        repositories[name] = Repository(
            part=part,
            qualifier=facts.qualifier(part),
            first_deployments=first_deployments,
            linker=linker,
            reverts=reverts(part.pull_requests, repositories=frozenset(name.lower() for name in part.repositories), shas=shas, notable=notable),
            closes={pull.number: _closed_issues(pull, repository_of) for pull in notable if pull.closes},
            notable=notable,
        )
    return repositories


def _noting(notable: list[PullRequest], pulls: Iterable[PullRequest], settings: Settings) -> Iterator[PullRequest]:
    """Yield the pull requests, and append those that `is_notable` names to `notable`. So each one is made from its stored row once."""
    for pull in pulls:
        if is_notable(pull, hotfix=settings.hotfix):
            notable.append(pull)
        yield pull


def _by_repository(found: Sequence[Attempt], facts: Facts) -> dict[str, Sequence[Attempt]]:
    """Return the attempts of each repository, by its name and in their order.

    An attempt whose repository is unknown may belong to any of them, so it is in the list of each.
    """
    if not facts.others:
        return {facts.repository: found}
    of: dict[str, list[Attempt]] = {part.repository: [] for part in facts.parts}
    unknown: list[Attempt] = []
    for attempt in found:
        of.get(attempt.repository, unknown).append(attempt)
    return {name: sorted([*own, *unknown], key=lambda attempt: attempt.order) if unknown else own for name, own in of.items()}


def _repository_by_name(facts: Facts) -> dict[str, str]:
    """Map each current and former name of the service's repositories, in lower case, to the present name of the repository.

    If one repository had a name that another one has now, the name means the one that has it now.
    """
    former = {name.lower(): part.repository for part in facts.parts for name in sorted(part.repositories)}
    return former | {part.repository.lower(): part.repository for part in facts.parts if part.repository}


def _closed_issues(pull: PullRequest, repository_of: Mapping[str, str]) -> list[IssueKey]:
    """Return the issues of the service's repositories that the pull request closes."""
    return [(number, repository_of[name.lower()]) for name, number in pull.closes if name.lower() in repository_of]


def _closing_pulls(repositories: Mapping[str, Repository]) -> dict[IssueKey, list[IssueKey]]:
    """Map each issue to the pull requests that close it."""
    found: dict[IssueKey, list[IssueKey]] = {}
    for name, repository in repositories.items():
        for number, issues in repository.closes.items():
            for issue in issues:
                found.setdefault(issue, []).append((number, name))
    return found


def _incident_links(found: Iterable[Incident], repositories: Mapping[str, Repository]) -> list[tuple[Incident, Link]]:
    """Return each incident with its link.

    An incident from the logs names no cause and is linked by time only. For that the linker of any repository will do.
    """
    closing, first = _closing_pulls(repositories), next(iter(repositories.values()))
    linked = []
    for incident in found:
        linker = repositories.get(incident.repository, first).linker
        second = partial(_link_by_revert, incident, closing.get((incident.number or 0, incident.repository), ()), repositories)
        linked.append((incident, linker.link(incident.links, incident.started_at, second=second)))
    return linked


def _link_by_revert(incident: Incident, closed_by: Iterable[IssueKey], repositories: Mapping[str, Repository]) -> Link:
    """Return the link to the first deployment of a change whose revert closes the incident.

    `closed_by`: the pull requests that close the incident. The reverts among them are tried in the order of their numbers. A revert
    leads to no link if the reverted change is unknown or was not deployed, or if its deployment began after the incident.
    """
    is_contradicted = False
    for number, name in sorted(closed_by):
        repository = repositories[name]
        if number in repository.reverts and (deployment := first_deployment_of_target(repository.reverts[number], repository.first_deployments)):
            if could_cause(deployment, incident.started_at):
                return Link(deployment, REVERT, is_contradicted)
            is_contradicted = True
    return Link(is_contradicted=is_contradicted)


def _hotfix_links(repository: Repository, settings: Settings, link_of: Mapping[IssueKey, Link]) -> list[tuple[PullRequest, Link]]:
    """Return the repository's hotfixes, each with its link. `link_of`: the link of each incident, by its issue."""
    found = []
    for pull in hotfixes(repository.notable, pattern=settings.hotfix, reverts=repository.reverts):
        second = partial(_link_by_incident, repository.closes.get(pull.number, ()), link_of)
        found.append((pull, repository.linker.link(pull.links, pull.created_at, second=second, is_effect=False)))
    return found


def _link_by_incident(closed: Iterable[IssueKey], link_of: Mapping[IssueKey, Link]) -> Link:
    """Return the link of the incident that the hotfix closes.

    If the hotfix closes several incidents, the one with the lowest number that has a link counts. `closed`: the issues that the
    hotfix closes.
    """
    return next((link_of[key] for key in sorted(closed) if key in link_of and link_of[key].attempt), UNLINKED)
