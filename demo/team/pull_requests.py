"""Pull requests of the demo's team: their titles, branches, commits, reviews and merges."""

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from demo.team.people import REVIEW_BOT, UPDATER, Person
from demo.team.profiles import Profile
from demo.team.vocabulary import BODIES, COMMON
from github_stand_in.worlds.facts import HOUR, MINUTE, SECOND, Commit, PullRequest, Row
from github_stand_in.worlds.world import World

LABELS = {"feature": ["feature"], "fix": ["bug"], "chore": []}
LONGEST_BRANCH = 48
SPREAD = 0.8  # of the logarithm of every duration: a third of them is shorter than half the median or longer than twice


@dataclass(frozen=True, slots=True)
class Task:
    """What somebody sets out to do. `kind`: feature, fix or chore. `thing`: the part of the product that it is about."""

    kind: str
    title: str
    thing: str


class ImportedPullRequest(PullRequest):
    """A pull request that was imported from another system without a date. GitHub's answer for it is unusable."""

    def build(self, repository: int, name: str, now: datetime) -> Row:
        return {**super().build(repository, name, now), "createdAt": "-0001-11-30T00:00:00Z"}


class Backlog:
    """The tasks of a repository in a random order, none of them twice."""

    def __init__(self, profile: Profile, randomness: random.Random) -> None:
        patterns = [(kind, pattern) for listed in (COMMON, profile.words.patterns) for kind, of_kind in listed.items() for pattern in of_kind]
        self.tasks = [Task(kind, pattern.format(thing=thing), thing) for kind, pattern in patterns for thing in profile.words.things]
        randomness.shuffle(self.tasks)
        self.position = 0

    def next(self) -> Task:
        self.position += 1
        return self.tasks[self.position % len(self.tasks)]


class Author:
    """Writes the pull requests of one repository."""

    def __init__(self, world: World, profile: Profile, randomness: random.Random) -> None:
        self.world, self.profile, self.random = world, profile, randomness
        self.backlog = Backlog(profile, randomness)
        self.versions: dict[str, list[int]] = {}
        self.thing_of: dict[int, str] = {}  # what each pull request is about, by its number

    def around(self, median: float) -> timedelta:
        """Return a random duration around a median, in hours."""
        return HOUR * median * self.random.lognormvariate(0, SPREAD)

    def other_than(self, *logins: str | None) -> Person:
        return self.random.choice([person for person in self.profile.team if person.login not in logins])

    # --- ordinary work ------------------------------------------------------------------------------------------------

    def work(self, created: datetime, *, progress: float, title: str = "", closes: int = 0) -> PullRequest:
        """Add a pull request with its reviews. `progress`: how much of the history is over. `closes`: the issue that it closes."""
        profile, chance = self.profile, self.random.random
        task = Task("fix", title, self.random.choice(profile.words.things)) if title else self.backlog.next()
        ticket = f"{profile.words.key}-{100 + self.world.next_number() * 3 + self.random.randint(0, 2)}"
        body = self.random.choice(BODIES).format(ticket=ticket)
        author = self.other_than()
        pull = self.open(
            created,
            title=task.title,
            branch=f"{task.kind}/{slug(f'{ticket} {task.title}')}",
            author=author.login,
            body=f"{body}\n\nCloses #{closes}".strip() if closes else body,
            labels=LABELS[task.kind],
            paths=_paths(profile, task),
            authored=self._authored(created, self.around(profile.coding_hours.at(progress))),
        )
        self.thing_of[pull.number] = task.thing
        pull.closes = [("", closes)] if closes else []
        pull.merge_kind = "merge" if chance() < 0.2 else "squash"
        pull.size = (max(1, round(self.random.lognormvariate(4, 1))), round(self.random.lognormvariate(3, 1.2)))
        self._review(pull, progress=progress)
        return pull

    def update(self, created: datetime) -> PullRequest:
        """Add the updater's pull request for a newer version of a library."""
        library = self.random.choice(self.profile.words.libraries)
        version = self.versions.setdefault(library, [self.random.randint(1, 9), self.random.randint(0, 20), 0])
        before = ".".join(map(str, version))
        part = self.random.choices((1, 2), (1, 3))[0]
        version[part] += 1
        version[part + 1 :] = [0] * (2 - part)
        after = ".".join(map(str, version))
        return self.open(
            created,
            title=f"Bump {library} from {before} to {after}",
            branch=f"dependabot/{slug(library)}-{after}",
            author=UPDATER,
            body=f"Bumps {library} from {before} to {after}.\n\nRelease notes are in the library’s changelog.",
            labels=["dependencies"],
            paths=["requirements.txt"],
            authored=[created],
        )

    def urgent(self, created: datetime, *, title: str, branch: str, body: str, labels: list[str], closes: int = 0) -> PullRequest:
        """Add a small pull request that somebody approves within minutes."""
        author = self.other_than()
        began = created - MINUTE * self.random.randint(6, 30)
        pull = self.open(created, title=title, branch=branch, author=author.login, body=body, labels=labels, paths=["src/main.py"], authored=[began])
        pull.closes = [("", closes)] if closes else []
        pull.size = (self.random.randint(1, 20), self.random.randint(1, 20))
        pull.reviews = [(created + MINUTE * self.random.randint(3, 12), self.other_than(author.login).login, "APPROVED")]
        return pull

    # --- one pull request -----------------------------------------------------------------------------------------------

    def open(
        self,
        created: datetime,
        *,
        title: str,
        branch: str,
        author: str,
        body: str,
        labels: list[str],
        paths: list[str],
        authored: Sequence[datetime],
        kind: type[PullRequest] = PullRequest,
    ) -> PullRequest:
        """Add a pull request with one commit for each time of `authored`."""
        world = self.world
        number = world.next_number()
        parent, commits = world.head(created) or world.main[0][1], []
        for when in authored:
            # A rebase onto main changes the time of the commit, but not that of the author.
            commits.append(self._commit(parent, when, max(when, world.commits[parent].committed + SECOND), author))
            parent = commits[-1].oid
        world.pulls[number] = kind(number, created, title, branch, author, commits, body=body, labels=labels, paths=paths)
        return world.pulls[number]

    def merge(self, pull: PullRequest, when: datetime) -> None:
        world = self.world
        head = world.main[-1][1]
        when = max(when, world.commits[head].committed + SECOND, pull.commits[-1].committed + SECOND)
        parents = (head, pull.commits[-1].oid) if pull.merge_kind == "merge" else (head,)
        commit = world.commit(parents, when, when, pull.author)
        world.push(commit.oid, when)
        pull.merged = pull.closed = when
        pull.merge_oid = commit.oid
        pull.changed()

    def _commit(self, parent: str, authored: datetime, committed: datetime, login: str | None) -> Commit:
        return self.world.commit((parent,), authored, committed, login)

    def _authored(self, created: datetime, coding: timedelta) -> list[datetime]:
        count = self.random.choices((1, 2, 3, 4, 6), (30, 30, 20, 12, 8))[0]
        return [created - coding * (1 - step / count) for step in range(count)]

    def _review(self, pull: PullRequest, *, progress: float) -> None:
        """Add draft events, reviews and later commits. They may lie in the future: a fact shows only what has happened."""
        profile, chance, ready = self.profile, self.random.random, pull.created
        if chance() < 0.12:
            ready += self.around(8)
            pull.drafts.append((ready, "ReadyForReviewEvent"))
        if chance() < 0.3:
            pull.reviews.append((ready + 2 * MINUTE, REVIEW_BOT, "COMMENTED"))
        if chance() < 0.05:
            return  # merged without a review
        reviewer = self.other_than(pull.author).login
        seen = office_time(ready + self.around(profile.pickup_hours.at(progress)), self.random)
        if chance() < 0.3:
            pull.reviews.append((seen, reviewer, "CHANGES_REQUESTED" if chance() < 0.6 else "COMMENTED"))
            seen = office_time(seen + self.around(profile.review_hours.at(progress)), self.random)
            self._push_again(pull, seen - 20 * MINUTE)
        pull.reviews.append((seen, reviewer, "APPROVED"))

    def _push_again(self, pull: PullRequest, when: datetime) -> None:
        last = pull.commits[-1]
        commit = self._commit(last.oid, when - 5 * MINUTE, max(when, last.committed + SECOND), pull.author)
        pull.commits.append(commit)
        pull.late[commit.oid] = commit.committed


def office_time(when: datetime, randomness: random.Random) -> datetime:
    """Return the time itself, or if it is outside office hours (UTC), a time in the first hours of the next working day."""
    if when.weekday() < 5 and 7 <= when.hour < 18:
        return when
    day = when.replace(hour=7, minute=0, second=0)
    if when.hour >= 18:
        day += 24 * HOUR
    while day.weekday() >= 5:
        day += 24 * HOUR
    return day + MINUTE * randomness.uniform(5, 150)


def slug(text: str) -> str:
    """Return the text as a part of a branch's name: small letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())[:LONGEST_BRANCH].strip("-")


def _paths(profile: Profile, task: Task) -> list[str]:
    module = slug(task.thing.removeprefix("the ")).replace("-", "_")
    folder = profile.name.replace("-", "_")
    return [f"src/{folder}/{module}.py", f"tests/test_{module}.py", *(["docs/changes.md"] if task.kind == "feature" else [])]
