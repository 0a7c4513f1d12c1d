"""Which issues are incidents, and which deployment an incident is linked to: docs/metrics.md, "Incident"."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dora_metrics.calculators.facts import NO_LINKS, NOWHERE, Attempt, Issue, Links, LogEvidence, Origin, Settings
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
    links: Links = NO_LINKS
    title: str = ""
    has_skew: bool = False  # it was closed before it was created: its end was set to its start
    origin: Origin = NOWHERE
    evidence: LogEvidence | None = None

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


def incidents(issues: Sequence[Issue], settings: Settings) -> list[Incident]:
    """By start, then number. An empty label pattern finds none."""
    if not settings.incident_label:
        return []
    is_incident = compiled(settings.incident_label)
    found = [
        _incident(issue)
        for issue in issues
        if any(is_incident.search(label) for label in issue.labels) and not (issue.closed_at and issue.state_reason in NO_INCIDENT)
    ]
    return sorted(found, key=lambda incident: (incident.started_at, incident.number or 0))


def _incident(issue: Issue) -> Incident:
    has_skew = issue.closed_at is not None and issue.closed_at < issue.created_at
    return Incident(
        key=f"issue {issue.number}",
        started_at=issue.created_at,
        ended_at=issue.created_at if has_skew else issue.closed_at,
        number=issue.number,
        links=issue.links,
        title=issue.title,
        has_skew=has_skew,
        origin=issue.origin,
    )


class Linker:
    """Finds the attempt that an incident, or a hotfix, is linked to.

    `found`: the environment's attempts by finished_at; `known`: id and sha of all that is known, whether it counts or not.
    `looks_back`: whether time alone may link (only in production).
    """

    def __init__(
        self,
        found: Sequence[Attempt],
        *,
        known: Collection[tuple[str, str]],
        carriers: Carriers,
        shas: Shas,
        settings: Settings,
        looks_back: bool,
    ) -> None:
        self._carriers, self._shas = carriers, shas
        self._by_id: dict[str, list[Attempt]] = {}
        self._by_sha: dict[str, list[Attempt]] = {}
        for attempt in found:
            # A run is named by its number, whichever attempt of it: 123 for 123.1 and 123.2.
            for name in {part.partition(".")[0] for part in attempt.ids}:
                self._by_id.setdefault(name, []).append(attempt)
            self._by_sha.setdefault(attempt.sha, []).append(attempt)
        self._known_ids = {number for number, _ in known}
        self._deployed_shas = Shas(sha for _, sha in known)
        self._successes = [attempt for attempt in found if attempt.is_success]
        self._look_back = timedelta(hours=settings.look_back_hours) if looks_back else None

    def link(self, links: Links, moment: datetime, *, second: Callable[[], Link], is_effect: bool = True) -> Link:
        """`moment`: when it began. `second`: what comes between the explicit link and the one by time.

        `is_effect`: what began after `moment` cannot be its cause; False for a hotfix, which may be written before the deployment that it mends.
        """
        is_settled, stated = self._explicit(links, moment, is_effect=is_effect)
        if is_settled:
            return stated
        between = second()
        found = between if between.attempt else self._latest_success(moment)
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
            if name := self._known(text):
                yield self._by_id.get(name) or self._by_sha.get(name, [])
        for text in links.root_causes:
            if attempt := self._carriers.of_commit(self._shas.named(text)):
                yield [attempt]
        for number in links.caused_by:
            if match := self._carriers.of_pull(number):
                yield [match.deployment]

    def _known(self, text: str) -> str:
        """The id or sha of a deployment that is known, in whichever environment; empty for none."""
        return text if text in self._known_ids else self._deployed_shas.named(text)

    def _latest_success(self, moment: datetime) -> Link:
        if self._look_back is None:
            return UNLINKED
        position = _count_until(self._successes, moment)
        latest = self._successes[position - 1] if position else None
        return Link(latest, TIME) if latest and moment - latest.finished_at <= self._look_back else UNLINKED


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


def closers(closes: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """Issue to the pull requests that close it, from pull request to the issues that it closes."""
    found: dict[int, list[int]] = {}
    for pull, issues in closes.items():
        for issue in issues:
            found.setdefault(issue, []).append(pull)
    return found
