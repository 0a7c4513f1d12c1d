"""Plans of what will happen in a generated service: each a list of events, read as of an instant."""

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from demo.github.rows import Actor, Commit, Deployment, DraftEvent, PullRequest, Review, Status, WorkflowRun

DRAFT_EVENTS = {"ready": "ReadyForReviewEvent", "drafted": "ConvertToDraftEvent"}


@dataclass(frozen=True, slots=True)
class Event:
    """`kind`: pushed, labelled, unlabelled, reviewed, ready, drafted, commented, closed, reopened or merged."""

    at: datetime
    kind: str
    label: str = ""
    review: Review | None = None


@dataclass(slots=True)
class PlannedPull:
    title: str
    branch: str
    author: Actor | None
    created_at: datetime
    method: str  # how it is merged: squash, merge, rebase; empty if it never is
    commit_times: list[datetime]
    number: int = 0
    is_draft: bool = False
    merged_at: datetime | None = None
    merge_commit: str | None = None
    lines: int = 10
    skewed_clock: bool = False
    events: list[Event] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)

    def at(self, clock: datetime, *, repository: str, base_id: int) -> PullRequest | None:
        """The pull request as of `clock`; None before its creation."""
        if clock < self.created_at:
            return None
        state, is_draft, updated_at = "OPEN", self.is_draft, self.created_at
        merged_at = closed_at = None
        labels: list[str] = []
        reviews: list[Review] = []
        draft_events: list[DraftEvent] = []
        for event in self.events:
            if event.at > clock:
                break
            updated_at = event.at
            match event.kind:
                case "labelled":
                    labels.append(event.label)
                case "unlabelled":
                    labels.remove(event.label)
                case "ready" | "drafted":
                    is_draft = event.kind == "drafted"
                    draft_events.append(DraftEvent(DRAFT_EVENTS[event.kind], event.at))
                case "closed":
                    state, closed_at = "CLOSED", event.at
                case "reopened":
                    state, closed_at = "OPEN", None
                case "merged":
                    state, merged_at, closed_at = "MERGED", event.at, event.at
                case "reviewed" if event.review:
                    reviews.append(event.review)
        commits = tuple(commit for commit in self.commits if commit.pushed_at <= clock)
        return PullRequest(
            database_id=base_id + self.number,
            number=self.number,
            title=self.title,
            url=f"https://github.com/{repository}/pull/{self.number}",
            state=state,
            is_draft=is_draft,
            created_at=self.created_at,
            updated_at=updated_at,
            merged_at=merged_at,
            closed_at=closed_at,
            additions=self.lines * len(commits),
            deletions=self.lines * len(commits) // 3,
            changed_files=1 + self.lines // 25,
            head_ref_name=self.branch,
            head_ref_oid=commits[-1].sha,
            author=self.author,
            merge_commit=self.merge_commit if merged_at else None,
            labels=tuple(labels),
            commits=commits,
            reviews=tuple(reviews),
            draft_events=tuple(draft_events),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    started_at: datetime
    finished_at: datetime
    conclusion: str


@dataclass(slots=True)
class PlannedRun:
    name: str
    branch: str
    sha: str
    event: str
    actor: Actor
    created_at: datetime
    attempts: list[Attempt] = field(default_factory=list)
    id: int = 0
    number: int = 0

    def url(self, repository: str) -> str:
        return f"https://github.com/{repository}/actions/runs/{self.id}"

    def at(self, clock: datetime, *, repository: str) -> WorkflowRun | None:
        """The run as of `clock`: its latest attempt that had begun; None before its creation."""
        begun = [attempt for attempt in self.attempts if attempt.started_at <= clock]
        if not begun:
            return None
        attempt = begun[-1]
        is_done = attempt.finished_at <= clock
        is_queued = clock < attempt.started_at + timedelta(seconds=5)
        return WorkflowRun(
            id=self.id,
            name=self.name,
            path=f".github/workflows/{self.name}.yml",
            head_branch=self.branch,
            head_sha=self.sha,
            event=self.event,
            run_number=self.number,
            run_attempt=len(begun),
            status="completed" if is_done else "queued" if is_queued else "in_progress",
            conclusion=attempt.conclusion if is_done else None,
            created_at=self.created_at,
            updated_at=attempt.finished_at if is_done else attempt.started_at,
            run_started_at=attempt.started_at,
            html_url=self.url(repository),
            actor=self.actor,
        )


@dataclass(slots=True)
class PlannedDeployment:
    sha: str
    environment: str
    creator: Actor
    created_at: datetime
    run: PlannedRun
    ref: str | None = "main"
    payload: str | None = None
    states: list[tuple[datetime, str]] = field(default_factory=list)
    id: int = 0

    @property
    def succeeded_at(self) -> datetime | None:
        return next((at for at, state in self.states if state == "SUCCESS"), None)

    def at(self, clock: datetime, *, repository: str) -> Deployment | None:
        """The deployment with the statuses that it had at `clock`; None before its creation."""
        if clock < self.created_at:
            return None
        return Deployment(
            database_id=self.id,
            sha=self.sha,
            environment=self.environment,
            task="deploy",
            payload=self.payload,
            ref=self.ref,
            creator=self.creator,
            created_at=self.created_at,
            statuses=tuple(
                Status(
                    state=state,
                    created_at=at,
                    description="superseded" if state == "INACTIVE" else "",
                    log_url=None if state == "INACTIVE" else f"{self.run.url(repository)}/job/{self.id}",
                    environment_url=f"https://{self.environment}.example.org" if state == "SUCCESS" else None,
                )
                for at, state in self.states
                if at <= clock
            ),
        )


@dataclass(slots=True)
class Branch:
    """The base branch: which commit was its head since when."""

    times: list[datetime] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)

    def move(self, at: datetime, sha: str) -> None:
        self.times.append(at)
        self.heads.append(sha)

    def head(self, clock: datetime) -> str | None:
        position = bisect_right(self.times, clock)
        return self.heads[position - 1] if position else None
