"""A small repository with one incident and the deployment that fixes it. A test may lengthen its lists, such as the commits or statuses."""

from datetime import datetime, timedelta

from dora_metrics.models import DORAMetric
from github_stand_in.worlds.facts import HOUR, MINUTE, SECOND, Commit, Deployment, Issue, PullRequest
from github_stand_in.worlds.people import DEPLOYER
from github_stand_in.worlds.world import World
from tests.conftest import END

DAY = timedelta(days=1)
BROKEN_AT, REPORTED_AT, OPENED_AT = END - 14 * DAY, END - 13 * DAY, END - 12 * DAY
MERGED_AT, MENDED_AT = END - 11 * DAY, END - 10 * DAY


class SmallRepository:
    """A deployment at `BROKEN_AT`, incident #1 at `REPORTED_AT`, then pull request #2, merged and deployed.

    Call `ready` after changes.
    """

    def __init__(self, *, author: str = "ana", commits: int = 1) -> None:
        self.world = World("acme/train", end=END, days=30)
        first = self.world.commit((), self.world.start, self.world.start, "ana")
        broken = self.world.commit((first.oid,), BROKEN_AT - HOUR, BROKEN_AT - HOUR, "ana")
        self.world.push(first.oid, self.world.start)
        self.world.push(broken.oid, BROKEN_AT - HOUR)
        self.incident = self.world.issue_of[1] = Issue(1, REPORTED_AT, "It is down", "", "ben", [("incident", REPORTED_AT, None)])
        self.pull = self.world.pulls[2] = PullRequest(2, OPENED_AT, "Release 7", "release/7", author, self._commits(commits, broken.oid))
        self.pull.paths = ["docs/changes.md"]
        self.pull.merged = self.pull.closed = MERGED_AT
        merge = self.world.commit((broken.oid,), MERGED_AT, MERGED_AT, author)
        self.pull.merge_oid = merge.oid
        self.world.push(merge.oid, MERGED_AT)
        self.broken = self.world.deploys[1] = _deployed(1, BROKEN_AT, broken.oid)
        self.mended = self.world.deploys[2] = _deployed(2, MENDED_AT, merge.oid)

    def deploy_later(self, number: int) -> Deployment:
        """Add an unfinished deployment that begins `number` + 1 hours after the fix was deployed."""
        when = MENDED_AT + (number + 1) * HOUR
        found = self.world.deploys[3 + number] = Deployment(3 + number, when, self.mended.oid, "production", [(when, "QUEUED")], "release", DEPLOYER)
        return found

    def deploy(self, number: int, when: datetime, oid: str) -> None:
        self.world.deploys[number] = _deployed(number, when, oid)

    def ready(self) -> World:
        self.world.changed()
        for fact in (self.incident, self.pull, *self.world.deploys.values()):
            fact.changed()
        return self.world

    def _commits(self, count: int, parent: str) -> list[Commit]:
        found = []
        for number in range(count):
            when = OPENED_AT - DAY + number * SECOND
            found.append(self.world.commit((parent,), when, when, "ana"))
            parent = found[-1].oid
        return found


def _deployed(number: int, when: datetime, oid: str) -> Deployment:
    return Deployment(number, when - MINUTE, oid, "production", [(when, "SUCCESS")], "release", DEPLOYER)


def month(metric: str) -> DORAMetric:
    """Return the metric for the month of `END`, in which all events happen."""
    return DORAMetric.objects.get(metric=metric, period="month", period_start=END.date().replace(day=1), environment="production")
