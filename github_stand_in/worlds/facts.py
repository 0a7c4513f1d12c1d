"""The facts of a generated repository. The row of a fact is the record that the API returns for it at a certain time.

A fact changes only at known times, so its row stays the same from one of them to the next. The fields of a row are named as in
GraphQL; those of a workflow run are named as in REST. The server and the tests read the same rows.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from github_stand_in.worlds.global_ids import global_id

Row = dict[str, Any]

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BOT = "dependabot"
MAIN = "main"
# Maps a deployment's latest status to the state of the deployment. For all other statuses, the two are the same.
STATES = {"SUCCESS": "ACTIVE"}
FACTS_A_REPOSITORY = 100_000


def iso(moment: datetime) -> str:
    return moment.isoformat()[:19] + "Z"


def actor(login: str | None) -> dict[str, str] | None:
    """Return the row of an author; None for a deleted user."""
    if login is None:
        return None
    return {"__typename": "Bot" if login == BOT or login.endswith("[bot]") else "User", "login": login}


@dataclass(eq=False)
class Commit:
    """A commit. `committed`: the commit time, which must be later than the commit time of every parent. `login`: the author's user, if any.

    `has_author`: False if GitHub returns no author at all.
    """

    oid: str
    parents: tuple[str, ...]
    authored: datetime
    committed: datetime
    login: str | None
    has_author: bool = True

    def row(self, name: str) -> Row:
        return {
            "__typename": "Commit",
            "oid": self.oid,
            "url": f"https://github.com/{name}/commit/{self.oid}",
            "authoredDate": iso(self.authored),
            "committedDate": iso(self.committed),
            "author": {"user": {"login": self.login} if self.login else None} if self.has_author else None,
            "parents": {"totalCount": len(self.parents), "nodes": [{"__typename": "Commit", "oid": oid} for oid in self.parents]},
        }


@dataclass(eq=False)
class Fact:
    """A fact of a repository. `number`: unique per repository and kind. `created`: the creation time that GitHub shows.

    Two attributes may be set at any time. `shown`: when the fact appears, if that is later than `created`, as for a release of an
    old commit or an issue transferred from another repository. `gone`: when it was deleted.
    """

    KIND = ""
    number: int
    created: datetime
    shown: datetime | None = field(default=None, init=False)
    gone: datetime | None = field(default=None, init=False)
    _times: list[datetime] = field(default_factory=list, init=False, repr=False)
    _updates: list[datetime] = field(default_factory=list, init=False, repr=False)
    _rows: dict[tuple[datetime, str], Row] = field(default_factory=dict, init=False, repr=False)

    def moments(self) -> Iterable[datetime]:
        """Return the times of the changes that also change `updatedAt`."""
        raise NotImplementedError

    def silent_moments(self) -> Iterable[datetime]:
        """Return the times of the changes that leave `updatedAt` as it is."""
        return ()

    def is_there(self, clock: datetime) -> bool:
        return (self.shown or self.created) <= clock and not (self.gone and self.gone <= clock)

    def build(self, repository: int, name: str, now: datetime) -> Row:
        raise NotImplementedError

    def row(self, repository: int, name: str, clock: datetime) -> Row:
        """Return the row at the time `clock`. Do not modify it, because the same object is returned until the fact changes."""
        self._arrange()
        changed = self._times[bisect_right(self._times, clock) - 1]
        if (found := self._rows.get((changed, name))) is None:
            found = self._rows[changed, name] = self.build(repository, name, changed)
        return found

    def updated(self, clock: datetime) -> datetime:
        """Return `updatedAt` at the time `clock`."""
        self._arrange()
        return self._updates[bisect_right(self._updates, clock) - 1]

    def changed(self) -> None:
        self._times, self._updates, self._rows = [], [], {}

    def _arrange(self) -> None:
        if not self._times:
            self._updates = sorted({self.created, *([self.shown] if self.shown else []), *self.moments()})
            self._times = sorted({*self._updates, *self.silent_moments()})

    def identity(self, repository: int) -> Row:
        """Return both ids. As at GitHub, `databaseId` may be larger than an Int, which is the type that the schema declares for it."""
        return {"id": global_id(self.KIND, repository, self.number), "databaseId": repository * FACTS_A_REPOSITORY + self.number}


@dataclass(eq=False)
class PullRequest(Fact):
    """A pull request.

    `late`: for each commit that was pushed after the pull request was opened, by oid, the time of the push. `drafts`: the draft
    events, a list of (when, __typename). `bases`: a list of (since when, base branch), if the base is not always main.
    `merge_kind`: squash, merge, rebase or fast-forward. `closes`: the issues that it closes, a list of (repository, number);
    the repository is "" if it is the pull request's own. `dropped`: for each item of `closes` that was removed later, the time of
    the removal, which does not change `updatedAt`. `edits`: later texts, a list of (since when, title, body). `forced`: the
    force-pushes, a list of (when, commits).
    """

    KIND = "PR"
    title: str
    branch: str
    author: str | None
    commits: list[Commit]
    body: str = ""
    reviews: list[tuple[datetime, str | None, str]] = field(default_factory=list)
    drafts: list[tuple[datetime, str]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    late: dict[str, datetime] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    closes: list[tuple[str, int]] = field(default_factory=list)
    merged: datetime | None = None
    closed: datetime | None = None
    bases: list[tuple[datetime, str]] = field(default_factory=list)
    merge_kind: str = "squash"
    merge_oid: str | None = None
    size: tuple[int, int] = (10, 2)
    dropped: dict[tuple[str, int], datetime] = field(default_factory=dict)
    edits: list[tuple[datetime, str, str]] = field(default_factory=list)
    forced: list[tuple[datetime, list[Commit]]] = field(default_factory=list)

    def moments(self) -> list[datetime]:
        ends = [moment for moment in (self.merged, self.closed) if moment]
        changes = [when for listed in (self.reviews, self.drafts, self.edits, self.forced, self.bases) for when, *_ in listed]
        return [*changes, *self.late.values(), *ends]

    def silent_moments(self) -> Iterable[datetime]:
        return self.dropped.values()

    def build(self, repository: int, name: str, now: datetime) -> Row:
        is_merged = bool(self.merge_oid and self.merged and self.merged <= now)
        closed = self.closed if self.closed and self.closed <= now else None
        last_push = next((commits for when, commits in reversed(self.forced) if when <= now), None)
        commits = last_push or [commit for commit in self.commits if self.late.get(commit.oid, self.created) <= now]
        title, body = _edited(self.edits, now) or (self.title, self.body)
        events = [(when, kind) for when, kind in self.drafts if when <= now]
        identity = self.identity(repository)
        return {
            "__typename": "PullRequest",
            **identity,
            "fullDatabaseId": str(identity["databaseId"]),
            "number": self.number,
            "title": title,
            "body": body,
            "url": f"https://github.com/{name}/pull/{self.number}",
            "state": "MERGED" if is_merged else "CLOSED" if closed else "OPEN",
            "isDraft": self._is_draft(events),
            "createdAt": iso(self.created),
            "updatedAt": iso(self.updated(now)),
            "mergedAt": iso(self.merged) if is_merged and self.merged else None,
            "closedAt": iso(closed) if closed else None,
            "additions": self.size[0],
            "deletions": self.size[1],
            "changedFiles": len(self.paths),
            "baseRefName": next((base for when, base in reversed(self.bases) if when <= now), MAIN),
            "headRefName": self.branch,
            "headRefOid": commits[-1].oid,
            "author": actor(self.author),
            "mergeCommit": {"__typename": "Commit", "oid": self.merge_oid} if is_merged else None,
            "repository": {"id": global_id("R", repository), "nameWithOwner": name},
            "labels": _connection({"name": label} for label in self.labels),
            "commits": _connection({"commit": commit.row(name)} for commit in commits),
            "reviews": _connection({"state": state, "submittedAt": iso(when), "author": actor(who)} for when, who, state in self._reviews(now)),
            "files": _connection({"path": path} for path in self.paths),
            "closingIssuesReferences": _connection(
                {"number": number, "repository": {"nameWithOwner": other or name}}
                for other, number in self.closes
                if not ((dropped := self.dropped.get((other, number))) and dropped <= now)
            ),
            "timelineItems": _connection({"__typename": kind, "createdAt": iso(when)} for when, kind in events),
        }

    def _reviews(self, now: datetime) -> list[tuple[datetime, str | None, str]]:
        return sorted((review for review in self.reviews if review[0] <= now), key=lambda review: (review[0], review[1] or ""))

    def _is_draft(self, events: list[tuple[datetime, str]]) -> bool:
        if events:
            return events[-1][1] == "ConvertToDraftEvent"
        return bool(self.drafts) and self.drafts[0][1] == "ReadyForReviewEvent"


@dataclass(eq=False)
class Deployment(Fact):
    """A deployment. `run`: the number of the workflow run that its statuses link to; 0 for none."""

    KIND = "DE"
    oid: str
    environment: str
    statuses: list[tuple[datetime, str]]
    payload: str
    creator: str
    ref: str | None = "main"
    run: int = 0

    def is_done(self, now: datetime) -> bool:
        return any(state == "SUCCESS" and when <= now for when, state in self.statuses)

    def moments(self) -> list[datetime]:
        return [when for when, _ in self.statuses]

    def build(self, repository: int, name: str, now: datetime) -> Row:
        log = f"https://github.com/{name}/actions/runs/{repository * FACTS_A_REPOSITORY + self.run}/job/1" if self.run else None
        # GitHub lists the newest status first.
        statuses = [
            {"state": state, "createdAt": iso(when), "updatedAt": iso(when), "description": "", "environmentUrl": None, "logUrl": log}
            for when, state in reversed(self.statuses)
            if when <= now
        ]
        latest = statuses[0] if statuses else None
        state = latest["state"] if latest else "PENDING"
        return {
            "__typename": "Deployment",
            **self.identity(repository),
            "commitOid": self.oid,
            "environment": self.environment,
            "task": "deploy",
            "state": STATES.get(str(state), state),
            "payload": self.payload,
            "createdAt": iso(self.created),
            "updatedAt": iso(self.updated(now)),
            "ref": {"name": self.ref} if self.ref else None,
            "repository": {"url": f"https://github.com/{name}"},
            "creator": actor(self.creator),
            "latestStatus": latest,
            "statuses": _connection(statuses),
        }


@dataclass(eq=False)
class Issue(Fact):
    """An issue.

    `labelled`: a list of (label, since, until or None). `events`: a list of (when, ClosedEvent or ReopenedEvent, reason). `edits`:
    later texts, a list of (since when, title, body). `moved`: if the issue was transferred at the time `gone`, the other
    repository and the issue's number there.
    """

    KIND = "I"
    title: str
    body: str
    author: str | None
    labelled: list[tuple[str, datetime, datetime | None]] = field(default_factory=list)
    events: list[tuple[datetime, str, str]] = field(default_factory=list)
    edits: list[tuple[datetime, str, str]] = field(default_factory=list)
    moved: tuple[str, int] | None = None

    def close(self, when: datetime, reason: str) -> None:
        self.events.append((when, "ClosedEvent", reason))

    def reopen(self, when: datetime) -> None:
        self.events.append((when, "ReopenedEvent", "REOPENED"))

    @property
    def is_closed(self) -> bool:
        return bool(self.events) and self.events[-1][1] == "ClosedEvent"

    def moments(self) -> list[datetime]:
        labels = [moment for _, since, until in self.labelled for moment in (since, until) if moment]
        return labels + [when for when, *_ in (*self.events, *self.edits)]

    def build(self, repository: int, name: str, now: datetime) -> Row:
        events = [event for event in self.events if event[0] <= now]
        is_closed = bool(events) and events[-1][1] == "ClosedEvent"
        identity = self.identity(repository)
        labels = [label for label, since, until in self.labelled if since <= now and not (until and until <= now)]
        title, body = _edited(self.edits, now) or (self.title, self.body)
        return {
            "__typename": "Issue",
            **identity,
            "fullDatabaseId": str(identity["databaseId"]),
            "number": self.number,
            "title": title,
            "body": body,
            "url": f"https://github.com/{name}/issues/{self.number}",
            "state": "CLOSED" if is_closed else "OPEN",
            "stateReason": events[-1][2] if events else None,
            "createdAt": iso(self.created),
            "updatedAt": iso(self.updated(now)),
            "closedAt": iso(events[-1][0]) if is_closed else None,
            "author": actor(self.author),
            "labels": _connection({"name": label} for label in labels),
            "timelineItems": _connection({"__typename": kind, "createdAt": iso(when)} for when, kind, _ in events),
            "repository": {"id": global_id("R", repository), "nameWithOwner": name},
        }


@dataclass(eq=False)
class Release(Fact):
    """A release. `published`: when it was published; None if it stays a draft. A draft has no commit, because its tag does not exist yet.

    `promoted`: when a prerelease became a full release.
    """

    KIND = "RE"
    tag: str
    oid: str
    published: datetime | None
    is_prerelease: bool = False
    promoted: datetime | None = None

    def moments(self) -> list[datetime]:
        return [moment for moment in (self.published, self.promoted) if moment]

    def build(self, repository: int, name: str, now: datetime) -> Row:
        is_draft = not self.published or self.published > now
        place = f"untagged-{self.oid[:20]}" if is_draft else self.tag
        return {
            "__typename": "Release",
            **self.identity(repository),
            "tagName": self.tag,
            "name": f"Version {self.tag.removeprefix('v')}",
            "isDraft": is_draft,
            "isPrerelease": self.is_prerelease and not (self.promoted and self.promoted <= now),
            "createdAt": iso(self.created),
            "publishedAt": None if is_draft or not self.published else iso(self.published),
            "updatedAt": iso(self.updated(now)),
            "url": f"https://github.com/{name}/releases/tag/{place}",
            "tagCommit": None if is_draft else {"__typename": "Commit", "oid": self.oid},
        }


@dataclass(eq=False)
class WorkflowRun(Fact):
    """A workflow run. The fields of its rows are named as in REST. `attempts`: a list of (begin, end, conclusion), the oldest first."""

    KIND = "WFR"
    name: str
    path: str
    branch: str
    oid: str
    event: str
    attempts: list[tuple[datetime, datetime, str]]

    def moments(self) -> list[datetime]:
        return [moment for begin, end, _ in self.attempts for moment in (begin, end)]

    def build(self, repository: int, name: str, now: datetime) -> Row:
        begun = sum(1 for begin, *_ in self.attempts if begin <= now)
        return self.attempt(begun, repository, name, now)

    def attempt(self, which: int, repository: int, name: str, now: datetime) -> Row:
        begin, end, conclusion = self.attempts[which - 1]
        has_ended = end <= now
        number = repository * FACTS_A_REPOSITORY + self.number
        return {
            "id": number,
            "node_id": global_id(self.KIND, repository, self.number),
            "name": self.name,
            "path": self.path,
            "display_title": f"{self.name} of {self.branch}",
            "head_branch": self.branch,
            "head_sha": self.oid,
            "event": self.event,
            "run_number": self.number,
            "run_attempt": which,
            "status": "completed" if has_ended else "in_progress",
            "conclusion": conclusion if has_ended else None,
            "created_at": iso(self.created),
            "run_started_at": iso(begin),
            "updated_at": iso(end if has_ended else begin),
            "html_url": f"https://github.com/{name}/actions/runs/{number}",
            "actor": {"login": "deployer", "type": "User"},
        }


def _edited(edits: list[tuple[datetime, str, str]], now: datetime) -> tuple[str, str] | None:
    """Return the title and body of the last edit until `now`; None if there is none."""
    return next(((title, body) for when, title, body in reversed(edits) if when <= now), None)


def _connection(nodes: Iterable[Row]) -> Row:
    found = list(nodes)
    return {"totalCount": len(found), "nodes": found}
