"""Generate pull requests and the git history that their merges make."""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from demo.github.plan import Branch, Event, PlannedPull
from demo.github.rows import Actor, Commit, Review

PEOPLE = tuple(Actor(login) for login in ("ada", "bilal", "chen", "dora", "emeka", "freja", "goran", "hanna"))
DEPENDABOT = Actor("dependabot", "Bot")
REVIEW_BOT = Actor("code-review", "Bot")
VERBS = ("Add", "Fix", "Speed up", "Simplify", "Log", "Test", "Remove", "Split")
NOUNS = ("invoice totals", "the tax table", "retries of payments", "the export", "queue metrics", "login", "currency rounding", "the report page")
PACKAGES = ("requests", "django", "celery", "msgspec", "gunicorn", "cryptography")


@dataclass(frozen=True, slots=True)
class Span:
    """The service's life: from its creation to the end of what is generated."""

    start: datetime
    until: datetime

    def working_days(self) -> Iterator[datetime]:
        """Midnights, UTC, of Monday to Friday after the first day."""
        day = datetime.combine(self.start.date(), time(), UTC) + timedelta(days=1)
        while day < self.until:
            if day.weekday() < 5:
                yield day
            day += timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A bad change in production. `answer`: what people do about it: rollback, hotfix or revert."""

    at: datetime
    answer: str


def minutes(rng: random.Random, low: float, high: float) -> timedelta:
    return timedelta(seconds=round(rng.uniform(low, high) * 60))


def plan_troubles(rng: random.Random, span: Span) -> list[Trouble]:
    answers = ("rollback", "hotfix", "revert")
    days = list(span.working_days())[4::7]
    return [Trouble(day + timedelta(hours=14) + minutes(rng, 0, 90), answers[n % 3]) for n, day in enumerate(days)]


def plan_pulls(rng: random.Random, span: Span, troubles: list[Trouble]) -> list[PlannedPull]:
    """All pull requests, numbered in the order of their creation."""
    pulls = []
    for day in span.working_days():
        pulls += [_ordinary(rng, span, day) for _ in range(rng.choice((2, 2, 3, 3, 4)))]
        if day.weekday() == 0 and rng.random() < 0.8:
            pulls.append(_of_dependabot(rng, day))
    pulls.sort(key=lambda pull: pull.created_at)
    pulls += [_urgent(rng, trouble, pulls) for trouble in troubles]
    pulls.sort(key=lambda pull: pull.created_at)
    for number, pull in enumerate(pulls, start=1):
        pull.number = number
        if pull.branch.startswith("revert-"):  # names the number of what it reverts, known only now
            reverted = pull.branch.removeprefix("revert-")
            pull.branch = f"revert-{next(p.number for p in pulls if p.branch == reverted)}-{reverted}"
        pull.events.sort(key=lambda event: event.at)
    return pulls


def _office_hours(rng: random.Random, moment: datetime) -> datetime:
    """The same moment, or the next working morning if it is a night or weekend."""
    moment = moment.replace(microsecond=0)
    if moment.weekday() < 5 and 7 <= moment.hour < 19:
        return moment
    morning = datetime.combine(moment.date(), time(8), UTC)
    if moment.hour >= 7 or moment.weekday() >= 5:
        morning += timedelta(days=1)
    while morning.weekday() >= 5:
        morning += timedelta(days=1)
    return morning + minutes(rng, 0, 180)


def _ordinary(rng: random.Random, span: Span, day: datetime) -> PlannedPull:
    created_at = day + timedelta(hours=8) + minutes(rng, 0, 540)
    author = rng.choice(PEOPLE)
    first = max(created_at - timedelta(hours=min(rng.expovariate(1 / 16), 144)), span.start + timedelta(hours=6))
    first = first.replace(microsecond=0)
    title = f"{rng.choice(VERBS)} {rng.choice(NOUNS)}"
    pull = PlannedPull(
        title=title,
        branch=f"{author.login}/{title.lower().replace(' ', '-')}-{rng.randrange(1000)}",
        author=None if rng.random() < 0.03 else author,
        created_at=created_at,
        method="",
        commit_times=sorted([first] + [first + (created_at - first) * rng.random() for _ in range(rng.randrange(4))]),
        is_draft=rng.random() < 0.18,
        lines=rng.randrange(4, 160),
        skewed_clock=rng.random() < 0.015,
    )
    pull.commit_times = [at.replace(microsecond=0) for at in pull.commit_times]
    _give_it_a_course(rng, pull, author)
    return pull


def _give_it_a_course(rng: random.Random, pull: PlannedPull, author: Actor) -> None:
    """Draft, reviews, later commits, labels and an end, as events."""
    ready_at = pull.created_at
    if pull.is_draft:
        ready_at = _office_hours(rng, pull.created_at + minutes(rng, 60, 2000))
        pull.events.append(Event(ready_at, "ready"))
    elif rng.random() < 0.05:
        ready_at = _office_hours(rng, pull.created_at + minutes(rng, 200, 900))
        pull.events += [Event(pull.created_at + minutes(rng, 5, 60), "drafted"), Event(ready_at, "ready")]
    if rng.random() < 0.3:
        pull.events.append(Event(pull.created_at, "labelled", rng.choice(("bug", "enhancement", "documentation"))))
    if rng.random() < 0.5:
        pull.events.append(_review(ready_at + minutes(rng, 0.5, 3), "COMMENTED", REVIEW_BOT))
    at = _office_hours(rng, ready_at + timedelta(minutes=min(10 + rng.expovariate(1 / 400), 6000)))
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        pull.events.append(_review(at, rng.choice(("COMMENTED", "CHANGES_REQUESTED")), _reviewer(rng, author)))
        pull.events.append(_review(at + minutes(rng, 5, 20), "COMMENTED", author))
        pushed_at = at + minutes(rng, 25, 120)
        pull.commit_times.append(pushed_at)
        pull.events.append(Event(pushed_at, "pushed"))
        at = _office_hours(rng, pushed_at + minutes(rng, 10, 600))
    _end(rng, pull, author, at.replace(microsecond=0))


def _end(rng: random.Random, pull: PlannedPull, author: Actor, at: datetime) -> None:
    course = rng.random()
    if course < 0.03:  # stays open
        return
    if course < 0.11:
        pull.events += [Event(at, "commented"), Event(at, "closed")]
        return
    if course < 0.13:
        pull.events += [Event(at, "closed"), Event(at + timedelta(hours=1), "reopened")]
        at += timedelta(hours=2)
    pull.events.append(_review(at, "APPROVED", _reviewer(rng, author)))
    _merge(pull, at + minutes(rng, 2, 90), rng.choices(("squash", "merge", "rebase"), (70, 18, 12))[0])
    if rng.random() < 0.1:
        pull.events.append(Event(_office_hours(rng, at + minutes(rng, 1500, 6000)), "commented"))


def _merge(pull: PlannedPull, at: datetime, method: str) -> None:
    pull.merged_at, pull.method = at, method
    pull.events.append(Event(at, "merged"))


def _reviewer(rng: random.Random, author: Actor) -> Actor | None:
    if rng.random() < 0.02:
        return None
    return rng.choice([person for person in PEOPLE if person != author])


def _review(at: datetime, state: str, author: Actor | None) -> Event:
    at = at.replace(microsecond=0)
    return Event(at, "reviewed", review=Review(state, at, author))


def _of_dependabot(rng: random.Random, day: datetime) -> PlannedPull:
    created_at = day + timedelta(hours=4) + minutes(rng, 0, 60)
    package = rng.choice(PACKAGES)
    pull = PlannedPull(
        title=f"Bump {package} to {rng.randrange(1, 9)}.{rng.randrange(20)}.{rng.randrange(9)}",
        branch=f"dependabot/pip/{package}-{rng.randrange(10000)}",
        author=DEPENDABOT,
        created_at=created_at,
        method="",
        commit_times=[created_at - timedelta(minutes=1)],
        lines=1,
        events=[Event(created_at, "labelled", "dependencies")],
    )
    if rng.random() < 0.8:
        _merge(pull, created_at + timedelta(hours=5) + minutes(rng, 0, 300), "squash")
    else:
        pull.events.append(Event(created_at + timedelta(days=7), "closed"))
    return pull


def _urgent(rng: random.Random, trouble: Trouble, pulls: list[PlannedPull]) -> PlannedPull:
    """The hotfix or the revert that follows a trouble: created 40 minutes after it and merged at 75."""
    author = rng.choice(PEOPLE)
    merged = [p for p in pulls if p.merged_at and p.merged_at < trouble.at and not p.title.startswith("Revert")]
    target = max(merged, key=lambda p: p.merged_at or p.created_at, default=None)
    created_at = trouble.at + timedelta(minutes=40)
    is_revert = trouble.answer != "hotfix" and target is not None
    pull = PlannedPull(
        title=f'Revert "{target.title}"' if is_revert and target else f"Fix wrong {rng.choice(NOUNS).removeprefix('the ')}",
        branch=f"revert-{target.branch}" if is_revert and target else f"hotfix/{rng.randrange(10000)}",
        author=author,
        created_at=created_at,
        method="",
        commit_times=[created_at - timedelta(minutes=1)],
        lines=6,
    )
    if not is_revert:
        pull.events.append(Event(created_at, "labelled", "hotfix"))
    pull.events.append(_review(created_at + timedelta(minutes=20), "APPROVED", _reviewer(rng, author)))
    _merge(pull, created_at + timedelta(minutes=35), "squash")
    return pull


class History:
    """Git's graph: the commits by sha, and the base branch."""

    def __init__(self, rng: random.Random, span: Span, salt: str) -> None:
        self.commits: dict[str, Commit] = {}
        self.branch = Branch()
        self._rng, self._salt = rng, salt
        for n in range(5):
            self._push_directly(span.start + timedelta(hours=1, minutes=10 * n))
        self._direct = [day + timedelta(hours=12) + minutes(rng, 0, 200) for day in list(span.working_days())[6::9]]

    def grow(self, pulls: list[PlannedPull]) -> None:
        """Merge what is merged, in the order of time; fills the commits of every pull request."""
        steps: list[tuple[datetime, PlannedPull | None]] = [(pull.merged_at, pull) for pull in pulls if pull.merged_at]
        steps += [(at, None) for at in self._direct]
        for at, pull in sorted(steps, key=lambda step: step[0]):
            if pull is None:
                self._push_directly(at)
                continue
            self._branch_commits(pull)
            self._merge(at, pull)
        for pull in pulls:
            if not pull.merged_at:
                self._branch_commits(pull)

    def _commit(self, parents: tuple[str, ...], author: str | None, *, authored_at: datetime, committed_at: datetime, pushed_at: datetime) -> str:
        sha = hashlib.sha1(f"{self._salt} {len(self.commits)} {parents}".encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = Commit(sha, parents, authored_at, committed_at, author, pushed_at)
        return sha

    def _push_directly(self, at: datetime) -> None:
        head = self.branch.head(at)
        author = self._rng.choice((*[person.login for person in PEOPLE], None))
        self.branch.move(at, self._commit((head,) if head else (), author, authored_at=at, committed_at=at, pushed_at=at))

    def _branch_commits(self, pull: PlannedPull) -> None:
        base = self.branch.head(pull.commit_times[0])
        author = pull.author.login if pull.author else None
        for n, at in enumerate(pull.commit_times):
            authored_at = datetime(2001, 1, 1, tzinfo=UTC) if pull.skewed_clock and n == 0 else at
            pushed_at = max(at, pull.created_at) if at <= pull.created_at else at
            base = self._commit((base,) if base else (), author, authored_at=authored_at, committed_at=at, pushed_at=pushed_at)
            pull.commits.append(self.commits[base])

    def _merge(self, at: datetime, pull: PlannedPull) -> None:
        head = self.branch.head(at)
        parents = (head,) if head else ()
        author = pull.author.login if pull.author else None
        match pull.method:
            case "squash":
                head = self._commit(parents, author, authored_at=at, committed_at=at, pushed_at=at)
            case "merge":
                head = self._commit((*parents, pull.commits[-1].sha), author, authored_at=at, committed_at=at, pushed_at=at)
            case _:
                for commit in pull.commits:
                    head = self._commit(parents, author, authored_at=commit.authored_at, committed_at=at, pushed_at=at)
                    parents = (head,)
        pull.merge_commit = head
        self.branch.move(at, head or "")
