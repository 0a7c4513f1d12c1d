"""A service's life, generated: every fact has a time, so a clock decides what GitHub would show.

Rows have GraphQL's field names, so that the server and the tests read the same truth.
"""

import hashlib
import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

PEOPLE = ("ana-lopez", "bruno-diaz", "carmen-ruiz", "diego-soto", "elena-vega", "felipe-mora", "gabi-luna", "hugo-paz")
BOT = "dependabot"
NIGHT_OF_FAILURES = 40  # days before the end
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@dataclass
class Commit:
    oid: str
    parents: tuple[str, ...]
    authored: datetime
    committed: datetime
    login: str | None


@dataclass
class PullRequest:
    number: int
    title: str
    branch: str
    author: str | None
    created: datetime
    commits: list[Commit]
    reviews: list[tuple[datetime, str | None, str]] = field(default_factory=list)
    drafts: list[tuple[datetime, str]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    merged: datetime | None = None
    closed: datetime | None = None
    merge_oid: str | None = None
    size: tuple[int, int, int] = (10, 2, 1)

    def moments(self) -> list[datetime]:
        ends = [moment for moment in (self.merged, self.closed) if moment]
        return [self.created, *(when for when, *_ in self.reviews), *(when for when, _ in self.drafts), *ends]


@dataclass
class Deployment:
    number: int
    oid: str
    environment: str
    created: datetime
    statuses: list[tuple[datetime, str]]
    payload: str
    creator: str


class World:
    """One repository's truth. `at`-style methods take the clock and show what exists by then."""

    def __init__(self, repository: str, *, end: datetime, days: int = 120, seed: int = 7) -> None:
        self.repository, self.end = repository, end.astimezone(UTC).replace(microsecond=0)
        self.start = self.end - timedelta(days=days)
        self.random = random.Random(f"{repository}/{seed}")
        self.number = int(hashlib.sha256(repository.encode()).hexdigest()[:6], 16)
        self.commits: dict[str, Commit] = {}
        self.main: list[tuple[datetime, str]] = []  # the head of main, and since when
        self.pulls: list[PullRequest] = []
        self.deploys: list[Deployment] = []
        self.runs: list[dict[str, Any]] = []
        self._push(self._commit((), self.start, self.start, PEOPLE[0]), self.start)
        day = self.start.replace(hour=0, minute=0, second=0)
        while day < self.end:
            if day.weekday() < 5:
                self._work(day)
            if (self.end - day).days == NIGHT_OF_FAILURES:
                self._bad_night(day)
            day += timedelta(days=1)
        self.deploys = [one for one in self.deploys if one.created <= self.end]
        self._supersede()

    # --- what there is by a clock -------------------------------------------------------------------------------

    def pull_requests(self, clock: datetime) -> list[dict[str, Any]]:
        """Most recently updated first."""
        shown = [self._pull_row(pull, clock) for pull in self.pulls if pull.created <= clock]
        return sorted(shown, key=lambda row: (row["updatedAt"], row["databaseId"]), reverse=True)

    def deployments(self, clock: datetime) -> list[dict[str, Any]]:
        """Newest first."""
        shown = [self._deployment_row(one, clock) for one in self.deploys if one.created <= clock]
        return sorted(shown, key=lambda row: (row["createdAt"], row["databaseId"]), reverse=True)

    def head(self, clock: datetime) -> str | None:
        return next((oid for since, oid in reversed(self.main) if since <= clock), None)

    def history(self, oid: str) -> list[Commit]:
        """All that a commit reaches, newest first, a commit before its parents."""
        reached, waiting = set(), [oid]
        while waiting:
            if (one := waiting.pop()) not in reached:
                reached.add(one)
                waiting.extend(self.commits[one].parents)
        return sorted((self.commits[one] for one in reached), key=lambda commit: (commit.committed, commit.oid), reverse=True)

    def workflow_runs(self, clock: datetime) -> list[dict[str, Any]]:
        """Newest first, each run with its latest attempt by then."""
        latest: dict[int, dict[str, Any]] = {}
        for run in self.runs:
            if datetime.fromisoformat(run["run_started_at"]) <= clock:
                latest[run["id"]] = run if datetime.fromisoformat(run["updated_at"]) <= clock else self._running(run)
        return sorted(latest.values(), key=lambda run: (run["created_at"], run["id"]), reverse=True)

    # --- how it comes about ---------------------------------------------------------------------------------------

    def _commit(self, parents: tuple[str, ...], authored: datetime, committed: datetime, login: str | None) -> Commit:
        oid = hashlib.sha1(f"{self.repository} {len(self.commits)} {authored}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, parents, authored, committed, login)
        return self.commits[oid]

    def _push(self, commit: Commit, when: datetime) -> None:
        self.main.append((when, commit.oid))

    def _work(self, day: datetime) -> None:
        for _ in range(self.random.randint(1, 3)):
            self._change(day + timedelta(hours=self.random.uniform(8, 17)))
        if self.random.random() < 0.25:
            self._change(day + timedelta(hours=5), author=BOT)
        self._sort_main()
        if self.random.random() < 0.8:
            self._deploy(day + timedelta(hours=18, minutes=self.random.randint(0, 50)))

    def _change(self, created: datetime, *, author: str | None = None) -> None:
        chance = self.random.random
        author = author or (self.random.choice(PEOPLE) if chance() > 0.02 else None)
        number = len(self.pulls) + 1
        kind = "hotfix" if chance() < 0.06 else "feature"
        head = self.head(created) or self.main[0][1]
        commits, parent = [], head
        for step in range(self.random.randint(1, 5)):
            authored = created - HOUR * self.random.uniform(1, 40) + step * HOUR / 4
            # A rebase rewrites the committer's date only.
            commit = self._commit(
                (parent,), authored, max(authored, self.commits[parent].committed + timedelta(seconds=1)), author if chance() > 0.1 else None
            )
            commits.append(commit)
            parent = commit.oid
        pull = PullRequest(
            number=number,
            title=f"{'Bump' if author == BOT else 'Fix' if kind == 'hotfix' else 'Add'} part {number} ñ",
            branch=f"{kind}/{number}",
            author=author,
            created=created,
            commits=commits,
            labels=["hotfix"] if kind == "hotfix" else ["dependencies"] if author == BOT else [],
            size=(self.random.randint(1, 500), self.random.randint(0, 200), self.random.randint(1, 20)),
        )
        self.pulls.append(pull)
        ready = created
        if chance() < 0.15:
            ready = created + HOUR * self.random.uniform(1, 20)
            pull.drafts.append((ready, "ReadyForReviewEvent"))
        if chance() < 0.9:
            reviewer = self.random.choice([name for name in PEOPLE if name != author])
            pull.reviews.append((ready + HOUR * self.random.uniform(0.2, 20), reviewer, "APPROVED"))
        if chance() < 0.2:
            pull.reviews.append((ready + MINUTE, "copilot-review[bot]", "COMMENTED"))
        end = max(when for when in [ready, *(when for when, *_ in pull.reviews)]) + HOUR * self.random.uniform(0.1, 24)
        if chance() < 0.08:
            pull.closed = end
        elif chance() > 0.03:
            pull.merged = pull.closed = end
        self._ci(pull)

    def _sort_main(self) -> None:
        """Merge what is due, in the order of merging, onto main as it then is."""
        due = [pull for pull in self.pulls if pull.merged and pull.merge_oid is None]
        for pull in sorted(due, key=lambda pull: (pull.merged, pull.number)):
            assert pull.merged
            if pull.merged > self.end:
                continue
            head = self.main[-1][1]
            committed = max(pull.merged, self.commits[head].committed + timedelta(seconds=1))
            pull.merged = pull.closed = committed
            is_merge = self.random.random() < 0.25
            parents = (head, pull.commits[-1].oid) if is_merge else (head,)
            if is_merge:
                for commit in pull.commits:
                    commit.committed = min(commit.committed, committed - timedelta(seconds=1))
            pull.merge_oid = self._commit(parents, committed, committed, pull.author).oid
            self.main.append((committed, pull.merge_oid))

    def _deploy(self, when: datetime, *, oid: str | None = None, outcome: str | None = None) -> datetime:
        head = oid or self.head(when)
        if head is None:
            return when
        outcome = outcome or self.random.choices(["success", "failure", "error"], [88, 9, 3])[0]
        end = when + MINUTE * self.random.uniform(3, 25)
        if self.random.random() < 0.6:
            self._deployment(head, "staging", when - 2 * HOUR, "success", when - 2 * HOUR + 4 * MINUTE)
        self._deployment(head, "production", when, outcome, end)
        self._run("Deploy", ".github/workflows/deploy.yml", head, "push", when, end, outcome if outcome == "success" else "failure")
        if outcome != "success":
            again = end + MINUTE * self.random.uniform(5, 90)
            return self._deploy(again, oid=head, outcome="success")
        if self.random.random() < 0.07 and len(self.main) > 3:  # rolled back, and forward again the next time
            older = self.main[max(0, [sha for _, sha in self.main].index(head) - 2)][1]
            return self._deploy(end + HOUR, oid=older, outcome="success")
        return end

    def _bad_night(self, day: datetime) -> None:
        when = day + timedelta(hours=22)
        for _ in range(4):
            head = self.head(when)
            if head:
                self._deployment(head, "production", when, "failure", when + 9 * MINUTE)
            when += 20 * MINUTE
        self._deploy(when + 5 * HOUR, outcome="success")

    def _deployment(self, oid: str, environment: str, when: datetime, outcome: str, end: datetime) -> None:
        statuses = [(when, "QUEUED"), (when + MINUTE, "IN_PROGRESS"), (end, outcome.upper())]
        payload = '{"version": 2}' if self.random.random() < 0.5 else "release"
        self.deploys.append(Deployment(len(self.deploys) + 1, oid, environment, when, statuses, payload, "deployer"))

    def _supersede(self) -> None:
        """GitHub marks a success inactive when the environment's next one succeeds."""
        for environment in ("production", "staging"):
            ours = [one for one in self.deploys if one.environment == environment and one.statuses[-1][1] == "SUCCESS"]
            ours.sort(key=lambda one: one.statuses[-1][0])
            for former, latter in itertools.pairwise(ours):
                former.statuses.append((latter.statuses[-1][0] + timedelta(seconds=1), "INACTIVE"))

    def _ci(self, pull: PullRequest) -> None:
        conclusion = self.random.choices(["success", "failure", "cancelled", "timed_out", "skipped"], [80, 12, 4, 2, 2])[0]
        begun = pull.created + MINUTE
        run = self._run(
            "CI", ".github/workflows/ci.yml", pull.commits[-1].oid, "pull_request", begun, begun + 8 * MINUTE, conclusion, branch=pull.branch
        )
        if conclusion == "failure":
            again = {"run_attempt": 2, "conclusion": "success", "run_started_at": _iso(begun + HOUR), "updated_at": _iso(begun + HOUR + 8 * MINUTE)}
            self.runs.append({**run, **again})

    def _run(
        self, name: str, path: str, oid: str, event: str, begun: datetime, end: datetime, conclusion: str, *, branch: str = "main"
    ) -> dict[str, Any]:
        number = len(self.runs) + 1
        run = {
            "id": self.number * 10_000 + number,
            "name": name,
            "path": path,
            "head_branch": branch,
            "head_sha": oid,
            "event": event,
            "run_number": number,
            "run_attempt": 1,
            "status": "completed",
            "conclusion": conclusion,
            "created_at": _iso(begun),
            "run_started_at": _iso(begun),
            "updated_at": _iso(end),
            "html_url": f"https://github.com/{self.repository}/actions/runs/{self.number * 10_000 + number}",
            "actor": {"login": "deployer"},
        }
        self.runs.append(run)
        return run

    def _running(self, run: dict[str, Any]) -> dict[str, Any]:
        return {**run, "status": "in_progress", "conclusion": None, "updated_at": run["run_started_at"]}

    # --- rows -----------------------------------------------------------------------------------------------------

    def _pull_row(self, pull: PullRequest, clock: datetime) -> dict[str, Any]:
        is_merged = bool(pull.merge_oid and pull.merged and pull.merged <= clock)
        closed = pull.closed if pull.closed and pull.closed <= clock and (is_merged or not pull.merged) else None
        reviews = [(when, who, state) for when, who, state in sorted(pull.reviews) if when <= clock]
        events = [(when, kind) for when, kind in pull.drafts if when <= clock]
        updated = max([moment for moment in pull.moments() if moment <= clock and not (moment == pull.merged and not is_merged)])
        return {
            "databaseId": self.number * 100 + pull.number,
            "number": pull.number,
            "title": pull.title,
            "url": f"https://github.com/{self.repository}/pull/{pull.number}",
            "state": "MERGED" if is_merged else "CLOSED" if closed else "OPEN",
            "isDraft": bool(pull.drafts) and not events,
            "createdAt": _iso(pull.created),
            "updatedAt": _iso(updated),
            "mergedAt": _iso(pull.merged) if is_merged and pull.merged else None,
            "closedAt": _iso(closed) if closed else None,
            "additions": pull.size[0],
            "deletions": pull.size[1],
            "changedFiles": pull.size[2],
            "baseRefName": "main",
            "headRefName": pull.branch,
            "headRefOid": pull.commits[-1].oid,
            "author": _actor(pull.author),
            "mergeCommit": {"oid": pull.merge_oid} if is_merged else None,
            "labels": {"nodes": [{"name": label} for label in pull.labels]},
            "commits": {"totalCount": len(pull.commits), "nodes": [{"commit": self.commit_row(commit)} for commit in pull.commits]},
            "reviews": {
                "totalCount": len(reviews),
                "nodes": [{"state": state, "submittedAt": _iso(when), "author": _actor(who)} for when, who, state in reviews],
            },
            "timelineItems": {"nodes": [{"__typename": kind, "createdAt": _iso(when)} for when, kind in events]},
        }

    def _deployment_row(self, one: Deployment, clock: datetime) -> dict[str, Any]:
        statuses = [(when, state) for when, state in one.statuses if when <= clock]
        return {
            "databaseId": self.number * 100 + one.number,
            "commitOid": one.oid,
            "environment": one.environment,
            "task": "deploy",
            "state": statuses[-1][1] if statuses else "PENDING",
            "payload": one.payload,
            "createdAt": _iso(one.created),
            "updatedAt": _iso(statuses[-1][0] if statuses else one.created),
            "ref": {"name": "main"},
            "creator": _actor(one.creator),
            "statuses": {
                "totalCount": len(statuses),
                # GitHub lists the newest first.
                "nodes": [
                    {"state": state, "createdAt": _iso(when), "description": "", "environmentUrl": None, "logUrl": None}
                    for when, state in reversed(statuses)
                ],
            },
        }

    def commit_row(self, commit: Commit) -> dict[str, Any]:
        return {
            "__typename": "Commit",
            "oid": commit.oid,
            "authoredDate": _iso(commit.authored),
            "committedDate": _iso(commit.committed),
            "author": {"user": {"login": commit.login} if commit.login else None},
            "parents": {"nodes": [{"oid": oid} for oid in commit.parents]},
        }


def _actor(login: str | None) -> dict[str, str] | None:
    if login is None:
        return None
    return {"__typename": "Bot" if login == BOT or login.endswith("[bot]") else "User", "login": login}


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
