"""Generate deployments and workflow runs over a finished git history."""

import heapq
import itertools
import json
import random
from datetime import datetime, timedelta

from demo.github.plan import Attempt, Branch, PlannedDeployment, PlannedPull, PlannedRun
from demo.github.pulls import PEOPLE, Span, Trouble, minutes
from demo.github.rows import Actor

ACTIONS = Actor("github-actions", "Bot")
# The states in which the attempts of the bad night end, 70 minutes apart.
BAD_NIGHT = ("FAILURE", "ERROR", "FAILURE", "FAILURE", "SUCCESS")
CONCLUSIONS = {"SUCCESS": "success", "FAILURE": "failure", "ERROR": "timed_out"}


class Delivery:
    """Plays the service's deployments in the order of time, because each depends on what is in production."""

    def __init__(self, rng: random.Random, branch: Branch) -> None:
        self._rng, self._branch = rng, branch
        self._agenda: list[tuple[datetime, int, str, PlannedDeployment | str | None]] = []
        self._order = itertools.count()
        self._in_production: list[str] = []
        self.deployments: list[PlannedDeployment] = []
        self.runs: list[PlannedRun] = []

    def play(self, span: Span, troubles: list[Trouble]) -> None:
        days = list(span.working_days())
        for n, day in enumerate(days):
            for hour in (10, 13, 16):
                if self._rng.random() < 0.65:
                    self._plan(day + timedelta(hours=hour) + minutes(self._rng, 0, 40), "release")
            if n == len(days) * 3 // 5:
                for k, state in enumerate(BAD_NIGHT):
                    self._plan(day + timedelta(hours=22, minutes=70 * k), "night", state)
        for trouble in troubles:
            if trouble.answer == "rollback":
                self._plan(trouble.at + timedelta(minutes=20), "rollback")
            self._plan(trouble.at + timedelta(minutes=85), "release")
        while self._agenda:
            self._act(*heapq.heappop(self._agenda))
        self._supersede()

    def _plan(self, at: datetime, action: str, subject: PlannedDeployment | str | None = None) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), action, subject))

    def _act(self, at: datetime, _: int, action: str, subject: PlannedDeployment | str | None) -> None:
        head = self._branch.head(at)
        if head is None:
            return
        if action == "night":
            self._deploy(at, head, self._run(at, head), str(subject))
        elif action == "rollback":
            older = [sha for sha in self._in_production if sha != self._in_production[-1]]
            if older:
                self._deploy(at, older[-1], self._run(at, older[-1], event="workflow_dispatch"), "SUCCESS")
        elif isinstance(subject, PlannedDeployment):
            self._retry(at, subject)
        elif head not in self._in_production[-1:] or self._rng.random() < 0.15:
            self._release(at, head)

    def _release(self, at: datetime, sha: str) -> None:
        """Staging, then production ten minutes later, in one run."""
        run = self._run(at, sha)
        staged = self._deployment(at + timedelta(seconds=25), sha, "staging", run)
        staging_ends = self._finish(staged, minutes(self._rng, 2, 6), "SUCCESS" if self._rng.random() < 0.95 else "FAILURE")
        if staged.succeeded_at is None:
            run.attempts.append(Attempt(at, staging_ends, "failure"))
            return
        luck = self._rng.random()
        state = "FAILURE" if luck < 0.07 else "ERROR" if luck < 0.1 else "SUCCESS"
        deployment = self._deploy(staging_ends + timedelta(minutes=4), sha, run, state)
        if state != "SUCCESS" and self._rng.random() < 0.7:
            self._plan(deployment.states[-1][0] + minutes(self._rng, 8, 35), "retry", deployment)

    def _retry(self, at: datetime, failed: PlannedDeployment) -> None:
        """The same commit again, as a new attempt of the same run or as a new run."""
        is_rerun = self._rng.random() < 0.5
        run = failed.run if is_rerun else self._run(at, failed.sha, event="workflow_dispatch")
        self._deploy(at + timedelta(seconds=20), failed.sha, run, "SUCCESS" if self._rng.random() < 0.85 else "FAILURE", began=at)

    def _deploy(self, at: datetime, sha: str, run: PlannedRun, state: str, *, began: datetime | None = None) -> PlannedDeployment:
        deployment = self._deployment(at, sha, "production", run)
        length = minutes(self._rng, 70, 110) if self._rng.random() < 0.03 else minutes(self._rng, 3, 12)
        finished_at = self._finish(deployment, length, state)
        is_cancelled = state == "FAILURE" and self._rng.random() < 0.15
        conclusion = "cancelled" if is_cancelled else CONCLUSIONS[state]
        started_at = began or (at if run.attempts else run.created_at)
        run.attempts.append(Attempt(started_at, finished_at + timedelta(seconds=10), conclusion))
        if state == "SUCCESS":
            self._in_production.append(sha)
        return deployment

    def _deployment(self, at: datetime, sha: str, environment: str, run: PlannedRun) -> PlannedDeployment:
        payload = self._rng.choice(("{}", "", None, json.dumps({"workflow": run.name, "sha": sha[:7]}), json.dumps("by hand")))
        creator = ACTIONS if self._rng.random() < 0.8 else self._rng.choice(PEOPLE)
        ref = "main" if self._rng.random() < 0.9 else None
        deployment = PlannedDeployment(sha, environment, creator, at, run, ref, payload)
        self.deployments.append(deployment)
        return deployment

    def _finish(self, deployment: PlannedDeployment, length: timedelta, state: str) -> datetime:
        began = deployment.created_at
        finished_at = began + timedelta(seconds=12) + length
        deployment.states = [(began + timedelta(seconds=2), "QUEUED"), (began + timedelta(seconds=12), "IN_PROGRESS"), (finished_at, state)]
        return finished_at

    def _run(self, at: datetime, sha: str, *, event: str = "push") -> PlannedRun:
        run = PlannedRun("deploy", "main", sha, event, self._rng.choice(PEOPLE), at)
        self.runs.append(run)
        return run

    def _supersede(self) -> None:
        """A success makes the one before it in its environment inactive."""
        for environment in ("production", "staging"):
            ended = [(d.succeeded_at, n, d) for n, d in enumerate(self.deployments) if d.environment == environment and d.succeeded_at]
            ended.sort(key=lambda row: row[:2])
            for (_, _, former), (at, _, _) in zip(ended, ended[1:], strict=False):
                former.states.append((at + timedelta(seconds=1), "INACTIVE"))


def plan_checks(rng: random.Random, pulls: list[PlannedPull]) -> list[PlannedRun]:
    """One "ci" run for each pull request when it is created and one for its merge."""
    runs = []
    for pull in pulls:
        opened = [commit for commit in pull.commits if commit.pushed_at <= pull.created_at]
        moments = [(pull.created_at, pull.branch, opened[-1].sha, "pull_request")]
        if pull.merged_at and pull.merge_commit:
            moments.append((pull.merged_at, "main", pull.merge_commit, "push"))
        for at, branch, sha, event in moments:
            run = PlannedRun("ci", branch, sha, event, pull.author or PEOPLE[0], at + timedelta(seconds=4))
            conclusions = ["success", "success", "success", "success", "failure", "cancelled", "timed_out"]
            conclusion = "skipped" if pull.is_draft and branch != "main" else rng.choice(conclusions)
            finished_at = run.created_at + minutes(rng, 2, 9)
            run.attempts.append(Attempt(run.created_at, finished_at, conclusion))
            if conclusion in {"failure", "timed_out"} and rng.random() < 0.5:
                again = finished_at + minutes(rng, 3, 30)
                run.attempts.append(Attempt(again, again + minutes(rng, 2, 9), "success"))
            runs.append(run)
    return runs
