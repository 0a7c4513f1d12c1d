"""A repository that changes at random in every way that GitHub allows: records change, appear late or are deleted.

Each change has a time. The GitHub stand-in shows the changes up to the time of its clock. `rng` is a random.Random or hypothesis' replacement
for it.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from github_stand_in.worlds.facts import (
    DAY,
    FACTS_A_REPOSITORY,
    HOUR,
    MAIN,
    MINUTE,
    SECOND,
    Commit,
    Deployment,
    Issue,
    PullRequest,
    Release,
    WorkflowRun,
)
from github_stand_in.worlds.people import DEPLOYER, PEOPLE
from github_stand_in.worlds.world import World

ENVIRONMENTS = ("production", "production", "production", "staging")
ENDS = ("SUCCESS", "SUCCESS", "SUCCESS", "FAILURE", "ERROR", "INACTIVE", "WAITING", "IN_PROGRESS", "QUEUED", "")
CONCLUSIONS = ("success", "success", "success", "failure", "timed_out", "cancelled", "skipped")
DEPLOY, CI = ("Deploy", ".github/workflows/deploy.yml"), ("CI", ".github/workflows/ci.yml")
# For about this long after a workflow run was created, GitHub allows re-runs of it.
RERUN_WITHIN = 29 * DAY


class ChangingRepository:
    """Generate `world` day by day. Each action changes the records that exist at its time.

    `most_ci_runs`: the most CI runs that one action adds. Many new runs move older ones off the first page of the list.
    """

    def __init__(self, rng: random.Random, *, start: datetime, days: int, actions: tuple[int, int] = (3, 9), most_ci_runs: int = 12) -> None:
        self.rng, self.most_ci_runs = rng, most_ci_runs
        self.world = World("acme/restless", end=start + days * DAY, days=days)
        self.taken: set[datetime] = set()
        first = self.world.commit((), start, start, PEOPLE[0])
        self.world.push(first.oid, start)
        action_methods: list[Callable[[datetime], None]] = [
            self.push,
            self.push_by_force,
            self.rename_branch,
            *[self.open_pull] * 3,
            *[self.merge_pull] * 3,
            self.edit_pull,
            self.push_to_pull_by_force,
            self.revert,
            *[self.open_issue] * 3,
            *[self.touch_issue] * 2,
            self.lose_issue,
            self.receive_issue,
            *[self.deploy] * 5,
            self.deploy_branch,
            *[self.take_up] * 3,
            self.lose_deployment,
            *[self.run] * 3,
            self.test,
            *[self.run_again] * 3,
            self.lose_run,
            self.deploy_by_run,
            *[self.release] * 2,
            self.publish_draft,
            self.promote,
            self.lose_release,
        ]
        for day in range(days):
            minutes = sorted(rng.randint(0, 22 * 60) for _ in range(rng.randint(*actions)))
            for minute in minutes:
                rng.choice(action_methods)(self.free(start + day * DAY + 90 * MINUTE + minute * MINUTE))
        self.world.changed()

    # --- git ----------------------------------------------------------------------------------------------------------

    def push(self, when: datetime) -> None:
        self.world.push(self._commit(self.head, when).oid, when)

    def push_by_force(self, when: datetime) -> None:
        """Replace the last one to three commits of the default branch by a new one."""
        line = self.world.history(self.head)
        self.world.push(self._commit(line[min(self.rng.randint(1, 3), len(line) - 1)].oid, when).oid, when)

    def rename_branch(self, when: datetime) -> None:
        self.world.rename_default_branch(when, f"trunk-{len(self.world.default_branches)}")

    @property
    def head(self) -> str:
        return self.world.main[-1][1]

    def _commit(self, parent: str, when: datetime, *others: str) -> Commit:
        self.world._histories.clear()
        return self.world.commit((parent, *others), when - HOUR, when, self.rng.choice(PEOPLE))

    # --- pull requests ------------------------------------------------------------------------------------------------

    def open_pull(self, when: datetime) -> PullRequest:
        number = self.world.next_number()
        is_hotfix = self.rng.random() < 0.2
        commits = [self._commit(self.head, when - 2 * MINUTE)]
        commits += [self._commit(commits[-1].oid, when - MINUTE) for _ in range(self.rng.randint(0, 2))]
        pull = PullRequest(number, when, f"Change {number}", f"{'hotfix' if is_hotfix else 'feature'}/{number}", self.rng.choice(PEOPLE), commits)
        pull.labels = ["hotfix"] if is_hotfix else []
        if (base := self.world.default_branch(when)) != MAIN:
            pull.bases.append((when, base))
        if self.rng.random() < 0.7:
            pull.reviews.append((self.free(when + self.rng.randint(1, 600) * MINUTE), self.rng.choice(PEOPLE), "APPROVED"))
        if self.rng.random() < 0.2:
            pull.drafts.append((self.free(when + self.rng.randint(1, 600) * MINUTE), "ReadyForReviewEvent"))
        open_issues = [issue for issue in self._issues(when) if not issue.is_closed]
        if open_issues and self.rng.random() < 0.6:
            pull.closes = [("", self.rng.choice(open_issues).number)]
        self.world.pulls[number] = pull
        return pull

    def merge_pull(self, when: datetime) -> None:
        if not (pulls := [pull for pull in self.world.pulls.values() if pull.created < when and not pull.closed]):
            return
        pull = self.rng.choice(pulls)
        pull.merge_kind = self.rng.choice(("squash", "merge"))
        commits = pull.forced[-1][1] if pull.forced else pull.commits
        merged = self._commit(self.head, when, *([commits[-1].oid] if pull.merge_kind == "merge" else []))
        self.world.push(merged.oid, when)
        pull.merged = pull.closed = when
        pull.merge_oid = merged.oid
        for _, number in pull.closes:
            issue = self.world.issue_of[number]
            if issue.is_there(when) and not issue.is_closed:
                issue.close(when, "COMPLETED")

    def edit_pull(self, when: datetime) -> None:
        if not (pulls := [pull for pull in self.world.pulls.values() if pull.created < when]):
            return
        other = self.rng.choice(pulls).number
        body = self.rng.choice(("", f"caused by #{other}", f"Reverts #{other}", f"root cause: {self.head}"))
        pull = self.rng.choice(pulls)
        pull.edits.append((when, f"Change {pull.number}, edited", body))

    def push_to_pull_by_force(self, when: datetime) -> None:
        if pulls := [pull for pull in self.world.pulls.values() if pull.created < when and not pull.closed]:
            self.rng.choice(pulls).forced.append((when, [self._commit(self.head, when)]))

    def revert(self, when: datetime) -> None:
        if not (merged := [pull for pull in self.world.pulls.values() if pull.merged and pull.merged < when]):
            return
        target = self.rng.choice(merged)
        pull = self.open_pull(when)
        pull.title, pull.branch = f'Revert "{target.title}"', f"revert-{target.number}-{target.branch}"
        pull.body = f"Reverts {self.world.repository}#{target.number}"

    # --- issues -------------------------------------------------------------------------------------------------------

    def open_issue(self, when: datetime, *, shown: datetime | None = None) -> None:
        number = self.world.next_number()
        issue = self.world.issue_of[number] = Issue(number, when, f"Issue {number}", self._cause(shown or when), self.rng.choice(PEOPLE))
        issue.shown = shown
        if self.rng.random() < 0.7:
            issue.labelled.append(("incident", when, None))

    def receive_issue(self, when: datetime) -> None:
        """Add an issue that was transferred from another repository, where it was opened up to 400 hours ago."""
        self.open_issue(when - self.rng.randint(1, 400) * HOUR, shown=when)

    def touch_issue(self, when: datetime) -> None:
        if not (issues := self._issues(when)):
            return
        issue = self.rng.choice(issues)
        match self.rng.choice(("close", "close", "edit", "label")):
            case "close" if issue.is_closed:
                issue.reopen(when)
            case "close":
                issue.close(when, self.rng.choice(("COMPLETED", "COMPLETED", "NOT_PLANNED", "DUPLICATE")))
            case "edit":
                issue.edits.append((when, f"Issue {issue.number}, edited", self._cause(when)))
            case _ if issue.labelled and issue.labelled[-1][2] is None:
                issue.labelled[-1] = (*issue.labelled[-1][:2], when)
            case _:
                issue.labelled.append(("incident", when, None))

    def lose_issue(self, when: datetime) -> None:
        if not (issues := self._issues(when)):
            return
        issue = self.rng.choice(issues)
        issue.gone = when
        if self.rng.random() < 0.5:
            issue.moved = ("acme/elsewhere", 1000 + issue.number)
        for pull in self.world.pulls.values():
            if ("", issue.number) in pull.closes:
                pull.dropped["", issue.number] = when

    def _issues(self, when: datetime) -> list[Issue]:
        return [issue for issue in self.world.issue_of.values() if issue.is_there(when)]

    def _cause(self, when: datetime) -> str:
        causes = ["", "", f"root cause: {self.head}"]
        if deployed := self._deployments(when):
            causes.append(f"deployment: {self.world.number * FACTS_A_REPOSITORY + self.rng.choice(deployed).number}")
        if pulls := [pull for pull in self.world.pulls.values() if pull.created < when]:
            causes.append(f"caused by #{self.rng.choice(pulls).number}")
        return self.rng.choice(causes)

    # --- deployments --------------------------------------------------------------------------------------------------

    def deploy(self, when: datetime, *, oid: str = "", run: int = 0, end: str | None = None) -> None:
        number = len(self.world.deploys) + 1
        environment = self.rng.choice(ENVIRONMENTS)
        known = self.world.history(self.head)
        oid = oid or (self.head if self.rng.random() < 0.7 else known[min(self.rng.randint(0, 4), len(known) - 1)].oid)
        one = self.world.deploys[number] = Deployment(number, when, oid, environment, [(when, "QUEUED")], "release", DEPLOYER, run=run)
        end = self.rng.choice(ENDS) if end is None else end
        if end:
            self._report(one, self.free(when + self.rng.randint(1, 50) * MINUTE), end)

    def deploy_branch(self, when: datetime) -> None:
        """Deploy a commit that never becomes part of the default branch."""
        line = self.world.history(self.head)
        side = self._commit(line[min(self.rng.randint(0, 3), len(line) - 1)].oid, when - HOUR)
        self.deploy(when, oid=side.oid, end="SUCCESS")

    def take_up(self, when: datetime) -> None:
        """Report a deployment that has not succeeded as unfinished again, and perhaps end it with another outcome."""
        if not (found := [one for one in self._deployments(when) if one.statuses[-1][0] < when and "SUCCESS" not in dict(one.statuses).values()]):
            return
        one = self.rng.choice(found)
        self._report(one, when, self.rng.choice(("IN_PROGRESS", "PENDING", "WAITING")))
        if end := self.rng.choice(("SUCCESS", "SUCCESS", "FAILURE", "ERROR", "INACTIVE", "")):
            self._report(one, self.free(when + self.rng.randint(1, 50) * MINUTE), end)

    def lose_deployment(self, when: datetime) -> None:
        if found := self._deployments(when):
            self.rng.choice(found).gone = when

    def _deployments(self, when: datetime) -> list[Deployment]:
        return [one for one in self.world.deploys.values() if one.is_there(when)]

    def _report(self, one: Deployment, when: datetime, state: str) -> None:
        """Add a status. When a deployment succeeds, GitHub marks the environment's previous success as inactive."""
        one.statuses.append((when, state))
        one.statuses.sort(key=lambda status: status[0])
        if state != "SUCCESS":
            return
        for other in self.world.deploys.values():
            is_active = other.environment == one.environment and other.statuses[-1][1] == "SUCCESS" and other.statuses[-1][0] < when
            if is_active and other is not one and other.is_there(when):
                other.statuses.append((when + SECOND, "INACTIVE"))

    # --- workflow runs ------------------------------------------------------------------------------------------------

    def run(self, when: datetime, *, of: tuple[str, str] = DEPLOY, conclusion: str = "") -> WorkflowRun:
        number = len(self.world.runs) + 1
        end = self.free(when + self.rng.randint(1, 30) * MINUTE)
        attempts = [(when, end, conclusion or self.rng.choice(CONCLUSIONS))]
        branch, event = (self.world.default_branch(when), "push") if of == DEPLOY or self.rng.random() < 0.5 else ("feature/1", "pull_request")
        self.world.runs[number] = WorkflowRun(number, when, *of, branch, self.head, event, attempts)
        return self.world.runs[number]

    def test(self, when: datetime) -> None:
        for number in range(self.rng.randint(1, self.most_ci_runs)):
            self.run(when + number * SECOND, of=CI)

    def run_again(self, when: datetime) -> None:
        """Re-run a workflow run. Includes successful runs, because many people roll back by re-running one."""
        found = [run for run in self._runs(when) if run.attempts[-1][1] < when and when - run.created < RERUN_WITHIN]
        if not (found := [run for run in found if run.name == DEPLOY[0] or self.rng.random() < 0.2]):
            return
        run = self.rng.choice(found)
        end = self.free(when + self.rng.randint(1, 30) * MINUTE)
        run.attempts.append((when, end, self.rng.choice(CONCLUSIONS)))
        if any(one.run == run.number for one in self.world.deploys.values()):
            self.deploy(when, oid=run.oid, run=run.number, end="SUCCESS" if run.attempts[-1][2] == "success" else "FAILURE")

    def deploy_by_run(self, when: datetime) -> None:
        """Add a run and its deployment. GitHub reports the deployment of a cancelled run as a failure."""
        run = self.run(when, of=self.rng.choice((DEPLOY, CI)))
        self.deploy(when, oid=run.oid, run=run.number, end="SUCCESS" if run.attempts[0][2] == "success" else "FAILURE")

    def lose_run(self, when: datetime) -> None:
        if found := self._runs(when):
            self.rng.choice(found).gone = when

    def _runs(self, when: datetime) -> list[WorkflowRun]:
        return [run for run in self.world.runs.values() if run.is_there(when) and run.created < when]

    # --- releases -----------------------------------------------------------------------------------------------------

    def release(self, when: datetime) -> None:
        """Add a release. GitHub's creation date of a published release is that of its commit, which may be old."""
        number = len(self.world.published) + 1
        line = self.world.history(self.head)
        commit = line[min(self.rng.choice((0, 0, 1, 5, 20)), len(line) - 1)]
        published = None if self.rng.random() < 0.4 else when
        one = Release(number, when if published is None else commit.committed, f"v{number}", commit.oid, published)
        one.shown, one.is_prerelease = when, self.rng.random() < 0.3
        self.world.published[number] = one

    def publish_draft(self, when: datetime) -> None:
        if drafts := [one for one in self._releases(when) if one.published is None]:
            self.rng.choice(drafts).published = when

    def promote(self, when: datetime) -> None:
        if found := [one for one in self._releases(when) if one.is_prerelease and one.promoted is None]:
            self.rng.choice(found).promoted = when

    def lose_release(self, when: datetime) -> None:
        if found := self._releases(when):
            self.rng.choice(found).gone = when

    def _releases(self, when: datetime) -> list[Release]:
        return [one for one in self.world.published.values() if one.is_there(when)]

    # --- time ---------------------------------------------------------------------------------------------------------

    def free(self, when: datetime) -> datetime:
        """Return `when`, or if it is taken, the first free time after it in steps of 7 seconds.

        GitHub's times have whole seconds, and no two events may have the same time.
        """
        while when in self.taken:
            when += timedelta(seconds=7)
        self.taken.add(when)
        return when
