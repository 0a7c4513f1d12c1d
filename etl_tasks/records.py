"""What a valid record is, per stream: the shapes of GitHub's answers that we rely on. Unknown fields are left alone."""

from datetime import datetime

import msgspec


class Wire(msgspec.Struct, rename="camel"):
    """A node of GraphQL, whose fields are camelCase."""


class Actor(Wire):
    login: str
    kind: str = msgspec.field(name="__typename", default="User")

    @property
    def is_bot(self) -> bool:
        return self.kind == "Bot" or self.login.endswith("[bot]")


class Oid(Wire):
    oid: str


class Named(Wire):
    name: str


class Label(Named):
    pass


class Labels(Wire):
    nodes: list[Label | None] | None = None


class PullRequestCommit(Wire):
    oid: str
    authored_date: datetime


class PullRequestCommitNode(Wire):
    commit: PullRequestCommit


class PullRequestCommits(Wire):
    total_count: int
    nodes: list[PullRequestCommitNode | None] | None = None


class Review(Wire):
    state: str
    submitted_at: datetime | None = None
    author: Actor | None = None


class Reviews(Wire):
    total_count: int
    nodes: list[Review | None] | None = None


class DraftEvent(Wire):
    created_at: datetime
    kind: str = msgspec.field(name="__typename")


class DraftEvents(Wire):
    nodes: list[DraftEvent | None] | None = None


class PullRequest(Wire):
    number: int
    url: str
    state: str
    created_at: datetime
    updated_at: datetime
    base_ref_name: str
    head_ref_name: str
    head_ref_oid: str
    commits: PullRequestCommits
    reviews: Reviews
    title: str = ""
    database_id: int | None = None
    is_draft: bool = False
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    additions: int = 0
    deletions: int = 0
    changed_files: int = 0
    author: Actor | None = None  # a deleted user
    merge_commit: Oid | None = None
    labels: Labels | None = None
    timeline_items: DraftEvents | None = None


class DeploymentStatus(Wire):
    state: str
    created_at: datetime
    log_url: str | None = None


class DeploymentStatuses(Wire):
    total_count: int
    nodes: list[DeploymentStatus | None] | None = None


class Deployment(Wire):
    database_id: int
    commit_oid: str
    created_at: datetime
    updated_at: datetime
    statuses: DeploymentStatuses | None = None
    environment: str | None = None
    task: str | None = None
    state: str | None = None
    payload: str | None = None
    ref: Named | None = None
    creator: Actor | None = None


class User(Wire):
    login: str


class GitActor(Wire):
    user: User | None = None


class Parents(Wire):
    nodes: list[Oid | None] | None = None


class Commit(Wire):
    oid: str
    authored_date: datetime
    committed_date: datetime
    parents: Parents
    author: GitActor | None = None


class RunActor(msgspec.Struct):
    login: str


class WorkflowRun(msgspec.Struct):
    """A workflow run of REST, whose fields are snake_case."""

    id: int
    head_sha: str
    created_at: datetime
    updated_at: datetime
    html_url: str = ""
    name: str | None = None
    path: str | None = None
    head_branch: str | None = None
    event: str | None = None
    status: str | None = None
    conclusion: str | None = None
    run_attempt: int = 1
    run_started_at: datetime | None = None
