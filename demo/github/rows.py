"""What the generated service consists of, as plain rows; every time is aware UTC."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Actor:
    login: str
    kind: str = "User"  # or "Bot"


@dataclass(frozen=True, slots=True)
class Commit:
    """`pushed_at`: when GitHub first had it. `author_login`: None where the e-mail belongs to no account."""

    sha: str
    parents: tuple[str, ...]
    authored_at: datetime
    committed_at: datetime
    author_login: str | None
    pushed_at: datetime


@dataclass(frozen=True, slots=True)
class Review:
    state: str
    submitted_at: datetime
    author: Actor | None


@dataclass(frozen=True, slots=True)
class DraftEvent:
    kind: str  # "ReadyForReviewEvent" or "ConvertToDraftEvent"
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request as it stood at some instant."""

    database_id: int
    number: int
    title: str
    url: str
    state: str
    is_draft: bool
    created_at: datetime
    updated_at: datetime
    merged_at: datetime | None
    closed_at: datetime | None
    additions: int
    deletions: int
    changed_files: int
    head_ref_name: str
    head_ref_oid: str
    author: Actor | None
    merge_commit: str | None
    labels: tuple[str, ...]
    commits: tuple[Commit, ...]
    reviews: tuple[Review, ...]
    draft_events: tuple[DraftEvent, ...]
    base_ref_name: str = "main"


@dataclass(frozen=True, slots=True)
class Status:
    state: str
    created_at: datetime
    description: str
    log_url: str | None
    environment_url: str | None


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as it stood at some instant; `statuses` oldest first."""

    database_id: int
    sha: str
    environment: str
    task: str
    payload: str | None
    ref: str | None
    creator: Actor
    created_at: datetime
    statuses: tuple[Status, ...]

    @property
    def updated_at(self) -> datetime:
        return self.statuses[-1].created_at if self.statuses else self.created_at

    @property
    def state(self) -> str:
        last = self.statuses[-1].state if self.statuses else "PENDING"
        return "ACTIVE" if last == "SUCCESS" else last


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A workflow run as it stood at some instant: its latest attempt."""

    id: int
    name: str
    path: str
    head_branch: str
    head_sha: str
    event: str
    run_number: int
    run_attempt: int
    status: str
    conclusion: str | None
    created_at: datetime
    updated_at: datetime
    run_started_at: datetime
    html_url: str
    actor: Actor
