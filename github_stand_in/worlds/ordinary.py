"""Generate worlds with ordinary days: changes, deployments, failures and incidents, in the order of their times."""

import random
from datetime import datetime

from github_stand_in.worlds.deployments import Deploys
from github_stand_in.worlds.facts import DAY, HOUR
from github_stand_in.worlds.issues import Tracker
from github_stand_in.worlds.people import PEOPLE
from github_stand_in.worlds.pull_requests import Changes
from github_stand_in.worlds.world import World

# When these happen, in days before the end of the world.
NIGHT_OF_FAILURES = 40
LONG_DEPLOYMENTS = (2, 16, 33)
STUCK_DEPLOYMENT = 25
CANCELLED_DEPLOYMENT = 20
LARGE_CHANGES = 9


def ordinary_world(repository: str, *, end: datetime, days: float = 120, seed: int = 7, large: bool = False) -> World:
    """Return a world with `days` ordinary days. The same arguments always give the same world.

    `large`: add a pull request with 130 commits, one with 250 commits, and one with 112 reviews, the first hundred by a bot.
    """
    world = World(repository, end=end, days=days, seed=seed)
    Life(world, seed=seed, large=large).generate()
    return world


class Life:
    def __init__(self, world: World, *, seed: int, large: bool) -> None:
        self.world, self.large = world, large
        name = f"{world.repository}/{seed}"
        # Each part has its own random numbers. So a change to one part, such as one more issue, does not change the others.
        self.tracker = Tracker(world, random.Random(f"{name}/tracker"))
        self.deploys = Deploys(world, random.Random(f"{name}/deploys"))
        self.changes = Changes(world, random.Random(f"{name}/changes"), tracker=self.tracker, deploys=self.deploys)

    def generate(self) -> None:
        world = self.world
        first = world.commit((), world.start, world.start, PEOPLE[0])
        world.push(first.oid, world.start)
        day, workdays = world.start.replace(hour=0, minute=0, second=0), 0
        while day < world.end:
            days_left = (world.end - day).days
            if self.large and days_left == LARGE_CHANGES:
                self.changes.large(day + 9 * HOUR)
            if day.weekday() < 5:
                workdays += 1
                self._work(day, workdays)
            self._night(day, days_left)
            day += DAY
        self._end()

    def _work(self, day: datetime, workdays: int) -> None:
        self.changes.work(day, workdays)
        self.changes.merge_due(day + 18 * HOUR)
        self.tracker.release(day + 12 * HOUR, workdays)
        self.deploys.of_the_day(day + 18 * HOUR)
        self.tracker.work(day, workdays)

    def _night(self, day: datetime, days_left: int) -> None:
        if days_left == NIGHT_OF_FAILURES:
            self.deploys.bad_night(day)
        if days_left in LONG_DEPLOYMENTS:
            self.deploys.over_night(day)
        if days_left == STUCK_DEPLOYMENT:
            self.deploys.stuck(day + 15 * HOUR)
        if days_left == CANCELLED_DEPLOYMENT:
            self.deploys.cancelled(day + 15 * HOUR)

    def _end(self) -> None:
        """Merge the pull requests that are due, remove what happens after the world's end, and mark superseded deployments as inactive."""
        world = self.world
        self.changes.merge_due(world.end)
        for pull in world.pulls.values():
            if pull.merge_oid is None and pull.merged:
                pull.merged = pull.closed = None
        for facts in (world.pulls, world.issue_of, world.deploys, world.published, world.runs):
            for number in [number for number, fact in facts.items() if fact.created > world.end]:
                del facts[number]
        self.deploys.supersede()
