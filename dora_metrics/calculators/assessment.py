"""Everything that is to be known of a service's facts before they are counted by periods."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dora_metrics.calculators.deployments import PRODUCTION, STREAM_OF, attempts, known, logged
from dora_metrics.calculators.facts import Attempt, Coverage, Facts, IssueKey, LogEvidence, PullRequest, Settings
from dora_metrics.calculators.failures import Evidence, Judged, carrier_of_target, judged
from dora_metrics.calculators.flags import CLOCK_SKEW, IMPOSSIBLE_CAUSE, PROXY, UNKNOWN_SHA, those
from dora_metrics.calculators.history import History, Shas
from dora_metrics.calculators.incidents import REVERT, UNLINKED, AttemptsOfService, Incident, Link, Linker, could_cause, incidents
from dora_metrics.calculators.lead_time import LeadTime, lead_time
from dora_metrics.calculators.log_incidents import log_incidents, without_the_same
from dora_metrics.calculators.matching import Carriers, is_unknown
from dora_metrics.calculators.periods import joined
from dora_metrics.calculators.reverts import Revert, hotfixes, reverts
from dora_metrics.calculators.timeline import ByDate


@dataclass(frozen=True, slots=True)
class LinkedIncident:
    incident: Incident
    link: Link

    @property
    def flags(self) -> frozenset[str]:
        """What is to be said of it wherever it counts; that it has no link is for the fail rate to say."""
        return those({CLOCK_SKEW: self.incident.has_skew, IMPOSSIBLE_CAUSE: self.link.is_contradicted})


@dataclass(frozen=True, slots=True)
class Covered:
    """Where each group of metrics knows all its facts; None if it never does."""

    deployments: Coverage | None
    changes: Coverage | None
    failures: Coverage | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Of one environment: `attempts` by finish, `changes` that were delivered, by number, `incidents` by start."""

    environment: str
    settings: Settings
    source: str
    covered: Covered
    attempts: list[Judged]
    changes: list[LeadTime]
    incidents: list[LinkedIncident]
    finished: ByDate[Judged]
    successes: ByDate[Judged]

    @property
    def counted_incidents(self) -> list[LinkedIncident]:
        """All in production; elsewhere the linked ones, since one without a link is another environment's."""
        return [one for one in self.incidents if one.link.attempt or self.environment == PRODUCTION]

    @property
    def log_evidence(self) -> dict[str, LogEvidence]:
        """By the key of each incident from the logs."""
        return {one.incident.key: one.incident.evidence for one in self.incidents if one.incident.evidence}


def assess(facts: Facts, settings: Settings, *, now: datetime, environment: str = PRODUCTION) -> Assessment:
    """Raises ValueError or TypeError on naive datetimes. `now` bounds what counts as collected."""
    found, source = attempts(facts, settings, environment=environment)
    repositories = _repositories(facts, settings, found, source=source, environment=environment)
    linked = _linked(all_incidents(facts, settings, now=now), repositories)
    link_of = {(incident.number, incident.repository): link for incident, link in linked if incident.number is not None}
    evidence = {
        name: Evidence(one.qualifier, one.carriers, History(one.part.parents), one.reverts, _fixes(one, settings, link_of), one.closes)
        for name, one in repositories.items()
    }
    all_judged = judged(found, linked, evidence, flags_of=_flags_of(found, facts))
    changes = [
        lead_time(pull, match, bots=settings.bots, repository=one.part.repository, qualifier=one.qualifier)
        for one in repositories.values()
        for pull in one.part.pull_requests
        if (match := one.carriers.of_pull(pull.number))
    ]
    zone = settings.time_zone
    return Assessment(
        environment=environment,
        settings=settings,
        source=source,
        covered=_covered(facts.coverage, source, now=now),
        attempts=all_judged,
        changes=sorted(changes, key=lambda one: (one.pull.number, one.repository)),
        incidents=[LinkedIncident(incident, link) for incident, link in linked],
        finished=ByDate(all_judged, lambda one: one.attempt.finished_at, zone),
        successes=ByDate((one for one in all_judged if one.attempt.is_success), lambda one: one.attempt.finished_at, zone),
    )


def all_incidents(facts: Facts, settings: Settings, *, now: datetime) -> list[Incident]:
    """From issues and from the logs, by start."""
    from_issues = incidents(facts, settings)
    read = facts.coverage.get("log_events")
    from_logs = log_incidents(facts.log_hours, settings, until=min(read.until, now) if read else None)
    return sorted([*from_issues, *without_the_same(from_logs, from_issues, settings)], key=lambda incident: incident.order)


def _covered(coverage: Mapping[str, Coverage], source: str, *, now: datetime) -> Covered:
    def all_of(*streams: str) -> Coverage | None:
        return joined([(span := coverage.get(stream)) and Coverage(span.since, min(span.until, now)) for stream in streams])

    deployed = STREAM_OF[source]
    # Without the history that leads from a pull request to a deployment, nothing is known of what was delivered.
    delivered = [deployed, "pull_requests"] if source == "pulls" else [deployed, "pull_requests", "commits"]
    return Covered(all_of(deployed), all_of(*delivered), all_of(*delivered, "issues"))


def _flags_of(found: Sequence[Attempt], facts: Facts) -> dict[str, frozenset[str]]:
    lost: set[str] = set()
    if any(part.parents for part in facts.parts):
        parents_of = {part.repository: part.parents for part in facts.parts}
        lost = {one.key for one in found if one.is_success and is_unknown(one, parents_of.get(one.repository, {}))}
    return {
        attempt.key: those({PROXY: attempt.pull_request is not None, UNKNOWN_SHA: attempt.key in lost, CLOCK_SKEW: attempt.has_skew})
        for attempt in found
    }


@dataclass(frozen=True, slots=True)
class Repository:
    """One of a service's repositories, and what a number or a sha means there."""

    part: Facts
    qualifier: str
    carriers: Carriers
    linker: Linker
    reverts: Mapping[int, Revert]
    closes: Mapping[int, Sequence[IssueKey]]


def _repositories(facts: Facts, settings: Settings, found: Sequence[Attempt], *, source: str, environment: str) -> dict[str, Repository]:
    """By repository."""
    # Time alone matches only where no attempt at all, a failed one included, names its commit.
    has_sha = any(attempt.sha for attempt in found)
    of_service = AttemptsOfService(found, settings=settings, looks_back=environment == PRODUCTION)
    found_in = _by_repository(found, facts)
    known_in = {part.repository: known(part, settings, source, qualifier=facts.qualifier(part)) for part in facts.parts}
    of_logs = logged(facts) if source == "logs" else {}
    known_ids = {number for told in (*known_in.values(), *of_logs.values()) for number, _ in told}
    repository_of = _named(facts)
    repositories = {}
    for part in facts.parts:
        name, ours = part.repository, found_in[part.repository]
        successes = [attempt for attempt in ours if attempt.is_success]
        carriers = Carriers(part.pull_requests, successes, part.parents, default_branch=part.default_branch, has_sha=has_sha)
        of_pulls = (sha for pull in part.pull_requests for sha in (pull.merge_sha, pull.head_sha, *pull.commit_shas))
        shas = Shas(part.parents, (attempt.sha for attempt in ours), of_pulls)
        linker = Linker(
            of_service,
            ours,
            known=[*known_in[name], *of_logs.get(name, ()), *(of_logs.get("", ()) if name else ())],
            known_ids=known_ids,
            qualifier=facts.qualifier(part),
            carriers=carriers,
            shas=shas,
        )
        repositories[name] = Repository(
            part=part,
            qualifier=facts.qualifier(part),
            carriers=carriers,
            linker=linker,
            reverts=reverts(part.pull_requests, repositories=frozenset(one.lower() for one in part.repositories), shas=shas),
            closes={pull.number: _closed_here(pull, repository_of) for pull in part.pull_requests if pull.closes},
        )
    return repositories


def _by_repository(found: Sequence[Attempt], facts: Facts) -> dict[str, Sequence[Attempt]]:
    """The attempts of each repository in their order; what is of no known repository may be of any."""
    if not facts.others:
        return {facts.repository: found}
    of: dict[str, list[Attempt]] = {part.repository: [] for part in facts.parts}
    unknown: list[Attempt] = []
    for attempt in found:
        of.get(attempt.repository, unknown).append(attempt)
    return {name: sorted([*ours, *unknown], key=lambda attempt: attempt.order) if unknown else ours for name, ours in of.items()}


def _named(facts: Facts) -> dict[str, str]:
    """The service's repositories by each name that they ever had, in small letters; a name of today is that of the one that has it."""
    former = {name.lower(): part.repository for part in facts.parts for name in sorted(part.repositories)}
    return former | {part.repository.lower(): part.repository for part in facts.parts if part.repository}


def _closed_here(pull: PullRequest, repository_of: Mapping[str, str]) -> list[IssueKey]:
    return [(number, repository_of[name.lower()]) for name, number in pull.closes if name.lower() in repository_of]


def _closers(repositories: Mapping[str, Repository]) -> dict[IssueKey, list[IssueKey]]:
    """Issue to the pull requests that close it."""
    found: dict[IssueKey, list[IssueKey]] = {}
    for name, one in repositories.items():
        for number, issues in one.closes.items():
            for issue in issues:
                found.setdefault(issue, []).append((number, name))
    return found


def _linked(found: Iterable[Incident], repositories: Mapping[str, Repository]) -> list[tuple[Incident, Link]]:
    """An incident from the logs is of no repository, and names no cause."""
    closers, first = _closers(repositories), next(iter(repositories.values()))
    linked = []
    for incident in found:
        linker = repositories.get(incident.repository, first).linker
        second = partial(_by_revert, incident, closers.get((incident.number or 0, incident.repository), ()), repositories)
        linked.append((incident, linker.link(incident.links, incident.started_at, second=second)))
    return linked


def _by_revert(incident: Incident, closed_by: Iterable[IssueKey], repositories: Mapping[str, Repository]) -> Link:
    """Of several reverts that close it, the lowest number's whose target was carried, and that can be the cause."""
    is_contradicted = False
    for number, name in sorted(closed_by):
        one = repositories[name]
        if number in one.reverts and (carrier := carrier_of_target(one.reverts[number], one.carriers)):
            if could_cause(carrier, incident.started_at):
                return Link(carrier, REVERT, is_contradicted)
            is_contradicted = True
    return Link(is_contradicted=is_contradicted)


def _fixes(one: Repository, settings: Settings, link_of: Mapping[IssueKey, Link]) -> list[tuple[PullRequest, Link]]:
    """The hotfixes, each with its link."""
    return [
        (pull, one.linker.link(pull.links, pull.created_at, second=partial(_by_incident, one.closes.get(pull.number, ()), link_of), is_effect=False))
        for pull in hotfixes(one.part.pull_requests, expression=settings.hotfix, reverts=one.reverts)
    ]


def _by_incident(closed: Iterable[IssueKey], link_of: Mapping[IssueKey, Link]) -> Link:
    """Of several incidents that a hotfix closes, the link of the lowest number that has one."""
    return next((link_of[key] for key in sorted(closed) if key in link_of and link_of[key].attempt), UNLINKED)
