"""Which issues are incidents: docs/metrics.md, "Incident". log_incidents.py finds those that the logs show."""

from dataclasses import dataclass
from datetime import datetime

from dora_metrics.calculators.inputs import NO_LINKS, NO_ORIGIN, Facts, Issue, Links, Origin
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.patterns import compiled

DISMISSED = frozenset({"not_planned", "duplicate"})  # reasons for closing an issue that was no incident


@dataclass(frozen=True, slots=True)
class LogErrors:
    """What one log contributes to an incident. `url`: the path of the page that shows the lines. `command`: the command that prints them."""

    source: str
    events: int
    errors: int
    url: str
    command: str


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """The bad minutes of an incident from the logs, and how many events and errors they have.

    Minutes are named by their beginning. `sources`: the logs with errors in those minutes, most errors first.
    """

    first_minute: datetime
    last_minute: datetime
    bad_minutes: int
    events: int
    errors: int
    sources: tuple[LogErrors, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident from an issue (it has a `number`) or from the logs (it has `evidence`)."""

    key: str
    started_at: datetime
    ended_at: datetime | None  # None while it is open
    number: int | None = None
    repository: str = ""  # the issue's repository
    links: Links = NO_LINKS
    title: str = ""
    has_skew: bool = False  # it was closed before it was created: its end was set to its start
    origin: Origin = NO_ORIGIN
    evidence: LogEvidence | None = None

    @property
    def order(self) -> tuple[datetime, int, str]:
        """Sort key: start, then number, then repository."""
        return self.started_at, self.number or 0, self.repository

    @property
    def duration_seconds(self) -> float:
        """From start to end; 0 while it is open."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else 0.0


def issue_incidents(facts: Facts, settings: Settings) -> list[Incident]:
    """Return the incidents among the issues of all repositories, by start. An empty label pattern finds none."""
    if not settings.incident_label:
        return []
    is_incident = compiled(settings.incident_label)
    found = [
        _incident(issue, repository=part.repository, qualifier=facts.qualifier(part))
        for part in facts.parts
        for issue in part.issues
        if any(is_incident.search(label) for label in issue.labels) and not (issue.closed_at and issue.state_reason in DISMISSED)
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
