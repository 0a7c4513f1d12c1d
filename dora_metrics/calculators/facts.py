"""What goes into a calculation and what comes out of it. Every time is aware."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Status:
    state: str
    created_at: datetime
    log_url: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a fact can be looked up: GitHub's page of it, and the staged page that it was read from."""

    url: str = ""
    page_id: int = 0


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class GithubDeployment:
    id: str
    environment: str
    sha: str
    created_at: datetime
    statuses: tuple[Status, ...] = ()
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """One attempt of a run."""

    id: str
    attempt: int
    name: str
    path: str
    branch: str
    event: str
    sha: str
    conclusion: str
    started_at: datetime
    updated_at: datetime
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class LogDeployment:
    """A line of a log that tells of a deployment; `environment` and `state` are its own words, empty where it has none."""

    id: str
    time: datetime
    sha: str = ""  # maybe shortened
    environment: str = ""
    state: str = ""
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class LogHour:
    """What some lines of a log amount to: `minutes` of the hour to their events and, of these, the errors.

    One hour of one log may come in many parts.
    """

    source: str
    hour: datetime
    minutes: Mapping[int, tuple[int, int]]
    page_id: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """A release with a tag; `published_at` is empty for one that was not published yet."""

    id: str
    sha: str
    is_draft: bool
    is_prerelease: bool
    published_at: datetime | None
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Review:
    login: str
    is_bot: bool
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class DraftEvent:
    kind: str  # ready_for_review or convert_to_draft
    at: datetime


@dataclass(frozen=True, slots=True)
class RevertSigns:
    """What a pull request says of reverting something; which of it counts is decided in reverts.py."""

    pull: int | None = None  # "Reverts owner/repo#n" in its body
    pull_repository: str = ""  # "owner/repo" there; empty for a bare #n
    branch: int | None = None  # n of a branch revert-n-…
    sha: str = ""  # "This reverts commit …" in its body, from 7 digits
    has_title: bool = False  # 'Revert "…'


@dataclass(frozen=True, slots=True)
class Links:
    """The causes that a body names, each kind in the order of the text."""

    deployments: tuple[str, ...] = ()  # ids and shas, from 7 digits
    root_causes: tuple[str, ...] = ()  # shas, from 7 digits
    caused_by: tuple[int, ...] = ()  # numbers of pull requests


NO_SIGNS, NO_LINKS = RevertSigns(), Links()
IssueKey = tuple[int, str]  # its number, and the repository in which that is its number


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue, no pull request; whether it is an incident is decided in incidents.py."""

    number: int
    created_at: datetime
    closed_at: datetime | None = None  # when it was last closed; None while it is open
    state_reason: str = ""  # completed, not_planned, duplicate, reopened
    labels: tuple[str, ...] = ()  # those that it has now
    links: Links = NO_LINKS
    title: str = ""
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A merged pull request."""

    number: int
    author: str
    author_is_bot: bool
    base_branch: str
    head_sha: str
    merge_sha: str  # empty if GitHub names none
    created_at: datetime
    merged_at: datetime
    authored_at: tuple[datetime, ...] = ()
    reviews: tuple[Review, ...] = ()
    draft_events: tuple[DraftEvent, ...] = ()
    closed_at: datetime | None = None
    head_branch: str = ""
    labels: tuple[str, ...] = ()
    commit_shas: tuple[str, ...] = ()  # as they were in the pull request: a squash or rebase leaves none of them on the branch
    closes: tuple[tuple[str, int], ...] = ()  # repository ("owner/name") and number of the issues that its merge closes
    revert_signs: RevertSigns = NO_SIGNS
    links: Links = NO_LINKS
    title: str = ""
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was collected: everything from `since` until `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of a service with one repository; of several, those of the first one and of the logs, with the rest in `others`.

    `repository`: what it is called, "owner/name". `repositories`: every such name that GitHub has known it by. `parents`: its
    git history, commit to parents. `log_hours`: at least those with a minute whose share of errors is above the service's
    setting. `coverage`: by stream, of all repositories and logs together. `others`: the other repositories' facts, each with a
    name of its own, without logs and coverage.
    """

    deployments: tuple[GithubDeployment, ...] = ()
    log_deployments: tuple[LogDeployment, ...] = ()
    workflow_runs: tuple[WorkflowRun, ...] = ()
    releases: tuple[Release, ...] = ()
    pull_requests: tuple[PullRequest, ...] = ()
    issues: tuple[Issue, ...] = ()
    log_hours: tuple[LogHour, ...] = ()
    repositories: frozenset[str] = frozenset()
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    coverage: Mapping[str, Coverage] = field(default_factory=dict)
    repository: str = ""
    default_branch: str = ""
    others: tuple["Facts", ...] = ()

    @property
    def parts(self) -> tuple["Facts", ...]:
        """One for each repository: numbers, shas and history have a meaning inside one only."""
        return (self, *self.others)

    def qualifier(self, part: "Facts") -> str:
        """What a number of this part needs to be told from the same number of another; empty where there is no other."""
        return f"{part.repository}#" if self.others else ""


@dataclass(frozen=True, slots=True)
class Settings:
    """A service's settings. The defaults are those of a new service, too."""

    time_zone: str = "UTC"
    production: str = r"(?i)^(prod|production|live)([-_ /].*)?$"
    deployments_from: str = "auto"
    workflow: str = r"(?i)deploy"
    prereleases: bool = False
    incident_label: str = r"(?i)^(incident|outage|sev[-_ ]?[0-9])"
    hotfix: str = r"(?i)^hot-?fix([-_ /].*)?$"
    look_back_hours: int = 168
    log_incidents: bool = True
    log_minute_events: int = 20
    log_error_share: float = 5  # percent
    log_bad_minutes: int = 5
    log_good_minutes: int = 10
    log_issue_hours: int = 24
    bots: frozenset[str] = frozenset()


DEFAULTS = Settings()


@dataclass(frozen=True, slots=True)
class LogErrors:
    """What one log says of an incident; `url`: the path of the page that shows the lines."""

    source: str
    events: int
    errors: int
    url: str


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """The bad minutes of an incident from the logs, from the first to the last (its beginning), and what was logged in them.

    `sources`: the logs with errors in those minutes, most errors first.
    """

    first_minute: datetime
    last_minute: datetime
    bad_minutes: int
    events: int
    errors: int
    sources: tuple[LogErrors, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished attempt to put a commit into an environment; `ids` are more than one where retries were merged."""

    ids: tuple[str, ...]
    environment: str
    sha: str
    started_at: datetime
    finished_at: datetime
    is_success: bool
    names_environment: bool = True  # what names none counts as production, whatever that is called
    pull_request: int | None = None  # where merged pull requests stand for deployments: the one that it carries
    has_skew: bool = False  # it finished before it started: the start was set to the finish
    origin: Origin = NOWHERE
    first_try_at: datetime | None = None  # where retries were merged: when the earliest of them started
    repository: str = ""  # empty for a line of a log whose commit none of several repositories has

    @property
    def began_at(self) -> datetime:
        """From then on it may have caused something."""
        return self.first_try_at or self.started_at

    @property
    def key(self) -> str:
        """The id that tells it from all others of its source."""
        return self.ids[-1]

    @property
    def order(self) -> tuple[datetime, tuple[str, ...], str]:
        """By finished_at, then id; 9 comes before 10, also as the attempt of a run (123.9, 123.10). Then by repository."""
        place, _, number = self.ids[-1].rpartition("#")
        return self.finished_at, tuple(part.zfill(20) for part in number.split(".")), place


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One value of one metric in one period; None is unknown."""

    metric: str
    environment: str
    period_kind: str
    period_start: date
    period_end: date  # exclusive
    unit: str
    n: int = 0
    value: float | None = None
    numerator: float | None = None
    denominator: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    tier: str | None = None
    tier_year: int | None = None
    is_partial: bool = False
    quality_flags: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
