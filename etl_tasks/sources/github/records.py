"""The types that the records of GitHub's answers must have. Fields that are not declared here are ignored."""

from datetime import datetime
from typing import Annotated

import msgspec

# The limits are those of the database's columns. A record with a larger value becomes a dead letter; without the limits, the load would fail.
Sha = Annotated[str, msgspec.Meta(max_length=64)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Login = Annotated[str, msgspec.Meta(max_length=100)]
State = Annotated[str, msgspec.Meta(max_length=30)]
GlobalId = Annotated[str, msgspec.Meta(max_length=100)]
# GraphQL sends a BigInt as a string, because JavaScript's integers are exact up to 2**53 only.
WholeNumber = Id | Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}$")]
# A time that GitHub's server has set. GitTime comes from a person's clock: it may lack its zone, and be impossible.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
GitTime = datetime


class GraphQLNode(msgspec.Struct, rename="camel"):
    """A node of a GraphQL answer, which has camelCase fields."""


class Actor(GraphQLNode):
    login: Login
    kind: str = msgspec.field(name="__typename", default="User")

    @property
    def is_bot(self) -> bool:
        return self.kind == "Bot" or self.login.endswith("[bot]")


class Oid(GraphQLNode):
    oid: Sha


class Named(GraphQLNode):
    name: str


class Labels(GraphQLNode):
    nodes: list[Named | None] | None = None


class PullRequestCommit(GraphQLNode):
    oid: Sha
    authored_date: GitTime


class PullRequestCommitNode(GraphQLNode):
    commit: PullRequestCommit


class PullRequestCommits(GraphQLNode):
    total_count: Count
    nodes: list[PullRequestCommitNode | None] | None = None


class Review(GraphQLNode):
    state: State
    submitted_at: Moment | None = None
    author: Actor | None = None


class Reviews(GraphQLNode):
    total_count: Count
    nodes: list[Review | None] | None = None


class File(GraphQLNode):
    path: str


class Files(GraphQLNode):
    nodes: list[File | None] | None = None


class RepositoryName(GraphQLNode):
    name_with_owner: str


class IssueReference(GraphQLNode):
    number: Count
    repository: RepositoryName


class IssueReferences(GraphQLNode):
    nodes: list[IssueReference | None] | None = None


class Event(GraphQLNode):
    created_at: Moment
    kind: str = msgspec.field(name="__typename")


class Events(GraphQLNode):
    nodes: list[Event | None] | None = None


class PullRequest(GraphQLNode):
    number: Count
    url: str
    state: State
    created_at: Moment
    updated_at: Moment
    base_ref_name: str
    head_ref_name: str
    head_ref_oid: Sha
    commits: PullRequestCommits
    reviews: Reviews
    title: str = ""
    body: str = ""
    database_id: WholeNumber | None = None
    is_draft: bool = False
    merged_at: Moment | None = None
    closed_at: Moment | None = None
    additions: Count = 0
    deletions: Count = 0
    changed_files: Count = 0
    author: Actor | None = None  # None for a deleted user
    merge_commit: Oid | None = None
    labels: Labels | None = None
    files: Files | None = None
    closing_issues_references: IssueReferences | None = None
    timeline_items: Events | None = None


class PullRequestNextPages(GraphQLNode):
    """Pages, after the first, of the lists inside a pull request. A list that was not requested is None."""

    number: Count
    updated_at: Moment | None = None  # None in pages that were staged before the query had this field
    labels: Labels | None = None
    commits: PullRequestCommits | None = None
    reviews: Reviews | None = None
    files: Files | None = None
    closing_issues_references: IssueReferences | None = None
    timeline_items: Events | None = None


class DeploymentStatus(GraphQLNode):
    state: State
    created_at: Moment
    log_url: str | None = None


class DeploymentStatuses(GraphQLNode):
    total_count: Count
    nodes: list[DeploymentStatus | None] | None = None


class RepositoryUrl(GraphQLNode):
    url: str


class Deployment(GraphQLNode):
    database_id: Id
    commit_oid: Sha
    created_at: Moment
    updated_at: Moment
    statuses: DeploymentStatuses | None = None
    environment: str | None = None
    task: str | None = None
    state: State | None = None
    ref: Named | None = None
    creator: Actor | None = None
    repository: RepositoryUrl | None = None
    id: GlobalId = ""


class LatestStatus(GraphQLNode):
    created_at: Moment


class DeploymentNextPages(GraphQLNode):
    database_id: Id
    updated_at: Moment
    statuses: DeploymentStatuses
    latest_status: LatestStatus | None = None


class Issue(GraphQLNode):
    number: Count
    url: str
    state: State
    created_at: Moment
    updated_at: Moment
    title: str = ""
    body: str = ""
    database_id: WholeNumber | None = None
    state_reason: State | None = None
    closed_at: Moment | None = None
    author: Actor | None = None
    labels: Labels | None = None
    timeline_items: Events | None = None


class IssueNextPages(GraphQLNode):
    number: Count
    updated_at: Moment
    labels: Labels | None = None
    timeline_items: Events | None = None


class Release(GraphQLNode):
    database_id: Id
    tag_name: str
    created_at: Moment
    updated_at: Moment
    url: str = ""
    id: GlobalId = ""
    name: str | None = None
    is_draft: bool = False
    is_prerelease: bool = False
    published_at: Moment | None = None
    tag_commit: Oid | None = None


class User(GraphQLNode):
    login: Login


class GitActor(GraphQLNode):
    user: User | None = None


class Parents(GraphQLNode):
    nodes: list[Oid | None] | None = None


class Commit(GraphQLNode):
    oid: Sha
    authored_date: GitTime
    committed_date: GitTime
    parents: Parents
    url: str = ""
    author: GitActor | None = None


class CommitNextPages(GraphQLNode):
    oid: Sha
    parents: Parents


class RunActor(msgspec.Struct):
    login: Login


class WorkflowRun(msgspec.Struct):
    """A workflow run. It comes from REST, whose fields are in snake_case."""

    id: Id
    head_sha: Sha
    created_at: Moment
    updated_at: Moment
    node_id: GlobalId = ""
    html_url: str = ""
    name: str | None = None
    path: str | None = None
    head_branch: str | None = None
    event: str | None = None
    status: State | None = None
    conclusion: State | None = None
    run_attempt: Count = 1
    run_started_at: Moment | None = None


class SurveyedTarget(GraphQLNode):
    oid: Sha = ""


class SurveyedBranch(GraphQLNode):
    name: Annotated[str, msgspec.Meta(max_length=250)]
    target: SurveyedTarget | None = None


class SurveyedRepository(GraphQLNode):
    """What the survey asks about the repository itself."""

    database_id: Id
    id: GlobalId
    name_with_owner: Annotated[str, msgspec.Meta(min_length=3, max_length=200, pattern="/")]
    created_at: Moment
    is_archived: bool
    is_private: bool
    default_branch_ref: SurveyedBranch | None = None
