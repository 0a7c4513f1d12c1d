"""Link a service's facts to each other: changes and incidents to deployments, and deployments to what made them fail or recover.

The metrics count the linked facts by period. Numbers and shas are looked up inside one repository.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dora_metrics.calculators.change_matching import FirstDeployments, is_missing_from_git
from dora_metrics.calculators.deployment_sources import STREAM_OF, attempts, known, logged
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
from dora_metrics.calculators.reverts_and_hotfixes import Revert, hotfixes, reverts
from dora_metrics.calculators.service_settings import Settings


@dataclass(frozen=True, slots=True)
class LinkedIncident:
    incident: Incident
    link: Link

    @property
    def flags(self) -> frozenset[str]:
        """The quality flags of every value that it counts in. The change fail rate adds a flag if it has no link."""
        return flags_where({CLOCK_SKEW: self.incident.has_skew, IMPOSSIBLE_CAUSE: self.link.is_contradicted})


@dataclass(frozen=True, slots=True)
class MetricCoverage:
    """The span in which all facts that a group of metrics needs were collected; None if there is none.

    `deployments`: for the deployment frequency. `changes`: for the lead time. `failures`: for the other three.
    """

    deployments: Coverage | None
    changes: Coverage | None
    failures: Coverage | None


@dataclass(frozen=True, slots=True)
class LinkedFacts:
    """The linked facts of one environment: `attempts` by finish, deployed `changes` by number, `incidents` by start.

    `source`: the source of deployments that counts. `finished` and `successes`: all attempts and the successful ones, by local date.
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

    @property
    def counted_incidents(self) -> list[LinkedIncident]:
        """All incidents in production. Elsewhere the linked ones: one without a link belongs to another environment."""
        return [linked for linked in self.incidents if linked.link.attempt or self.environment == PRODUCTION]

    @property
    def log_evidence(self) -> dict[str, LogEvidence]:
        """The evidence of the incidents from the logs, by the incident's key."""
        return {linked.incident.key: linked.incident.evidence for linked in self.incidents if linked.incident.evidence}


def link_facts(facts: Facts, settings: Settings, *, now: datetime, environment: str = PRODUCTION) -> LinkedFacts:
    """Link the facts of one environment. Nothing counts as collected after `now`. Raises ValueError or TypeError on naive datetimes."""
    found, source = attempts(facts, settings, environment=environment)
    repositories = _repositories(facts, settings, found, source=source, environment=environment)
    links = _incident_links(all_incidents(facts, settings, now=now), repositories)
    link_of = {(incident.number, incident.repository): link for incident, link in links if incident.number is not None}
    changes_of = {
        name: RepositoryChanges(
            qualifier=repository.qualifier,
            first_deployments=repository.first_deployments,
            history=History(repository.part.parents),
            reverts=repository.reverts,
            hotfixes=_hotfix_links(repository, settings, link_of),
            closes=repository.closes,
        )
        for name, repository in repositories.items()
    }
    outcomes = attempt_outcomes(found, links, changes_of, flags_of=_flags_of(found, facts))
    changes = [
        lead_time(pull, match, bots=settings.bots, repository=repository.part.repository, qualifier=repository.qualifier)
        for repository in repositories.values()
        for pull in repository.part.pull_requests
        if (match := repository.first_deployments.of_pull(pull.number))
    ]
    zone = settings.time_zone
    return LinkedFacts(
        environment=environment,
        settings=settings,
        source=source,
        coverage=_metric_coverage(facts.coverage, source, now=now),
        attempts=outcomes,
        changes=sorted(changes, key=lambda change: (change.pull.number, change.repository)),
        incidents=[LinkedIncident(incident, link) for incident, link in links],
        finished=ByDate(outcomes, lambda outcome: outcome.attempt.finished_at, zone),
        successes=ByDate((outcome for outcome in outcomes if outcome.attempt.is_success), lambda outcome: outcome.attempt.finished_at, zone),
    )


def all_incidents(facts: Facts, settings: Settings, *, now: datetime) -> list[Incident]:
    """Return the incidents from issues and from the logs, by start."""
    from_issues = issue_incidents(facts, settings)
    read = facts.coverage.get("log_events")
    from_logs = log_incidents(facts.log_hours, settings, until=min(read.until, now) if read else None)
    return sorted([*from_issues, *without_duplicates(from_logs, from_issues, settings)], key=lambda incident: incident.order)


def _metric_coverage(coverage: Mapping[str, Coverage], source: str, *, now: datetime) -> MetricCoverage:
    def all_of(*streams: str) -> Coverage | None:
        return joined([(span := coverage.get(stream)) and Coverage(span.since, min(span.until, now)) for stream in streams])

    deployed = STREAM_OF[source]
    # A pull request is matched to a deployment by git's history, unless pull requests stand for deployments.
    delivered = [deployed, "pull_requests"] if source == "pulls" else [deployed, "pull_requests", "commits"]
    return MetricCoverage(all_of(deployed), all_of(*delivered), all_of(*delivered, "issues"))


def _flags_of(found: Sequence[Attempt], facts: Facts) -> dict[str, frozenset[str]]:
    """Return the quality flags of each attempt, by its key."""
    missing: set[str] = set()
    if any(part.parents for part in facts.parts):
        parents_of = {part.repository: part.parents for part in facts.parts}
        missing = {attempt.key for attempt in found if attempt.is_success and is_missing_from_git(attempt, parents_of.get(attempt.repository, {}))}
    return {
        attempt.key: flags_where({PROXY: attempt.pull_request is not None, UNKNOWN_SHA: attempt.key in missing, CLOCK_SKEW: attempt.has_skew})
        for attempt in found
    }


@dataclass(frozen=True, slots=True)
class Repository:
    """One of a service's repositories with the look-ups for its numbers and shas. `part`: its facts."""

    part: Facts
    qualifier: str
    first_deployments: FirstDeployments
    linker: Linker
    reverts: Mapping[int, Revert]
    closes: Mapping[int, Sequence[IssueKey]]


def _repositories(facts: Facts, settings: Settings, found: Sequence[Attempt], *, source: str, environment: str) -> dict[str, Repository]:
    """Return the service's repositories by name."""
    # Changes are matched by time only if no attempt at all, a failed one included, names its commit.
    has_sha = any(attempt.sha for attempt in found)
    service_attempts = ServiceAttempts(found, settings=settings, links_by_time=environment == PRODUCTION)
    attempts_of = _by_repository(found, facts)
    known_of = {part.repository: known(part, settings, source, qualifier=facts.qualifier(part)) for part in facts.parts}
    logged_of = logged(facts) if source == "logs" else {}
    known_ids = {number for deployments in (*known_of.values(), *logged_of.values()) for number, _ in deployments}
    repository_of = _repository_by_name(facts)
    repositories = {}
    for part in facts.parts:
        name, own_attempts = part.repository, attempts_of[part.repository]
        successes = [attempt for attempt in own_attempts if attempt.is_success]
        first_deployments = FirstDeployments(part.pull_requests, successes, part.parents, default_branch=part.default_branch, has_sha=has_sha)
        of_pulls = (sha for pull in part.pull_requests for sha in (pull.merge_sha, pull.head_sha, *pull.commit_shas))
        shas = Shas(part.parents, (attempt.sha for attempt in own_attempts), of_pulls)
        linker = Linker(
            service_attempts,
            own_attempts,
            # Under "" are the log lines whose repository is unknown: they may belong to any.
            known=[*known_of[name], *logged_of.get(name, ()), *(logged_of.get("", ()) if name else ())],
            known_ids=known_ids,
            qualifier=facts.qualifier(part),
            first_deployments=first_deployments,
            shas=shas,
        )
        repositories[name] = Repository(
            part=part,
            qualifier=facts.qualifier(part),
            first_deployments=first_deployments,
            linker=linker,
            reverts=reverts(part.pull_requests, repositories=frozenset(name.lower() for name in part.repositories), shas=shas),
            closes={pull.number: _closed_issues(pull, repository_of) for pull in part.pull_requests if pull.closes},
        )
    return repositories


def _by_repository(found: Sequence[Attempt], facts: Facts) -> dict[str, Sequence[Attempt]]:
    """Return the attempts of each repository in their order. Those of no known repository may belong to any, so each repository has them."""
    if not facts.others:
        return {facts.repository: found}
    of: dict[str, list[Attempt]] = {part.repository: [] for part in facts.parts}
    unknown: list[Attempt] = []
    for attempt in found:
        of.get(attempt.repository, unknown).append(attempt)
    return {name: sorted([*own, *unknown], key=lambda attempt: attempt.order) if unknown else own for name, own in of.items()}


def _repository_by_name(facts: Facts) -> dict[str, str]:
    """Return the service's repositories by each of their current and former names, in lower case. A current name takes precedence."""
    former = {name.lower(): part.repository for part in facts.parts for name in sorted(part.repositories)}
    return former | {part.repository.lower(): part.repository for part in facts.parts if part.repository}


def _closed_issues(pull: PullRequest, repository_of: Mapping[str, str]) -> list[IssueKey]:
    """Return the issues of the service's repositories that the pull request closes."""
    return [(number, repository_of[name.lower()]) for name, number in pull.closes if name.lower() in repository_of]


def _closing_pulls(repositories: Mapping[str, Repository]) -> dict[IssueKey, list[IssueKey]]:
    """Return for each issue the pull requests that close it."""
    found: dict[IssueKey, list[IssueKey]] = {}
    for name, repository in repositories.items():
        for number, issues in repository.closes.items():
            for issue in issues:
                found.setdefault(issue, []).append((number, name))
    return found


def _incident_links(found: Iterable[Incident], repositories: Mapping[str, Repository]) -> list[tuple[Incident, Link]]:
    """Link each incident to its deployment. One from the logs names no cause, so any repository's linker links it by time."""
    closing, first = _closing_pulls(repositories), next(iter(repositories.values()))
    linked = []
    for incident in found:
        linker = repositories.get(incident.repository, first).linker
        second = partial(_link_by_revert, incident, closing.get((incident.number or 0, incident.repository), ()), repositories)
        linked.append((incident, linker.link(incident.links, incident.started_at, second=second)))
    return linked


def _link_by_revert(incident: Incident, closed_by: Iterable[IssueKey], repositories: Mapping[str, Repository]) -> Link:
    """Link to the first deployment of the change that was reverted by a pull request that closes the incident.

    Of several such reverts, the one with the lowest number counts whose reverted change was deployed and can be the cause.
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
    """Return the repository's hotfixes, each with its link."""
    found = []
    for pull in hotfixes(repository.part.pull_requests, pattern=settings.hotfix, reverts=repository.reverts):
        second = partial(_link_by_incident, repository.closes.get(pull.number, ()), link_of)
        found.append((pull, repository.linker.link(pull.links, pull.created_at, second=second, is_effect=False)))
    return found


def _link_by_incident(closed: Iterable[IssueKey], link_of: Mapping[IssueKey, Link]) -> Link:
    """Return the link of an incident that the hotfix closes: of several, that of the lowest number with a link."""
    return next((link_of[key] for key in sorted(closed) if key in link_of and link_of[key].attempt), UNLINKED)
