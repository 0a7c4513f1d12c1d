"""Generate issues, some of them incidents, and releases."""

import random
from datetime import datetime

from github_stand_in.worlds.facts import DAY, FACTS_A_REPOSITORY, HOUR, MINUTE, Issue, Release
from github_stand_in.worlds.people import PEOPLE
from github_stand_in.worlds.world import World

INCIDENT_LABELS = ("incident", "sev-1")


class Tracker:
    def __init__(self, world: World, randomness: random.Random) -> None:
        self.world, self.random = world, randomness
        self.incidents = self.releases = 0
        self.unfixed: list[Issue] = []  # incidents waiting for a hotfix
        self.unclosed: list[Issue] = []  # issues waiting for a change

    def work(self, day: datetime, workdays: int) -> None:
        if self.random.random() < 0.5:
            self._ordinary(day + HOUR * self.random.uniform(8, 17))
        if workdays % 5 == 3:
            self._incident(day + 20 * HOUR + MINUTE * self.random.randint(0, 90))

    def release(self, noon: datetime, workdays: int) -> None:
        """Add a release every fourth workday. Some are prereleases, some are drafts for two days, and some stay drafts."""
        head = self.world.head(noon)
        if workdays % 4 != 2 or head is None:
            return
        self.releases += 1
        kind, number = self.releases % 4, self.releases
        tag = f"v1.{number}.0-rc.1" if kind == 3 else f"v1.{number}.0"
        published = None if number % 7 == 5 else noon + 2 * DAY if kind == 1 else noon
        self.world.published[number] = Release(number, noon, tag, head, published, is_prerelease=kind == 3)

    # --- issues that pull requests fix or close -----------------------------------------------------------------------

    def incident_to_fix(self, now: datetime) -> Issue | None:
        return self._taken(self.unfixed, now)

    def issue_to_close(self, now: datetime) -> Issue | None:
        return self._taken(self.unclosed, now)

    def close_by_merge(self, number: int, merged: datetime) -> None:
        issue = self.world.issue_of.get(number)
        if issue and not issue.events and issue.created < merged:
            issue.close(merged, "COMPLETED")

    def _taken(self, issues: list[Issue], now: datetime) -> Issue | None:
        found = next((issue for issue in issues if issue.created < now and not issue.events), None)
        if found:
            issues.remove(found)
        return found

    # --- issues ---------------------------------------------------------------------------------------------------

    def _open(self, created: datetime, title: str, body: str) -> Issue:
        number = self.world.next_number()
        author = self.random.choice(PEOPLE) if self.random.random() > 0.03 else None
        issue = self.world.issue_of[number] = Issue(number, created, title, body, author)
        return issue

    def _ordinary(self, created: datetime) -> None:
        issue = self._open(created, "The export is slow ñ", self.random.choice(["", "Since last week.", "deployment: unknown"]))
        if label := self.random.choice(["", "bug", "enhancement"]):
            issue.labelled.append((label, created, None))
        chance = self.random.random()
        if chance < 0.4:
            self.unclosed.append(issue)
        elif chance < 0.8:
            issue.close(created + DAY * self.random.uniform(0.1, 20), self.random.choice(["COMPLETED", "NOT_PLANNED", "DUPLICATE"]))

    def _incident(self, created: datetime) -> None:
        """Add an incident. Six endings take turns: closed by a hotfix, reopened, label removed after five days, not planned, duplicate, left open."""
        self.incidents += 1
        turn = self.incidents % 6
        issue = self._open(created, f"Payments fail, {self.incidents}", self._cause(created))
        label_from, label_until = created + MINUTE, created + 5 * DAY if turn == 3 else None
        issue.labelled.append((INCIDENT_LABELS[self.incidents % 2], label_from, label_until))
        end = created + HOUR * self.random.uniform(0.5, 30)
        if turn == 1:
            self.unfixed.append(issue)
        elif turn == 0:
            return  # still open
        else:
            issue.close(end, {4: "NOT_PLANNED", 5: "DUPLICATE"}.get(turn, "COMPLETED"))
        if turn == 2:
            issue.reopen(end + 6 * HOUR)
            issue.close(end + 9 * HOUR, "COMPLETED")

    def _cause(self, created: datetime) -> str:
        """Return the text of an incident. Four causes take turns: the latest deployment, its commit, a pull request, and an unknown one."""
        deployed = [one for one in self.world.deploys.values() if one.environment == "production" and one.is_done(created)]
        if not deployed:
            return ""
        last = max(deployed, key=lambda one: one.created)
        carried = {commit.oid for commit in self.world.history(last.oid)}
        merged = [pull for pull in self.world.pulls.values() if pull.merge_oid in carried]
        if not merged:
            return ""
        pull = max(merged, key=lambda pull: (pull.merged, pull.number))
        return [
            f"Since tonight.\n\ndeployment: {self.world.number * FACTS_A_REPOSITORY + last.number}",
            f"root cause: {last.oid}",
            f"This was caused by #{pull.number}.",
            "Nobody knows yet.",
        ][self.incidents % 4]
