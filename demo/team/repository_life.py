"""Live through the history of one repository, event by event in the order of their times."""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from demo.team.deliveries import Delivery, GitHubDeployments, LogLines, Releases, WorkflowRuns
from demo.team.incidents import Tracker
from demo.team.outages import QUIET_AFTER, QUIET_BEFORE, Outage
from demo.team.people import UPDATER
from demo.team.profiles import Profile
from demo.team.pull_requests import Author, ImportedPullRequest, office_time, slug
from demo.team.vocabulary import Symptom
from github_stand_in.worlds.facts import DAY, HOUR, MINUTE, PullRequest
from github_stand_in.worlds.world import World

# What may go wrong with a deployment, and how often: it fails itself, or it works and something is wrong with it.
TROUBLES = {"failure": 25, "revert": 20, "incident": 25, "rollback": 18, "hotfix": 12}
CALM_DEPLOYMENTS = 4  # at the beginning nothing goes wrong: a rollback needs something to roll back to
HOLIDAYS = {(12, day) for day in range(22, 32)} | {(1, 1), (1, 6)}
IMPORTED_AFTER_DAYS = 30
RECENT_DAYS = 24
FRESH_DAYS = 6  # somebody opens a pull request every morning, at the weekend too, so that every night finds something new
REACTION_MINUTES = 22  # the median time from an incident to what ends it


class RepositoryLife:
    """The life of one repository. The same arguments give the same world.

    `midnight`: the beginning of today. `end`: until when the history goes; what lies in the future is shown when its time comes.
    """

    def __init__(self, profile: Profile, *, midnight: datetime, end: datetime, seed: int, outages: Sequence[Outage]) -> None:
        self.profile, self.midnight, self.end = profile, midnight, end
        self.outages = [outage for outage in outages if outage.repository == profile.repository]
        self.world = World(profile.repository, end=end, days=(end - midnight) / DAY + profile.days, seed=seed)
        name = f"{profile.repository}/{seed}"
        self.random = random.Random(f"{name}/life")
        self.author = Author(self.world, profile, random.Random(f"{name}/author"))
        self.tracker = Tracker(self.world, profile, random.Random(f"{name}/tracker"))
        self.delivery = _delivery(profile, self.world)
        self._events: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._count = itertools.count()
        self._is_deployment_due = False
        self._quiet_until = self.world.start
        self._deployed: list[str] = []  # the commits of the successes, the latest last
        self._rolled_back: set[str] = set()  # commits that are not deployed again
        self._undeployed: list[PullRequest] = []

    def live(self) -> World:
        first = self.world.commit((), self.world.start, self.world.start, self.profile.team[0].login)
        self.world.push(first.oid, self.world.start)
        self._plan_work()
        for outage in self.outages:
            self._plan_outage(outage)
        while self._events:
            when, _, happen = heapq.heappop(self._events)
            if when > self.end:
                break
            happen(when)
        self.delivery.finish()
        return self.world

    # --- plans ----------------------------------------------------------------------------------------------------------

    def _at(self, when: datetime, happen: Callable[[datetime], None]) -> None:
        heapq.heappush(self._events, (when, next(self._count), happen))

    def _progress(self, when: datetime) -> float:
        return min(1.0, (when - self.world.start) / (self.midnight - self.world.start))

    def _plan_work(self) -> None:
        recent = list(self.profile.words.recent)
        day = self.world.start.replace(hour=0, minute=0, second=0)
        imported = day + IMPORTED_AFTER_DAYS * DAY + 9 * HOUR
        if self.profile.repository == "acme/billing":
            self._at(imported, self._import_pull_request)
        while day < self.end:
            if day.weekday() < 5 and (day.month, day.day) not in HOLIDAYS:
                self._plan_day(day)
                if recent and day > self.midnight - RECENT_DAYS * DAY and day.day % 2:
                    title = recent.pop()
                    self._at(day + 8 * HOUR, lambda when, title=title: self._open(when, title=title))  # type: ignore[misc]
            if day > self.midnight - FRESH_DAYS * DAY:
                self._at(day + 6 * HOUR + 20 * MINUTE, self._open)
            day += DAY

    def _plan_day(self, day: datetime) -> None:
        expected = self.profile.pulls_a_week.at(self._progress(day)) / 5
        for _ in range(int(expected) + (self.random.random() < expected % 1)):
            self._at(day + HOUR * self.random.uniform(7, 17), self._open)
        if day.weekday() == 0 and self.random.random() < 0.7:
            self._at(day + 4 * HOUR + MINUTE * self.random.randint(0, 59), self._update)
        if self.random.random() < 0.22:
            self._at(day + HOUR * self.random.uniform(7, 18), self.tracker.ordinary)
        if self.random.random() < 0.006:
            self._at(day + HOUR * self.random.uniform(0, 23), self.tracker.false_alarm)

    def _plan_outage(self, outage: Outage) -> None:
        self._at(outage.deployed - 26 * HOUR, lambda when: self._change_before_outage(when, outage))
        self._at(outage.deployed - 8 * MINUTE, lambda when: self._attempt(when, end=outage.deployed))
        self._at(outage.ended - 6 * MINUTE, lambda when: self._roll_back(when, end=outage.ended))
        self._at(outage.ended + 40 * MINUTE, lambda when: self._mend_after_outage(when, outage))

    # --- pull requests ----------------------------------------------------------------------------------------------

    def _open(self, when: datetime, title: str = "") -> None:
        progress = self._progress(when)
        pull = self.author.work(when, progress=progress, title=title, closes=0 if title else self.tracker.to_close())
        last = max([pull.created, *(moment for moment, *_ in pull.reviews), *pull.late.values()])
        end = office_time(last + self.author.around(self.profile.review_hours.at(progress)), self.random)
        chance = self.random.random()
        if chance < 0.04 and not title:
            pull.closed = end
        elif chance < 0.97:
            self._at(end, lambda moment: self._merge(pull, moment))

    def _update(self, when: datetime) -> None:
        pull = self.author.update(when)
        reviewer = self.author.other_than(UPDATER).login
        seen = office_time(when + self.author.around(20), self.random)
        pull.reviews.append((seen, reviewer, "APPROVED"))
        self._at(seen + MINUTE, lambda moment: self._merge(pull, moment))

    def _import_pull_request(self, when: datetime) -> None:
        self.author.open(
            when,
            title="Tariffs of 2019, from the old repository",
            branch="imported/tariffs-2019",
            author=self.profile.team[0].login,
            body="Imported from Subversion, r4711.",
            labels=[],
            paths=["src/billing/tariffs.py"],
            authored=[when],
            kind=ImportedPullRequest,
        )

    def _merge(self, pull: PullRequest, when: datetime, *, is_urgent: bool = False) -> None:
        self.author.merge(pull, when)
        assert pull.merged
        self._undeployed.append(pull)
        for _, number in pull.closes:
            issue = self.world.issue_of[number]
            if not issue.is_closed and issue.labelled[0][0] != "incident":
                issue.close(pull.merged, "COMPLETED")
        if is_urgent:
            return
        if self.profile.has_staging:
            self._at(pull.merged + 3 * MINUTE, self._deploy_to_staging)
        wait = self.author.around(self.profile.wait_hours.at(self._progress(when)))
        self._plan_deployment(office_time(pull.merged + wait, self.random))

    # --- deployments ------------------------------------------------------------------------------------------------

    def _plan_deployment(self, when: datetime) -> None:
        if not self._is_deployment_due:
            self._is_deployment_due = True
            self._at(when, self._deploy)

    def _deploy(self, when: datetime) -> None:
        """Deploy what was merged, unless the team waits for the end of a trouble or of an outage."""
        self._is_deployment_due = False
        around = [outage for outage in self.outages if outage.deployed - QUIET_BEFORE <= when <= outage.ended + QUIET_AFTER]
        quiet_until = max([self._quiet_until, *(outage.ended + QUIET_AFTER for outage in around)])
        if when < quiet_until:
            self._plan_deployment(office_time(quiet_until + MINUTE, self.random))
            return
        share = self.profile.trouble_share.at(self._progress(when))
        is_calm = len(self._deployed) < CALM_DEPLOYMENTS or self._is_before_outage(when) or self.random.random() >= share
        self._attempt(when, trouble="" if is_calm else self.random.choices(list(TROUBLES), list(TROUBLES.values()))[0])

    def _is_before_outage(self, when: datetime) -> bool:
        """Return whether an outage follows within a day. Another trouble could delay the deployment that causes it."""
        return any(timedelta(0) <= outage.deployed - when <= DAY for outage in self.outages)

    def _attempt(self, when: datetime, *, trouble: str = "", end: datetime | None = None) -> None:
        head = self.world.head(when)
        if head is None or head in self._deployed[-1:] or head in self._rolled_back:
            return
        end = end or when + MINUTE * self.random.uniform(3, 16)
        if trouble == "failure" and self.profile.deployed_by != "releases":
            self.delivery.record(head, when, end, is_success=False)
            # An hour or more later: within an hour it would be a retry, and the two attempts would count as one.
            self._wait_until(end + MINUTE * self.random.uniform(65, 260))
            self._plan_deployment(office_time(self._quiet_until, self.random))
            return
        name = self.delivery.record(head, when, end, is_success=True)
        self._deployed.append(head)
        carried, self._undeployed = self._undeployed, []
        causes = [pull for pull in carried if pull.author != UPDATER and not {"hotfix", "revert"} & set(pull.labels)]
        if trouble and causes:
            self._go_wrong(trouble, end, self.random.choice(causes), name)

    def _deploy_to_staging(self, when: datetime) -> None:
        head = self.world.head(when)
        if head and isinstance(self.delivery, GitHubDeployments):
            self.delivery.record(head, when, when + 4 * MINUTE, is_success=True, environment="staging")

    def _roll_back(self, when: datetime, *, end: datetime | None = None) -> None:
        if len(self._deployed) < 2:
            return
        former = self._deployed[-2]
        self._rolled_back.add(self._deployed[-1])
        self.delivery.record(former, when, end or when + 5 * MINUTE, is_success=True)
        self._deployed.append(former)

    def _wait_until(self, when: datetime) -> None:
        self._quiet_until = max(self._quiet_until, when)

    # --- troubles -----------------------------------------------------------------------------------------------------

    def _go_wrong(self, trouble: str, deployed: datetime, cause: PullRequest, name: str) -> None:
        """Let something go wrong after a deployment. `name`: the statement that names the deployment; "" if there is none."""
        began = deployed + MINUTE * self.random.uniform(6, 90)
        if trouble == "hotfix":
            symptom = self.tracker.next_symptom()
            created = office_time(began + HOUR * self.random.uniform(0.5, 4), self.random)
            self._wait_until(created + 3 * HOUR)
            title = self._title_of_mend(symptom, cause)
            self._at(created, lambda when: self._mend(when, title=title, cause=cause, issue_number=0))
            return
        self._wait_until(began + 5 * HOUR)
        statement = f"caused by #{cause.number}" if self.random.random() < 0.6 or not name else name
        self._at(began, lambda when: self._open_incident(when, trouble, cause, statement))

    def _open_incident(self, began: datetime, trouble: str, cause: PullRequest, statement: str) -> None:
        symptom, is_known = self.tracker.next_symptom(), self.random.random() < 0.3
        issue = self.tracker.incident(began, symptom, self.author.other_than(), cause=statement if is_known else "")
        title = self._title_of_mend(symptom, cause)
        reaction = issue.created + MINUTE * REACTION_MINUTES * self.random.lognormvariate(0, 0.9)
        if trouble == "rollback":
            self._at(reaction, self._roll_back)
            ended = reaction + MINUTE * self.random.uniform(6, 20)
            self._at(office_time(ended + HOUR, self.random), lambda when: self._open(when, title=title))
        else:
            mend = self._revert if trouble == "revert" else partial(self._mend, title=title)
            self._at(reaction, lambda when: mend(when, cause=cause, issue_number=issue.number))
            ended = reaction + MINUTE * self.random.uniform(62, 100)
        issue.close(ended, "COMPLETED")
        self._wait_until(ended + HOUR)
        if not is_known and self.random.random() < 0.7:
            reviewed = office_time(ended + HOUR * self.random.uniform(2, 40), self.random)
            self.tracker.explain(issue, reviewed, f"It was {statement}." if statement.startswith("caused") else f"Found: {statement}.")

    def _title_of_mend(self, symptom: Symptom, cause: PullRequest) -> str:
        return symptom.mend if self.tracker.is_first_time else f"Repair {self.author.thing_of[cause.number]} after #{cause.number}"

    def _mend(self, created: datetime, *, title: str, cause: PullRequest, issue_number: int) -> None:
        body = f"Goes wrong since #{cause.number}: caused by #{cause.number}." + (f"\n\nCloses #{issue_number}" if issue_number else "")
        branch = f"hotfix/{slug(title)}"
        pull = self.author.urgent(created, title=title, branch=branch, body=body, labels=["hotfix"], closes=issue_number)
        self._hurry(pull)

    def _revert(self, created: datetime, *, cause: PullRequest, issue_number: int) -> None:
        pull = self.author.urgent(
            created,
            title=f'Revert "{cause.title}"',
            branch=f"revert-{cause.number}-{cause.branch}",
            body=f"Reverts {self.profile.repository}#{cause.number}\n\nSee #{issue_number}.",
            labels=["revert"],
            closes=issue_number,
        )
        self._hurry(pull)

    def _hurry(self, pull: PullRequest) -> None:
        """Merge and deploy a pull request within the hour."""
        merged = pull.created + MINUTE * self.random.uniform(13, 35)
        self._at(merged, lambda when: self._merge(pull, when, is_urgent=True))
        self._at(merged + MINUTE * self.random.uniform(2, 8), self._attempt)

    # --- outages that the logs show -------------------------------------------------------------------------------------

    def _change_before_outage(self, when: datetime, outage: Outage) -> None:
        pull = self.author.work(when, progress=self._progress(when), title=outage.change)
        pull.reviews = [(when + 3 * HOUR, self.author.other_than(pull.author).login, "APPROVED")]
        pull.commits, pull.late, pull.drafts = pull.commits[:1], {}, []
        self._at(outage.deployed - timedelta(minutes=50), lambda moment: self._merge(pull, moment, is_urgent=True))

    def _mend_after_outage(self, when: datetime, outage: Outage) -> None:
        self._open(when, title=outage.mend)


def _delivery(profile: Profile, world: World) -> Delivery:
    match profile.deployed_by:
        case "logs":
            return LogLines()
        case "workflows":
            return WorkflowRuns(world)
        case "releases":
            return Releases(world)
        case _:
            return GitHubDeployments(world)
