"""The facts from which the calculators compute the metrics. All datetimes are aware. service_settings.py has the settings."""

from collections.abc import Collection, Mapping
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
    """Where a fact can be looked up.

    `url`: its page on GitHub, or the page that shows its log lines. `page_id`: the id of the StagedPage (the
    stored answer of a source) from which it was read.
    """

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
    """A log line that reports a deployment.

    `environment` and `state`: as the line spells them; empty if the line names none.
    """

    id: str
    time: datetime
    sha: str = ""  # may be shortened
    environment: str = ""
    state: str = ""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class LogHour:
    """The numbers of events and errors in the minutes of one hour, counted over some of the lines of a log.

    `minutes`: {minute: (events, errors)}. There may be several objects for the same hour of the same log. Their counts must be
    added.
    """

    source: str
    hour: datetime
    minutes: Mapping[int, tuple[int, int]]
    page_id: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """A release or a draft of one.

    `sha`: the tag's commit; empty while there is no tag. `published_at`: None before the release is published.
    """

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
    """The signs that a pull request is a revert. reverts_and_hotfixes.py chooses the sign that counts."""

    pull: int | None = None  # n of "Reverts owner/repo#n" or "Reverts #n" in the body
    pull_repository: str = ""  # "owner/repo" of that text; empty for "Reverts #n"
    branch: int | None = None  # n of a branch that is named revert-n or revert-n-…
    sha: str = ""  # the sha of "This reverts commit …" in the body; it has at least 7 digits
    has_title: bool = False  # the title begins with 'Revert "'


@dataclass(frozen=True, slots=True)
class Links:
    """The causes that the body of an issue or pull request names. Each list is in the order of the text."""

    deployments: tuple[str, ...] = ()  # ids, and shas of at least 7 digits
    root_causes: tuple[str, ...] = ()  # shas of at least 7 digits
    caused_by: tuple[int, ...] = ()  # numbers of pull requests


NO_SIGNS, NO_LINKS = RevertSigns(), Links()
IssueKey = tuple[int, str]  # the number of an issue or pull request, and the name of its repository


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue that is not a pull request. incidents.py defines which issues are incidents."""

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
    commit_shas: tuple[str, ...] = ()  # the pull request's own commits; after a squash or rebase none of them is on the base branch
    closes: tuple[tuple[str, int], ...] = ()  # repository ("owner/name") and number of each issue that its merge closes
    revert_signs: RevertSigns = NO_SIGNS
    links: Links = NO_LINKS
    title: str = ""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class Coverage:
    """A span of time in which everything was collected, from `since` until `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of a service.

    If the service has several repositories, the fields have the facts of the first repository and of the logs. `others` has the
    facts of each other repository, without logs and coverage. Every repository has a distinct name in `repository`.

    `repository`: the repository's current name, "owner/name". `repositories`: every name under which GitHub has known it.
    `parents`: its git history, each commit with its parents. `log_hours`: at least the hours in which a minute has a greater share
    of errors than the service's setting. `coverage`: for each stream, the span that was collected in all repositories or logs.
    """

    deployments: Collection[GithubDeployment] = ()
    log_deployments: tuple[LogDeployment, ...] = ()
    workflow_runs: tuple[WorkflowRun, ...] = ()
    releases: tuple[Release, ...] = ()
    pull_requests: Collection[PullRequest] = ()
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
        """The facts of each repository by itself.

        Numbers and shas are looked up within one part, because several repositories may have the same number or sha.
        """
        return (self, *self.others)

    def qualifier(self, part: "Facts") -> str:
        """Return the prefix of the numbers of a repository's issues and pull requests, such as "acme/billing#".

        It distinguishes them from the same numbers of other repositories. It is empty if the service has only one repository.
        `part`: the facts of the repository.
        """
        return f"{part.repository}#" if self.others else ""
