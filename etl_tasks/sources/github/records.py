"""What a valid record is, per stream: the shapes of GitHub's answers that we rely on. Unknown fields are left alone."""

from datetime import datetime
from typing import Annotated

import msgspec

# A BigInt of GraphQL comes as a string, since JavaScript's numbers end at 2**53.
WholeNumber = int | Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}$")]


# What the database's columns hold: a value beyond them is a bad record, not a load that fails.
Sha = Annotated[str, msgspec.Meta(max_length=64)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Login = Annotated[str, msgspec.Meta(max_length=100)]
State = Annotated[str, msgspec.Meta(max_length=30)]


class Wire(msgspec.Struct, rename="camel"):
    """A node of GraphQL, whose fields are camelCase."""


class Actor(Wire):
    login: Login
    kind: str = msgspec.field(name="__typename", default="User")

    @property
    def is_bot(self) -> bool:
        return self.kind == "Bot" or self.login.endswith("[bot]")


class Oid(Wire):
    oid: Sha


class Named(Wire):
    name: str


class Labels(Wire):
    nodes: list[Named | None] | None = None


class PullRequestCommit(Wire):
    oid: Sha
    authored_date: datetime


class PullRequestCommitNode(Wire):
    commit: PullRequestCommit


class PullRequestCommits(Wire):
    total_count: Count
    nodes: list[PullRequestCommitNode | None] | None = None


class Review(Wire):
    state: State
    submitted_at: datetime | None = None
    author: Actor | None = None


class Reviews(Wire):
    total_count: Count
    nodes: list[Review | None] | None = None


class File(Wire):
    path: str


class Files(Wire):
    nodes: list[File | None] | None = None


class RepositoryName(Wire):
    name_with_owner: str


class IssueReference(Wire):
    number: Count
    repository: RepositoryName


class IssueReferences(Wire):
    nodes: list[IssueReference | None] | None = None


class Event(Wire):
    created_at: datetime
    kind: str = msgspec.field(name="__typename")


class Events(Wire):
    nodes: list[Event | None] | None = None


class PullRequest(Wire):
    number: Count
    url: str
    state: State
    created_at: datetime
    updated_at: datetime
    base_ref_name: str
    head_ref_name: str
    head_ref_oid: Sha
    commits: PullRequestCommits
    reviews: Reviews
    title: str = ""
    body: str = ""
    database_id: WholeNumber | None = None
    is_draft: bool = False
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    additions: Count = 0
    deletions: Count = 0
    changed_files: Count = 0
    author: Actor | None = None  # a deleted user
    merge_commit: Oid | None = None
    labels: Labels | None = None
    files: Files | None = None
    closing_issues_references: IssueReferences | None = None
    timeline_items: Events | None = None


class PullRequestRest(Wire):
    """What lies beyond the first page of a pull request's lists; null for a list that was not asked for."""

    number: Count
    updated_at: datetime | None = None  # was not asked for by earlier versions
    labels: Labels | None = None
    commits: PullRequestCommits | None = None
    reviews: Reviews | None = None
    files: Files | None = None
    closing_issues_references: IssueReferences | None = None
    timeline_items: Events | None = None


class DeploymentStatus(Wire):
    state: State
    created_at: datetime
    log_url: str | None = None


class DeploymentStatuses(Wire):
    total_count: Count
    nodes: list[DeploymentStatus | None] | None = None


class Page(Wire):
    url: str


class Deployment(Wire):
    database_id: Id
    commit_oid: Sha
    created_at: datetime
    updated_at: datetime
    statuses: DeploymentStatuses | None = None
    environment: str | None = None
    task: str | None = None
    state: State | None = None
    ref: Named | None = None
    creator: Actor | None = None
    repository: Page | None = None
    id: str = ""


class LatestStatus(Wire):
    created_at: datetime


class DeploymentRest(Wire):
    database_id: Id
    updated_at: datetime
    statuses: DeploymentStatuses
    latest_status: LatestStatus | None = None


class Issue(Wire):
    number: Count
    url: str
    state: State
    created_at: datetime
    updated_at: datetime
    title: str = ""
    body: str = ""
    database_id: WholeNumber | None = None
    state_reason: State | None = None
    closed_at: datetime | None = None
    author: Actor | None = None
    labels: Labels | None = None
    timeline_items: Events | None = None


class IssueRest(Wire):
    number: Count
    updated_at: datetime
    labels: Labels | None = None
    timeline_items: Events | None = None


class Release(Wire):
    database_id: Id
    tag_name: str
    created_at: datetime
    updated_at: datetime
    url: str = ""
    id: str = ""
    name: str | None = None
    is_draft: bool = False
    is_prerelease: bool = False
    published_at: datetime | None = None
    tag_commit: Oid | None = None


class User(Wire):
    login: Login


class GitActor(Wire):
    user: User | None = None


class Parents(Wire):
    nodes: list[Oid | None] | None = None


class Commit(Wire):
    oid: Sha
    authored_date: datetime
    committed_date: datetime
    parents: Parents
    url: str = ""
    author: GitActor | None = None


class CommitRest(Wire):
    oid: Sha
    parents: Parents


class RunActor(msgspec.Struct):
    login: Login


class WorkflowRun(msgspec.Struct):
    """A workflow run of REST, whose fields are snake_case."""

    id: Id
    head_sha: Sha
    created_at: datetime
    updated_at: datetime
    node_id: str = ""
    html_url: str = ""
    name: str | None = None
    path: str | None = None
    head_branch: str | None = None
    event: str | None = None
    status: State | None = None
    conclusion: State | None = None
    run_attempt: Count = 1
    run_started_at: datetime | None = None
