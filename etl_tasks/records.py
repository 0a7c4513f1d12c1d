"""What a valid record is, per stream: the shapes of GitHub's answers that we rely on. Unknown fields are left alone."""

from datetime import datetime
from typing import Annotated

import msgspec

# A BigInt of GraphQL comes as a string, since JavaScript's numbers end at 2**53.
WholeNumber = int | Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}$")]


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


class Labels(Wire):
    nodes: list[Named | None] | None = None


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


class File(Wire):
    path: str


class Files(Wire):
    nodes: list[File | None] | None = None


class RepositoryName(Wire):
    name_with_owner: str


class IssueReference(Wire):
    number: int
    repository: RepositoryName


class IssueReferences(Wire):
    nodes: list[IssueReference | None] | None = None


class Event(Wire):
    created_at: datetime
    kind: str = msgspec.field(name="__typename")


class Events(Wire):
    nodes: list[Event | None] | None = None


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
    body: str = ""
    database_id: WholeNumber | None = None
    is_draft: bool = False
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    additions: int = 0
    deletions: int = 0
    changed_files: int = 0
    author: Actor | None = None  # a deleted user
    merge_commit: Oid | None = None
    labels: Labels | None = None
    files: Files | None = None
    closing_issues_references: IssueReferences | None = None
    timeline_items: Events | None = None


class PullRequestRest(Wire):
    """What lies beyond the first hundred of a pull request's lists; null for a list that was not asked for."""

    number: int
    commits: PullRequestCommits | None = None
    reviews: Reviews | None = None
    files: Files | None = None


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
    id: str = ""


class Issue(Wire):
    number: int
    url: str
    state: str
    created_at: datetime
    updated_at: datetime
    title: str = ""
    body: str = ""
    database_id: WholeNumber | None = None
    state_reason: str | None = None
    closed_at: datetime | None = None
    author: Actor | None = None
    labels: Labels | None = None
    timeline_items: Events | None = None


class Release(Wire):
    database_id: int
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
    node_id: str = ""
    html_url: str = ""
    name: str | None = None
    path: str | None = None
    head_branch: str | None = None
    event: str | None = None
    status: str | None = None
    conclusion: str | None = None
    run_attempt: int = 1
    run_started_at: datetime | None = None
