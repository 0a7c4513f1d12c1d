"""Which issues are incidents, and which deployment an incident is linked to: docs/metrics.md, "Incident"."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dora_metrics.calculators.facts import NO_LINKS, NOWHERE, Attempt, Facts, Issue, Links, LogEvidence, Origin, Settings
from dora_metrics.calculators.history import Shas
from dora_metrics.calculators.matching import Carriers
from dora_metrics.patterns import compiled

EXPLICIT, REVERT, TIME = "explicit", "revert", "time"
NO_INCIDENT = frozenset({"not_planned", "duplicate"})


@dataclass(frozen=True, slots=True)
class Incident:
    """From an issue (`number`) or from the logs (`evidence`)."""

    key: str
    started_at: datetime
    ended_at: datetime | None  # None while it is open
    number: int | None = None
    repository: str = ""  # of its issue: the number is its alone
    links: Links = NO_LINKS
    title: str = ""
    has_skew: bool = False  # it was closed before it was created: its end was set to its start
    origin: Origin = NOWHERE
    evidence: LogEvidence | None = None

    @property
    def order(self) -> tuple[datetime, int, str]:
        """By start, then number, then repository."""
        return self.started_at, self.number or 0, self.repository

    @property
    def lasted_seconds(self) -> float:
        """0 while it is open."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else 0.0


@dataclass(frozen=True, slots=True)
class Link:
    """How an incident or a hotfix is tied to the attempt that caused it: explicit, revert or time; no attempt, no link."""

    attempt: Attempt | None = None
    how: str = ""
    is_contradicted: bool = False  # what was named as the cause began after it, and was passed over


UNLINKED = Link()


def incidents(facts: Facts, settings: Settings) -> list[Incident]:
    """From the issues of all repositories, by start. An empty label pattern finds none."""
    if not settings.incident_label:
        return []
    is_incident = compiled(settings.incident_label)
    found = [
        _incident(issue, repository=part.repository, qualifier=facts.qualifier(part))
        for part in facts.parts
        for issue in part.issues
        if any(is_incident.search(label) for label in issue.labels) and not (issue.closed_at and issue.state_reason in NO_INCIDENT)
    ]
    return sorted(found, key=lambda incident: incident.order)


def _incident(issue: Issue, *, repository: str, qualifier: str) -> Incident:
    has_skew = issue.closed_at is not None and issue.closed_at < issue.created_at
    return Incident(
        key=f"issue {qualifier}{issue.number}",
        started_at=issue.created_at,
        ended_at=issue.created_at if has_skew else issue.closed_at,
        number=issue.number,
        repository=repository,
        links=issue.links,
        title=issue.title,
        has_skew=has_skew,
        origin=issue.origin,
    )


class AttemptsOfService:
    """The environment's attempts, of all repositories: by the ids that name them, and by time.

    `found`: by finished_at. `looks_back`: whether time alone may link (only in production).
    """

    def __init__(self, found: Sequence[Attempt], *, settings: Settings, looks_back: bool) -> None:
        self.by_id: dict[str, list[Attempt]] = {}
        for attempt in found:
            # A run is named by its number, whichever attempt of it: 123 for 123.1 and 123.2.
            for name in {part if attempt.pull_request is not None else part.partition(".")[0] for part in attempt.ids}:
                self.by_id.setdefault(name, []).append(attempt)
        self._successes = [attempt for attempt in found if attempt.is_success]
        self._look_back = timedelta(hours=settings.look_back_hours) if looks_back else None

    def latest_success(self, moment: datetime) -> Link:
        if self._look_back is None:
            return UNLINKED
        position = _count_until(self._successes, moment)
        latest = self._successes[position - 1] if position else None
        return Link(latest, TIME) if latest and moment - latest.finished_at <= self._look_back else UNLINKED


class Linker:
    """Finds the attempt that an incident, or a hotfix, of one repository is linked to.

    `found`: the repository's attempts by finished_at; `known`: id and sha of all that is known there, whether it counts or not;
    `known_ids`: the ids that are known in the whole service; `qualifier`: what makes one of a number of the repository.
    """

    def __init__(
        self,
        of_service: AttemptsOfService,
        found: Sequence[Attempt],
        *,
        known: Collection[tuple[str, str]],
        known_ids: Collection[str],
        qualifier: str,
        carriers: Carriers,
        shas: Shas,
    ) -> None:
        self._of_service = of_service
        self._carriers, self._shas = carriers, shas
        self._by_sha: dict[str, list[Attempt]] = {}
        for attempt in found:
            self._by_sha.setdefault(attempt.sha, []).append(attempt)
        self._known_ids, self._qualifier = known_ids, qualifier
        self._deployed_shas = Shas(sha for _, sha in known)

    def link(self, links: Links, moment: datetime, *, second: Callable[[], Link], is_effect: bool = True) -> Link:
        """`moment`: when it began. `second`: what comes between the explicit link and the one by time.

        `is_effect`: what began after `moment` cannot be its cause; False for a hotfix, which may be written before the deployment that it mends.
        """
        is_settled, stated = self._explicit(links, moment, is_effect=is_effect)
        if is_settled:
            return stated
        between = second()
        found = between if between.attempt else self._of_service.latest_success(moment)
        return replace(found, is_contradicted=stated.is_contradicted or between.is_contradicted)

    def _explicit(self, links: Links, moment: datetime, *, is_effect: bool) -> tuple[bool, Link]:
        """Whether the body settles it, and the link."""
        is_contradicted = False
        for candidates in self._stated(links):
            attempt = _by_then(candidates, moment, is_effect=is_effect)
            if attempt or not candidates:
                return True, Link(attempt, EXPLICIT if attempt else "", is_contradicted)
            is_contradicted = True
        return False, Link(is_contradicted=is_contradicted)

    def _stated(self, links: Links) -> Iterator[Sequence[Attempt]]:
        """Of each statement that can be followed, in order, the attempts that it may mean; none where it means another environment's."""
        for text in links.deployments:
            names = f"{self._qualifier}{text}", text
            if name := next((one for one in names if one in self._known_ids), ""):
                yield self._of_service.by_id.get(name, [])
            elif sha := self._deployed_shas.named(text):
                yield self._by_sha.get(sha, [])
        for text in links.root_causes:
            if attempt := self._carriers.of_commit(self._shas.named(text)):
                yield [attempt]
        for number in links.caused_by:
            if match := self._carriers.of_pull(number):
                yield [match.deployment]


def _by_then(candidates: Sequence[Attempt], moment: datetime, *, is_effect: bool) -> Attempt | None:
    """The latest that had finished by then, else the first; of an effect, the first that had begun."""
    if position := _count_until(candidates, moment):
        return candidates[position - 1]
    return next((one for one in candidates if could_cause(one, moment) or not is_effect), None)


def could_cause(attempt: Attempt, moment: datetime) -> bool:
    """What had begun by then: it may break things before it has finished."""
    return attempt.began_at <= moment


def _count_until(attempts: Sequence[Attempt], moment: datetime) -> int:
    return bisect_right(attempts, moment, key=lambda attempt: attempt.finished_at)
