"""The issues that are incidents (docs/metrics.md, "Incident"). log_incidents.py finds the incidents in the logs."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from dora_metrics.calculators.inputs import NO_LINKS, NO_ORIGIN, Facts, Issue, Links, Origin
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.patterns import is_found

DISMISSED = frozenset({"not_planned", "duplicate"})  # an issue that was closed for one of these reasons was no incident


@dataclass(frozen=True, slots=True)
class LogErrors:
    """The numbers of events and errors of one log in the bad minutes of an incident, which are the minutes with many errors.

    `source`: the log's name. `url`: the path of the page that shows the lines with errors. `command`: the command that prints them.
    """

    source: str
    events: int
    errors: int
    url: str
    command: str


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """The bad minutes (minutes with many errors) of an incident from the logs, and the numbers of events and errors in them.

    `first_minute` and `last_minute`: the beginnings of these two minutes. `sources`: the logs with errors in the bad minutes. The
    log with the most errors comes first.
    """

    first_minute: datetime
    last_minute: datetime
    bad_minutes: int
    events: int
    errors: int
    sources: tuple[LogErrors, ...]


class Incident(msgspec.Struct, frozen=True, gc=False):
    """An incident from an issue (it has a `number`) or from the logs (it has `evidence`)."""

    key: str
    started_at: datetime
    ended_at: datetime | None  # None while the incident is open
    number: int | None = None
    repository: str = ""  # the repository of the issue; empty for an incident from the logs
    links: Links = NO_LINKS
    title: str = ""
    has_skew: bool = False  # True if the issue was closed before it was created, so that the end was set to the start
    origin: Origin = NO_ORIGIN
    evidence: LogEvidence | None = None

    @property
    def order(self) -> tuple[datetime, int, str]:
        """The sort key: started_at, then number, then repository."""
        return self.started_at, self.number or 0, self.repository

    @property
    def duration_seconds(self) -> float:
        """The seconds from start to end; 0 while the incident is open."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else 0.0


def issue_incidents(facts: Facts, settings: Settings) -> list[Incident]:
    """Return the incidents among the issues of all repositories, ordered by start.

    If the label pattern in the settings is empty, no issue is an incident.
    """
    if not settings.incident_label:
        return []
    found = [
        _incident(issue, repository=part.repository, qualifier=facts.qualifier(part))
        for part in facts.parts
        for issue in part.issues
        if any(is_found(settings.incident_label, label) for label in issue.labels) and not (issue.closed_at and issue.state_reason in DISMISSED)
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
