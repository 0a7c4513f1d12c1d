"""Small random histories of one or two repositories with many unusual cases. The same seed gives the same history."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dora_metrics.calculators.inputs import (
    Coverage,
    DraftEvent,
    Facts,
    GithubDeployment,
    Issue,
    Links,
    PullRequest,
    Release,
    RevertSigns,
    Review,
    Status,
    WorkflowRun,
)
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.naive.log_histories import with_logs

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
OWN, FORMER, FOREIGN = "acme/shop", "acme/old-shop", "other/shop"
FORK, FORMER_FORK = "acme/till", "acme/old-till"
STREAMS = ("deployments", "log_deployments", "log_events", "workflow_runs", "releases", "pull_requests", "commits", "issues")
# A few weeks before daylight saving time begins, before it ends, before a new year, and a month without any of these.
STARTS = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2025, 10, 6, tzinfo=UTC), datetime(2025, 12, 8, tzinfo=UTC), datetime(2026, 6, 3, tzinfo=UTC))
ZONES = ("UTC", "Asia/Kolkata", "America/Los_Angeles", "Europe/Madrid")


def history(seed: int) -> tuple[Facts, Settings, datetime]:
    """Return facts, settings, and the time at which the metrics are computed."""
    return with_logs(*_History(random.Random(seed)).write(), random.Random(f"logs of {seed}"))


def history_of_two(seed: int) -> tuple[Facts, Settings, datetime]:
    """Return a service with two repositories. The second is a fork of the first, with the same numbers; it sometimes deploys the first's commits."""
    rng = random.Random(f"two of {seed}")
    elder = _History(rng)
    facts, settings, now = elder.write()
    fork = _History(rng, own=FORK, former=FORMER_FORK, elder=elder)
    forked, _, _ = fork.write()
    pulls = tuple(elder.closing_across(pull, fork) for pull in facts.pull_requests)
    both = replace(facts, repository=OWN, pull_requests=pulls, others=(replace(forked, repository=FORK, coverage={}),))
    return with_logs(both, settings, now, random.Random(f"logs of two of {seed}"))


@dataclass
class _Attempt:
    """One attempt to deploy, before it is written as facts of a source."""

    sha: str
    environment: str
    started_at: datetime
    finished_at: datetime
    outcome: str  # success, failure, cancelled, running (has not ended), resumed (failed, then set back to pending)
    is_rerun: bool = False
    id: str = ""


@dataclass
class _History:
    rng: random.Random
    own: str = OWN
    former: str = FORMER
    elder: "_History | None" = None  # the history that this one is a fork of
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    heads: list[tuple[datetime, str]] = field(default_factory=list)  # of the default branch, sorted by time
    pulls: list[dict[str, Any]] = field(default_factory=list)  # fields of the merged pull requests, in order of their merge
    attempts: list[_Attempt] = field(default_factory=list)
    deployments: list[GithubDeployment] = field(default_factory=list)
    runs: list[WorkflowRun] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)

    def write(self) -> tuple[Facts, Settings, datetime]:
        rng = self.rng
        self.start = self.elder.start if self.elder else rng.choice(STARTS) + rng.randint(0, 20 * 24) * HOUR
        self.length = rng.randint(30, 60)
        self.end = self.start + self.length * DAY
        # Times are cut to multiples of this many seconds. If it is large, some times are equal.
        self.grain = rng.choice((1, 1, 1, 60, 3600, 6 * 3600))
        self.source = rng.choices(("github", "workflows", "releases", "pulls"), (60, 18, 10, 12))[0]
        if self.elder and self._chance(0.9):
            self.source = self.elder.source
        self.has_shas = self.source in ("workflows", "pulls") or rng.random() > 0.12
        self._number()
        self._grow()
        self._deploy()
        self._tell()
        self._open_issues()
        self._close_issues()
        facts = Facts(
            deployments=self._shuffled(self.deployments),
            workflow_runs=self._shuffled(self.runs),
            releases=self._shuffled(self.releases),
            pull_requests=self._shuffled([PullRequest(**pull) for pull in self.pulls]),
            issues=self._shuffled(self.issues),
            repositories=frozenset({self.own, self.former}),
            default_branch="main",
            parents=self.parents if rng.random() > 0.03 else {},
            coverage=self._coverage(),
        )
        now = self.end + rng.randint(1, 20 * 24) * HOUR if rng.random() < 0.75 else self._when()
        return facts, self._settings(), now

    # Random choices

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _shuffled(self, many: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(self.rng.sample(many, len(many)))

    def _snap(self, moment: datetime) -> datetime:
        return datetime.fromtimestamp(int(moment.timestamp()) // self.grain * self.grain, tz=UTC)

    def _when(self) -> datetime:
        return self._snap(self.start + self.rng.random() * self.length * DAY)

    def _later(self, moment: datetime, mean: timedelta) -> datetime:
        return self._snap(moment + mean * self.rng.expovariate(1))

    def _sha(self) -> str:
        """Return a random sha. Some begin with ten decimal digits, and some with the first digits of another sha."""
        sha = f"{self.rng.getrandbits(160):040x}"
        if self._chance(0.05):
            sha = f"{self.rng.randint(10**9, 10**10 - 1)}{sha[10:]}"
        if self.parents and self._chance(0.06):
            sha = self.rng.choice(list(self.parents))[:8] + sha[8:]
        return sha

    def _prefix(self, sha: str) -> str:
        return sha[: self.rng.choice((7, 8, 10, 40))]

    def _settings(self) -> Settings:
        return Settings(
            time_zone=self.rng.choice(ZONES),
            deployments_from=self.source if self._chance(0.7) else "auto",
            prereleases=self._chance(0.5),
            look_back_hours=self.rng.choice((168, 168, 168, 24)),
            bots=frozenset({"helper"}),
        )

    def _coverage(self) -> dict[str, Coverage]:
        since = self.start - self.rng.randint(0, 5 * 24) * HOUR if self._chance(0.6) else self.start + self.rng.randint(1, 15 * 24) * HOUR
        until = self.end + self.rng.randint(-5 * 24, 5 * 24) * HOUR
        coverage = {}
        for stream in STREAMS:
            if self._chance(0.02):
                continue
            own_since = since + self.rng.randint(-48, 200) * HOUR if self._chance(0.1) else since
            own_until = until + self.rng.randint(-48, 48) * HOUR if self._chance(0.1) else until
            coverage[stream] = Coverage(min(own_since, own_until), own_until)
        return coverage

    # Pull requests and their base branch

    def _number(self) -> None:
        """Number issues and pull requests together, in order of creation."""
        kinds = ["pull"] * self.rng.randint(10, 25) + ["issue"] * self.rng.randint(2, 8)
        created = sorted((self._when() - (10 * DAY if self._chance(0.1) else 0 * DAY), kind) for kind in kinds)
        first = self.elder.numbered[0][0] if self.elder else self.rng.choice((1, 5, 95))
        self.numbered = [(first + index, at, kind) for index, (at, kind) in enumerate(created)]

    def _grow(self) -> None:
        if self.elder:
            self._fork(self.elder)
        else:
            root = self._sha()
            self.parents[root] = ()
            self.heads.append((self.start - 30 * DAY, root))
        planned = []
        for number, created_at, kind in self.numbered:
            if kind == "pull":
                merged_at = self._later(created_at, self.rng.choice((HOUR, DAY, 4 * DAY)))
                if self._chance(0.02):
                    merged_at = created_at - HOUR
                planned.append((merged_at, number, created_at))
        for merged_at, number, created_at in sorted(planned):
            if self._chance(0.15):
                self._push(self.heads[-1][0] + (merged_at - self.heads[-1][0]) / 2)
            self._merge(number, created_at, merged_at)

    def _fork(self, elder: "_History") -> None:
        """Begin with a commit of the elder history's default branch and all its ancestors."""
        head = self.rng.choice(elder.heads)[1]
        waiting = [head]
        while waiting:
            sha = waiting.pop()
            if sha not in self.parents and sha in elder.parents:
                self.parents[sha] = elder.parents[sha]
                waiting += elder.parents[sha]
        self.heads.append((self.start - 30 * DAY, head))

    def closing_across(self, pull: PullRequest, fork: "_History") -> PullRequest:
        """Return the pull request; sometimes it also closes an issue of the fork."""
        if not fork.issues or not self._chance(0.15):
            return pull
        name = self.rng.choice((fork.own, fork.own, fork.former, fork.own.upper()))
        return replace(pull, closes=(*pull.closes, (name, self.rng.choice(fork.issues).number)))

    def _push(self, moment: datetime) -> str:
        """Add a commit without a pull request to the default branch."""
        sha = self._sha()
        self.parents[sha] = (self.heads[-1][1],)
        self.heads.append((moment, sha))
        return sha

    def _merge(self, number: int, created_at: datetime, merged_at: datetime) -> None:
        rng = self.rng
        way = rng.choices(("squash", "rebase", "forward", "merge"), (40, 15, 15, 30))[0]
        base = "main" if self._chance(0.93) else "stable"
        tip = self.heads[-1][1]
        begun_at = [sha for at, sha in self.heads if at <= created_at]
        branched_from = tip if way == "forward" or not begun_at else begun_at[-1]
        commits = tuple(self._sha() for _ in range(rng.randint(1, 4)))
        if way in ("forward", "merge") or self._chance(0.2):  # otherwise git's history lacks them, because the branch was deleted
            for index, sha in enumerate(commits):
                self.parents[sha] = (commits[index - 1] if index else branched_from,)
        if way == "squash":
            merge_sha = self._sha()
            self.parents[merge_sha] = (tip,)
        elif way == "rebase":
            merge_sha = tip
            for _ in commits:
                sha = self._sha()
                self.parents[sha] = (merge_sha,)
                merge_sha = sha
        elif way == "forward":
            merge_sha = commits[-1]
        else:
            merge_sha = self._sha()
            self.parents[merge_sha] = (tip, commits[-1])
        if base == "main":
            self.heads.append((merged_at, merge_sha))
        named_sha = merge_sha if self._chance(0.93) else rng.choice(("", self._sha()))
        author, is_bot = rng.choices(
            (("ada", False), ("bob", False), ("", False), ("dependabot", True), ("renovate[bot]", False), ("helper", False)), (40, 38, 2, 8, 6, 6)
        )[0]
        pull = {
            "number": number,
            "author": author,
            "author_is_bot": is_bot,
            "base_branch": base,
            "head_sha": commits[-1],
            "merge_sha": named_sha,
            "created_at": created_at,
            "merged_at": merged_at,
            "closed_at": merged_at if self._chance(0.97) else None,
            "commit_shas": (*self.pulls[-1]["commit_shas"], *commits) if self.pulls and self._chance(0.05) else commits,  # a stacked branch
            "authored_at": tuple(self._authored_at(created_at, merged_at) for _ in commits) if self._chance(0.95) else (),
            "reviews": tuple(self._review(author, created_at, merged_at) for _ in range(rng.choice((0, 1, 1, 2, 4)))),
            "draft_events": self._draft_events(created_at, merged_at) if self._chance(0.25) else (),
            "head_branch": f"topic-{number}",
        }
        if self.pulls and self._chance(0.35):
            pull |= self._revert(number)
        elif self._chance(0.22):
            name = rng.choice(("hotfix", "hotfix/cart", "hot-fix", "HotFix-7", "hotfixes"))
            pull |= {"labels": ("bug", name)} if self._chance(0.5) else {"head_branch": name}
        self.pulls.append(pull)

    def _authored_at(self, created_at: datetime, merged_at: datetime) -> datetime:
        kind = self.rng.random()
        if kind < 0.02:
            return datetime(1970, 1, 1, tzinfo=UTC)
        if kind < 0.04:
            return merged_at + HOUR
        if kind < 0.1:
            return created_at - self.rng.randint(20, 200) * DAY
        return self._snap(created_at + (merged_at - created_at) * self.rng.uniform(-1, 1))

    def _review(self, author: str, created_at: datetime, merged_at: datetime) -> Review:
        login, is_bot = self.rng.choice(
            (("ada", False), ("bob", False), ("cyd", False), (author, False), ("", False), ("copilot", True), ("ci[bot]", False), ("helper", False))
        )
        return Review(login, is_bot, self._snap(created_at + (merged_at - created_at) * self.rng.uniform(-0.2, 1.2)))

    def _draft_events(self, created_at: datetime, merged_at: datetime) -> tuple[DraftEvent, ...]:
        kinds = self.rng.choice(
            (("ready_for_review",), ("convert_to_draft", "ready_for_review"), ("ready_for_review", "convert_to_draft"), ("convert_to_draft",))
        )
        step = (merged_at - created_at) / 4
        return self._shuffled([DraftEvent(kind, created_at + step * (index + 1) + index * MINUTE) for index, kind in enumerate(kinds)])

    def _revert(self, number: int) -> dict[str, Any]:
        """Return the signs of a revert. Its target is often a recent pull request and, if there is one, often a revert."""
        rng = self.rng
        reverts = [pull for pull in self.pulls if pull.get("revert_signs")]
        target = rng.choice(reverts[-3:] if reverts and self._chance(0.5) else self.pulls[-4:])
        kind = rng.choices(("button", "branch", "sha", "title", "foreign", "unknown", "all"), (25, 20, 25, 8, 6, 6, 10))[0]
        sha = rng.choices((target["merge_sha"], rng.choice(target["commit_shas"]), self.heads[-2:][0][1], self._sha()), (75, 8, 12, 5))[0]
        if kind == "button":
            name = rng.choice(("", self.own, self.own.upper(), self.former))
            return {"revert_signs": RevertSigns(pull=target["number"], pull_repository=name, has_title=True)}
        if kind == "branch":
            return {"revert_signs": RevertSigns(branch=target["number"]), "head_branch": f"revert-{target['number']}-topic"}
        if kind == "sha":
            return {"revert_signs": RevertSigns(sha=self._prefix(sha))}
        if kind == "title":
            return {"revert_signs": RevertSigns(has_title=True), "title": 'Revert "Faster cart"'}
        if kind == "foreign":
            return {
                "revert_signs": RevertSigns(pull=target["number"], pull_repository=FOREIGN, branch=target["number"], has_title=True),
                "labels": ("hotfix",),
            }
        if kind == "unknown":
            later = rng.choice((9999, number, number + 1))
            return {"revert_signs": RevertSigns(pull=later, branch=target["number"])}
        return {"revert_signs": RevertSigns(pull=target["number"], branch=rng.choice(self.pulls)["number"], sha=self._prefix(sha), has_title=True)}

    # Deployments

    def _deploy(self) -> None:
        rng = self.rng
        moments = sorted(self._when() for _ in range(rng.randint(8, 20)))
        if self._chance(0.5):  # soon after a merge, so that a revert and its target are in different deployments
            moments = sorted([*moments[:4], *(self._later(pull["merged_at"], 2 * HOUR) for pull in self.pulls if self._chance(0.6))])[:20]
        for moment in moments:
            environment = rng.choices(("production", "prod-eu", "Production / west", "staging", "preview"), (62, 14, 4, 17, 3))[0]
            sha = self._deployed_sha(moment)
            started_at = moment
            if self._chance(0.08):
                started_at = self._snap(moment - rng.choice((3 * HOUR, 2 * DAY)))
            elif self._chance(0.03):
                started_at = moment + HOUR  # finishes before it starts
            else:
                started_at = self._snap(moment - rng.randint(1, 30) * MINUTE)
            outcome = rng.choices(("success", "failure", "cancelled", "running", "resumed"), (72, 17, 4, 3, 4))[0]
            self.attempts.append(_Attempt(sha, environment, started_at, moment, outcome))
            while self.attempts[-1].outcome == "failure" and self._chance(0.5):
                moment += rng.choice((5 * MINUTE, 20 * MINUTE, 60 * MINUTE, 61 * MINUTE, 60 * MINUTE + timedelta(seconds=1)))
                outcome = rng.choice(("success", "success", "failure"))
                self.attempts.append(_Attempt(sha, environment, moment - 2 * MINUTE, moment, outcome, is_rerun=True))
        for number, attempt in enumerate(self.attempts):
            # Some ids have two digits and some three, because they must be sorted as numbers, not as text.
            attempt.id = str(90 + number + (len(self.elder.attempts) if self.elder else 0))

    def _deployed_sha(self, moment: datetime) -> str:
        rng = self.rng
        merged = [sha for at, sha in self.heads if at <= moment] or [self.heads[0][1]]
        kind = rng.choices(("head", "older", "again", "branch", "gone", "before"), (58, 12, 8, 6, 6, 10))[0]
        done = [attempt.sha for attempt in self.attempts]
        if self.elder and self._chance(0.15):
            return rng.choice(self.elder.attempts).sha
        if kind == "older":
            return rng.choice(merged[-6:])
        if kind == "again" and done:
            return rng.choice(done[-3:])
        if kind == "before" and len(done) > 1:
            return done[-2]
        if kind == "branch":
            return rng.choice(self.pulls)["head_sha"]
        if kind == "gone":
            return self._sha()
        return merged[-1]

    def _tell(self) -> None:
        """Write the attempts as facts of the source and sometimes of another one."""
        others = [source for source in ("github", "workflows", "releases") if self._chance(0.12)]
        for source in {self.source: 0} | dict.fromkeys(others, 0):
            if source == "github":
                self._tell_deployments()
            elif source == "workflows":
                self._tell_runs()
            elif source == "releases":
                self._tell_releases()

    def _tell_deployments(self) -> None:
        for attempt in self.attempts:
            sha = attempt.sha if self.has_shas else ""
            statuses = self._shuffled(self._statuses(attempt)) if self._chance(0.2) else tuple(self._statuses(attempt))
            self.deployments.append(GithubDeployment(attempt.id, attempt.environment, sha, attempt.started_at, statuses))

    def _statuses(self, attempt: _Attempt) -> list[Status]:
        rng, start, end = self.rng, attempt.started_at, attempt.finished_at
        if attempt.outcome == "success":
            before = rng.choice(([], [Status("in_progress", start)], [Status("failure", end - MINUTE), Status("in_progress", end - MINUTE)]))
            after = rng.choice(([], [], [Status("inactive", end + DAY)], [Status("failure", end + HOUR)], [Status("success", end + DAY)]))
            return [*before, Status("success", end), *after]
        if attempt.outcome == "running":
            return rng.choice(([], [Status("queued", start)], [Status("in_progress", start), Status("inactive", end)]))
        last = Status(rng.choice(("failure", "error")), end)
        if attempt.outcome == "resumed":
            return [last, Status(rng.choice(("pending", "queued", "waiting", "in_progress")), end + MINUTE)]
        if attempt.outcome == "cancelled":
            run = f"70{attempt.id}"
            conclusion = rng.choice(("cancelled", "cancelled", "failure"))
            times = {"started_at": start, "updated_at": end}
            self.runs.append(WorkflowRun(run, 1, "Ship it", ".github/workflows/ship.yml", "main", "push", attempt.sha, conclusion, **times))
            return [Status("in_progress", start), Status("failure", end, f"https://github.com/{self.own}/actions/runs/{run}/job/1")]
        same_second = [Status("in_progress", end)] if self._chance(0.2) else []
        return [Status("pending", start), *([Status("error", end - MINUTE)] if self._chance(0.2) else []), last, *same_second]

    def _tell_runs(self) -> None:
        run, tries = "", 0
        for attempt in self.attempts:
            run, tries = (run, tries + 1) if attempt.is_rerun and self._chance(0.7) else (attempt.id, 1)
            conclusion = {"success": "success", "failure": self.rng.choice(("failure", "timed_out")), "running": ""}.get(attempt.outcome, "cancelled")
            name, path = self.rng.choices((("Deploy", "a.yml"), ("Ship", ".github/workflows/deploy.yml"), ("CI", "ci.yml")), (60, 30, 10))[0]
            branch = "main" if self._chance(0.95) else "topic"
            event = self.rng.choices(("push", "workflow_dispatch", "pull_request", "pull_request_target"), (80, 14, 3, 3))[0]
            times = {"started_at": attempt.started_at, "updated_at": attempt.finished_at}
            self.runs.append(WorkflowRun(run, tries, name, path, branch, event, attempt.sha, conclusion, **times))

    def _tell_releases(self) -> None:
        for attempt in self.attempts:
            is_draft = self._chance(0.05)
            published_at = None if is_draft else attempt.finished_at
            sha = attempt.sha if self.has_shas and self._chance(0.97) else ""
            self.releases.append(Release(attempt.id, sha, is_draft, self._chance(0.12), published_at))

    # Issues

    def _open_issues(self) -> None:
        rng = self.rng
        for number, at, kind in self.numbered:
            if kind == "pull":
                continue
            created_at = at
            near = rng.choice(self.attempts)
            if self._chance(0.6):  # at the finish of a deployment or after it
                created_at = rng.choice((near.finished_at, self._later(near.finished_at, 5 * HOUR), near.finished_at + 168 * HOUR))
            is_during = self._chance(0.15)  # while the deployment runs
            if is_during:
                created_at = near.started_at + (near.finished_at - near.started_at) / 2
            labels = rng.choices(
                ((), ("bug",), ("incident",), ("bug", "Outage"), ("sev1",), ("SEV-2",), ("incident: cart",)), (4, 6, 40, 15, 15, 10, 10)
            )[0]
            state_reason = rng.choices(("completed", "", "reopened", "not_planned", "duplicate"), (62, 8, 10, 5, 5))[0]
            closed_at = self._later(created_at, rng.choice((MINUTE,) if is_during else (HOUR, 10 * HOUR, 3 * DAY)))
            if self._chance(0.04):
                closed_at = created_at - HOUR
            is_open = state_reason == "reopened" or self._chance(0.08)
            links = Links((near.id,)) if is_during else self._links() if self._chance(0.5) else Links()
            self.issues.append(
                Issue(
                    number, created_at, None if is_open else closed_at, "" if is_open and state_reason != "reopened" else state_reason, labels, links
                )
            )
        for index, pull in enumerate(self.pulls):
            is_hotfix = "hotfix" in str(pull.get("labels", "")) + pull["head_branch"]
            if self._chance(0.4 if is_hotfix else 0.08):
                self.pulls[index] = pull | {"links": self._links()}

    def _links(self) -> Links:
        rng = self.rng
        attempt, pull = rng.choice(self.attempts), rng.choice(self.pulls)
        if self.elder and self._chance(0.2):
            attempt, pull = rng.choice(self.elder.attempts), rng.choice(self.elder.pulls)
        named = {
            "id": str(pull["number"]) if self.source == "pulls" else attempt.id,
            "sha": self._prefix(attempt.sha),
            "unknown id": "8888888",
            "merge commit": self._prefix(pull["merge_sha"] or "0000000"),
            "commit inside": self._prefix(rng.choice(pull["commit_shas"])),
            "commit": self._prefix(rng.choice(list(self.parents))),
        }
        deployments, root_causes, caused_by = [], [], []
        for _ in range(rng.choice((1, 1, 1, 2))):
            kind = rng.choices(("deployment", "root cause", "caused by"), (45, 35, 20))[0]
            if kind == "deployment":
                deployments.append(named[rng.choices(("id", "sha", "unknown id", "commit"), (45, 35, 10, 10))[0]])
            elif kind == "root cause":
                root_causes.append(named[rng.choices(("merge commit", "commit inside", "sha", "commit"), (40, 35, 10, 15))[0]])
            else:
                caused_by.append(rng.choice((pull["number"], pull["number"], pull["number"], 7777)))
        return Links(tuple(deployments), tuple(root_causes), tuple(caused_by))

    def _close_issues(self) -> None:
        """Let pull requests close issues: reverts and hotfixes more often than ordinary changes."""
        for index, pull in enumerate(self.pulls):
            is_special = pull.get("revert_signs") or "hotfix" in str(pull.get("labels", "")) + pull["head_branch"]
            if self._chance(0.6 if is_special else 0.12):
                elsewhere = self.elder.own if self.elder and self._chance(0.5) else FOREIGN
                repository = self.rng.choices((self.own, self.own.title(), self.former, elsewhere), (70, 10, 10, 10))[0]
                numbers = self._shuffled([issue.number for issue in self.issues])[: self.rng.choice((1, 1, 1, 2, 3))]
                self.pulls[index] = pull | {"closes": tuple((repository, number) for number in numbers)}
