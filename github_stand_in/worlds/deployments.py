"""Generate deployments with their statuses, and workflow runs, which deploy or test pull requests."""

import itertools
import random
from datetime import datetime

from github_stand_in.worlds.facts import DAY, HOUR, MINUTE, SECOND, Deployment, PullRequest, WorkflowRun
from github_stand_in.worlds.people import DEPLOYER
from github_stand_in.worlds.world import World

OUTCOMES = {"success": 88, "failure": 9, "error": 3}
CONCLUSIONS = {"success": 80, "failure": 12, "cancelled": 4, "timed_out": 2, "skipped": 2}
# The time between two attempts to deploy the same commit. Within an hour, the second would count as a retry of the first.
APART = 70 * MINUTE


class Deploys:
    def __init__(self, world: World, randomness: random.Random) -> None:
        self.world, self.random = world, randomness
        self.failed_ci = self.failed_deploys = 0

    def of_the_day(self, evening: datetime) -> None:
        if self.random.random() < 0.8:
            self._deploy(evening + MINUTE * self.random.randint(0, 50))

    def bad_night(self, day: datetime) -> None:
        when = day + 22 * HOUR
        for _ in range(4):
            if head := self.world.head(when):
                self._record(head, "production", when, "failure", when + 9 * MINUTE)
            when += APART
        self._deploy(when + 5 * HOUR, outcome="success")

    def over_night(self, day: datetime) -> None:
        """Begin a deployment before midnight that ends the next morning."""
        begun = day + 23 * HOUR + 30 * MINUTE
        if head := self.world.head(begun):
            self._record(head, "production", begun, "success", day + DAY + 10 * HOUR)

    def stuck(self, when: datetime) -> None:
        """Begin a deployment that never reports an end, as if its runner was lost."""
        if head := self.world.head(when):
            self._record(head, "staging", when, "", when)

    def cancelled(self, when: datetime) -> None:
        """Add a cancelled workflow run and its deployment. GitHub reports such a deployment as a failure."""
        if head := self.world.head(when):
            end = when + 6 * MINUTE
            run = self._run("Deploy", ".github/workflows/deploy.yml", head, "push", [(when, end, "cancelled")])
            self._record(head, "production", when, "failure", end, run=run)

    def ci(self, pull: PullRequest) -> None:
        """Add the workflow run that tests a pull request. A failed run is run again: most of them an hour later, every third after three days."""
        conclusion = self.random.choices(list(CONCLUSIONS), list(CONCLUSIONS.values()))[0]
        begun = pull.created + MINUTE
        attempts = [(begun, begun + 8 * MINUTE, conclusion)]
        if conclusion == "failure":
            self.failed_ci += 1
            again = begun + (3 * DAY if self.failed_ci % 3 == 2 else HOUR)
            attempts.append((again, again + 8 * MINUTE, "success"))
        first = [commit.oid for commit in pull.commits if commit.oid not in pull.late]
        self._run("CI", ".github/workflows/ci.yml", first[-1], "pull_request", attempts, branch=pull.branch)

    def supersede(self) -> None:
        """Mark each successful deployment as inactive when the next deployment of its environment succeeds, as GitHub does."""
        for environment in ("production", "staging"):
            ours = [one for one in self.world.deploys.values() if one.environment == environment and one.statuses[-1][1] == "SUCCESS"]
            ours.sort(key=lambda one: one.statuses[-1][0])
            for former, latter in itertools.pairwise(ours):
                former.statuses.append((latter.statuses[-1][0] + SECOND, "INACTIVE"))

    def _deploy(self, when: datetime, *, oid: str | None = None, outcome: str | None = None) -> None:
        head = oid or self.world.head(when)
        if head is None:
            return
        outcome = outcome or self.random.choices(list(OUTCOMES), list(OUTCOMES.values()))[0]
        end = when + MINUTE * self.random.uniform(3, 25)
        before = when - 2 * HOUR
        if self.random.random() < 0.6 and (tried := self.world.head(before)):
            self._record(tried, "staging", before, "success", before + 4 * MINUTE)
        attempts = [(when, end, "success" if outcome == "success" else "failure")]
        if outcome != "success":
            self.failed_deploys += 1
            if self.failed_deploys % 3 == 2:
                attempts.append((end + 2 * DAY, end + 2 * DAY + 5 * MINUTE, "success"))
        run = self._run("Deploy", ".github/workflows/deploy.yml", head, "push", attempts)
        self._record(head, "production", when, outcome, end, run=run)
        main = [sha for _, sha in self.world.main]
        if outcome != "success":
            self._deploy(end + MINUTE * self.random.uniform(5, 90), oid=head, outcome="success")
        elif self.random.random() < 0.07 and len(main) > 3:  # a rollback to an earlier commit
            self._deploy(end + HOUR, oid=main[max(0, main.index(head) - 2)], outcome="success")

    def _record(self, oid: str, environment: str, when: datetime, outcome: str, end: datetime, *, run: int = 0) -> None:
        number = len(self.world.deploys) + 1
        statuses = [(when + SECOND, "QUEUED"), (when + MINUTE, "IN_PROGRESS")]
        if outcome:
            statuses.append((end, outcome.upper()))
        payload = '{"version": 2}' if self.random.random() < 0.5 else "release"
        ref = None if number % 17 == 0 else "main"  # None for a branch that was deleted
        self.world.deploys[number] = Deployment(number, when, oid, environment, statuses, payload, DEPLOYER, ref, run)

    def _run(self, name: str, path: str, oid: str, event: str, attempts: list[tuple[datetime, datetime, str]], *, branch: str = "main") -> int:
        number = len(self.world.runs) + 1
        self.world.runs[number] = WorkflowRun(number, attempts[0][0], name, path, branch, oid, event, attempts)
        return number
