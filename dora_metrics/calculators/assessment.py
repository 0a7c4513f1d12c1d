"""Everything that is to be known of a service's facts before they are counted by periods."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dora_metrics.calculators.deployments import PRODUCTION, STREAM_OF, attempts, known
from dora_metrics.calculators.facts import Attempt, Coverage, Facts, LogEvidence, PullRequest, Settings
from dora_metrics.calculators.failures import Evidence, Judged, carrier_of_target, judged
from dora_metrics.calculators.flags import CLOCK_SKEW, IMPOSSIBLE_CAUSE, PROXY, UNKNOWN_SHA, those
from dora_metrics.calculators.history import History, Shas
from dora_metrics.calculators.incidents import REVERT, UNLINKED, Incident, Link, Linker, closers, could_cause, incidents
from dora_metrics.calculators.lead_time import LeadTime, lead_time
from dora_metrics.calculators.log_incidents import log_incidents, without_the_same
from dora_metrics.calculators.matching import Carriers, unknown_shas
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
    successes = [attempt for attempt in found if attempt.is_success]
    # Time alone matches only where no attempt at all, a failed one included, names its commit.
    has_sha = any(attempt.sha for attempt in found)
    carriers = Carriers(facts.pull_requests, successes, facts.parents, default_branch=settings.default_branch, has_sha=has_sha)
    evidence = _evidence(facts, settings, found, carriers, all_incidents(facts, settings, now=now), source=source, environment=environment)
    all_judged = judged(found, evidence, flags_of=_flags_of(found, facts))
    zone = settings.time_zone
    return Assessment(
        environment=environment,
        settings=settings,
        source=source,
        covered=_covered(facts.coverage, source, now=now),
        attempts=all_judged,
        changes=[
            lead_time(pull, match, bots=settings.bots)
            for pull in sorted(facts.pull_requests, key=lambda pull: pull.number)
            if (match := carriers.of_pull(pull.number))
        ],
        incidents=[LinkedIncident(incident, link) for incident, link in evidence.incidents],
        finished=ByDate(all_judged, lambda one: one.attempt.finished_at, zone),
        successes=ByDate((one for one in all_judged if one.attempt.is_success), lambda one: one.attempt.finished_at, zone),
    )


def all_incidents(facts: Facts, settings: Settings, *, now: datetime) -> list[Incident]:
    """From issues and from the logs, by start."""
    from_issues = incidents(facts.issues, settings)
    read = facts.coverage.get("log_events")
    from_logs = log_incidents(facts.log_hours, settings, until=min(read.until, now) if read else None)
    return sorted(
        [*from_issues, *without_the_same(from_logs, from_issues, settings)], key=lambda incident: (incident.started_at, incident.number or 0)
    )


def _covered(coverage: Mapping[str, Coverage], source: str, *, now: datetime) -> Covered:
    def all_of(*streams: str) -> Coverage | None:
        return joined([(span := coverage.get(stream)) and Coverage(span.since, min(span.until, now)) for stream in streams])

    deployed = STREAM_OF[source]
    # Without the history that leads from a pull request to a deployment, nothing is known of what was delivered.
    delivered = [deployed, "pull_requests"] if source == "pulls" else [deployed, "pull_requests", "commits"]
    return Covered(all_of(deployed), all_of(*delivered), all_of(*delivered, "issues"))


def _flags_of(found: Iterable[Attempt], facts: Facts) -> dict[str, frozenset[str]]:
    lost = {attempt.key for attempt in unknown_shas((one for one in found if one.is_success), facts.parents)} if facts.parents else set()
    return {
        attempt.key: those({PROXY: attempt.pull_request is not None, UNKNOWN_SHA: attempt.key in lost, CLOCK_SKEW: attempt.has_skew})
        for attempt in found
    }


def _evidence(
    facts: Facts, settings: Settings, found: list[Attempt], carriers: Carriers, of_service: Iterable[Incident], *, source: str, environment: str
) -> Evidence:
    pulls = facts.pull_requests
    names = frozenset(name.lower() for name in facts.repositories)
    of_pulls = (sha for pull in pulls for sha in (pull.merge_sha, pull.head_sha, *pull.commit_shas))
    shas = Shas(facts.parents, (attempt.sha for attempt in found), of_pulls)
    reverted = reverts(pulls, repositories=names, shas=shas)
    closes = {pull.number: _closed_here(pull, names) for pull in pulls if pull.closes}
    linker = Linker(
        found,
        known=known(facts, settings, source),
        carriers=carriers,
        shas=shas,
        settings=settings,
        looks_back=environment == PRODUCTION,
    )
    closed_by = closers(closes)
    linked = [(one, linker.link(one.links, one.started_at, second=partial(_by_revert, one, closed_by, reverted, carriers))) for one in of_service]
    link_of = {one.number: link for one, link in linked}
    fixes = [
        (pull, linker.link(pull.links, pull.created_at, second=partial(_by_incident, closes.get(pull.number, ()), link_of), is_effect=False))
        for pull in hotfixes(pulls, expression=settings.hotfix, reverts=reverted)
    ]
    return Evidence(carriers, History(facts.parents), linked, reverted, fixes, closes)


def _closed_here(pull: PullRequest, names: frozenset[str]) -> list[int]:
    return [number for repository, number in pull.closes if repository.lower() in names]


def _by_revert(incident: Incident, closed_by: Mapping[int, list[int]], reverted: Mapping[int, Revert], carriers: Carriers) -> Link:
    """Of several reverts that close it, the lowest number's whose target was carried, and that can be the cause."""
    is_contradicted = False
    for number in sorted(closed_by.get(incident.number or 0, ())):
        if number in reverted and (carrier := carrier_of_target(reverted[number], carriers)):
            if could_cause(carrier, incident.started_at):
                return Link(carrier, REVERT, is_contradicted)
            is_contradicted = True
    return Link(is_contradicted=is_contradicted)


def _by_incident(closed: Iterable[int], link_of: Mapping[int | None, Link]) -> Link:
    """Of several incidents that a hotfix closes, the link of the lowest number that has one."""
    return next((link_of[number] for number in sorted(closed) if number in link_of and link_of[number].attempt), UNLINKED)
