"""The facts that the calculators take. All datetimes are aware. service_settings.py has the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Status:
    """One status of a GitHub deployment."""

    state: str
    created_at: datetime
    log_url: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a fact can be looked up: its page on GitHub or in the logs, and the staged page that it was read from."""

    url: str = ""
    page_id: int = 0


NO_ORIGIN = Origin()


@dataclass(frozen=True, slots=True)
class GithubDeployment:
    id: str
    environment: str
    sha: str
    created_at: datetime
    statuses: tuple[Status, ...] = ()
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """One attempt of a workflow run."""

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
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class LogDeployment:
    """A log line that reports a deployment. `environment` and `state` are as the line spells them, empty if it has none."""

    id: str
    time: datetime
    sha: str = ""  # may be shortened
    environment: str = ""
    state: str = ""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class LogHour:
    """How many events and errors some lines of a log have, by minute of one hour: {minute: (events, errors)}.

    There may be several of these for the same hour of the same log: their counts add up.
    """

    source: str
    hour: datetime
    minutes: Mapping[int, tuple[int, int]]
    page_id: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """A release with a tag. `published_at` is None before it is published."""

    id: str
    sha: str
    is_draft: bool
    is_prerelease: bool
    published_at: datetime | None
    origin: Origin = NO_ORIGIN


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
    """The signs of a revert that a pull request has. reverts_and_hotfixes.py decides which of them counts."""

    pull: int | None = None  # n of "Reverts owner/repo#n" in the body
    pull_repository: str = ""  # "owner/repo" of that text; empty for a bare #n
    branch: int | None = None  # n of a branch revert-n-…
    sha: str = ""  # of "This reverts commit …" in the body, at least 7 digits
    has_title: bool = False  # the title begins with 'Revert "'


@dataclass(frozen=True, slots=True)
class Links:
    """The causes that a body names, each kind in the order of the text."""

    deployments: tuple[str, ...] = ()  # ids, and shas of at least 7 digits
    root_causes: tuple[str, ...] = ()  # shas of at least 7 digits
    caused_by: tuple[int, ...] = ()  # numbers of pull requests


NO_SIGNS, NO_LINKS = RevertSigns(), Links()
IssueKey = tuple[int, str]  # number of an issue or pull request, and its repository


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue that is not a pull request. incidents.py decides whether it is an incident."""

    number: int
    created_at: datetime
    closed_at: datetime | None = None  # when it was last closed; None while it is open
    state_reason: str = ""  # completed, not_planned, duplicate, reopened
    labels: tuple[str, ...] = ()  # its current labels
    links: Links = NO_LINKS
    title: str = ""
    origin: Origin = NO_ORIGIN


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
    commit_shas: tuple[str, ...] = ()  # the pull request's own commits; a squash or rebase leaves none of them on the branch
    closes: tuple[tuple[str, int], ...] = ()  # repository ("owner/name") and number of each issue that its merge closes
    revert_signs: RevertSigns = NO_SIGNS
    links: Links = NO_LINKS
    title: str = ""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class Coverage:
    """Everything from `since` until `until` was collected."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of a service. If it has several repositories: the facts of the first one and of the logs, with the rest in `others`.

    `repository`: its current name, "owner/name". `repositories`: every name under which GitHub has known it. `parents`: its git
    history, each commit with its parents. `log_hours`: at least the hours with a minute whose share of errors exceeds the
    service's setting. `coverage`: by stream, for all repositories and logs together. `others`: the facts of the other
    repositories, each with a distinct `repository`, without logs and coverage.
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
        """The facts of each repository: numbers, shas and history have a meaning only inside one repository."""
        return (self, *self.others)

    def qualifier(self, part: "Facts") -> str:
        """Return the prefix that distinguishes this part's numbers from the same numbers of another part; empty if there is only one part."""
        return f"{part.repository}#" if self.others else ""
