"""Generate worlds with exact numbers of records, for benchmarks, and add days with exact numbers of changes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from github_stand_in.worlds.facts import DAY, HOUR, MINUTE, SECOND, Deployment, Issue, PullRequest, Release, WorkflowRun
from github_stand_in.worlds.people import DEPLOYER, PEOPLE
from github_stand_in.worlds.world import World

EVERY_OPEN, EVERY_CLOSED = 100, 40
COMMITS_A_PULL = 2
STATUSES_A_DEPLOYMENT = 3


def exact_world(
    repository: str,
    *,
    end: datetime,
    days: float = 700,
    pull_requests: int = 2000,
    deployments: int = 1000,
    issues: int = 2000,
    releases: int = 500,
    runs: int = 1000,
    commits: int = 5000,
) -> World:
    """Return a world that has exactly these numbers of records at the time `end`. `commits`: the commits that main contains."""
    if commits < 1:
        raise ValueError("a world has at least one commit")
    world = World(repository, end=end, days=days)
    _changes(world, pull_requests, commits)
    for number, when in _spread(world, deployments):
        _deploy(world, number, when)
    for one in world.deploys.values():  # exactly three statuses each
        one.statuses = one.statuses[-STATUSES_A_DEPLOYMENT:]
    for number, when in _spread(world, issues):
        _issue(world, number, when)
    for number, when in _spread(world, releases):
        world.published[number] = Release(number, when, f"v{number}", _head(world, when), when, is_prerelease=number % 9 == 0)
    for number, when in _spread(world, runs):
        _run(world, when, is_green=number % 8 > 0)
    return world


def add_day(world: World, end: datetime, *, changed: int = 0, deployed: int = 0, issues: int = 0, releases: int = 0, runs: int = 0) -> None:
    """Extend the world by the 24 hours before `end`, with these numbers of new records.

    `changed`: how many pull requests change on that day. A third of them is new, a third is merged, and a third gets a review.
    """
    end = end.astimezone(UTC)
    begin = end - DAY
    if begin < world.end:
        raise ValueError(f"{world.repository} already lives until {world.end}")
    _change(world, begin, changed)
    for number in range(deployed):
        _deploy(world, len(world.deploys) + 1, begin + 10 * HOUR + number * HOUR)
    for number in range(issues):
        _issue(world, number + 1, begin + 11 * HOUR + number * SECOND)
    for number in range(releases):
        last = len(world.published) + 1
        world.published[last] = Release(last, begin + 12 * HOUR + number * SECOND, f"v{last}", world.main[-1][1], begin + 12 * HOUR + number * SECOND)
    for number in range(runs):
        _run(world, begin + 13 * HOUR + number * SECOND, is_green=True)
    world.end = end
    world.changed()


def _spread(world: World, count: int) -> Iterator[tuple[int, datetime]]:
    """Yield the number and the time of `count` records, evenly spread from half a day after the start to half a day before the end."""
    step = (world.end - world.start - DAY) / max(count, 1)
    return ((number, world.start + DAY / 2 + number * step) for number in range(1, count + 1))


def _head(world: World, when: datetime) -> str:
    return world.head(when) or world.main[0][1]


def _changes(world: World, count: int, commits: int) -> None:
    """Add `count` pull requests and as many direct pushes as are needed for `commits` commits on main.

    A third of the merged pull requests has a merge commit. Every 100th pull request (EVERY_OPEN) stays open, and every 40th
    (EVERY_CLOSED) is closed without a merge.
    """
    first = world.commit((), world.start, world.start, PEOPLE[0])
    world.push(first.oid, world.start)
    will_merge = [number % EVERY_OPEN != 0 and number % EVERY_CLOSED != 0 for number in range(1, count + 1)]
    merged = min(sum(will_merge), commits - 1)
    left = commits - 1 - merged
    true_merges = min(merged // 3, left // COMMITS_A_PULL)
    pushes = left - true_merges * COMMITS_A_PULL
    done = 0
    for number, when in _spread(world, count):
        pull = _open(world, when - HOUR)
        is_merged = will_merge[number - 1] and done < merged
        if is_merged:
            _push(world, when - 30 * MINUTE, pushes * (done + 1) // merged - pushes * done // merged)
            pull.merge_kind = "merge" if true_merges * (done + 1) // merged > true_merges * done // merged else "squash"
            _merge(world, pull, when)
            done += 1
        elif number % EVERY_OPEN:
            pull.closed = when
    if not merged:
        _push(world, world.end - HOUR, pushes)


def _open(world: World, created: datetime) -> PullRequest:
    number = world.next_number()
    author, reviewer = PEOPLE[number % 8], PEOPLE[(number + 1) % 8]
    parent, commits = _head(world, created), []
    for step in range(COMMITS_A_PULL):
        authored = created - (COMMITS_A_PULL - step) * SECOND
        commits.append(world.commit((parent,), authored - HOUR, max(authored, world.commits[parent].committed + SECOND), author))
        parent = commits[-1].oid
    pull = world.pulls[number] = PullRequest(
        number, created, f"Add part {number} ñ", f"feature/{number}", author, commits, body=f"Part {number}, as agreed.\n" * 3
    )
    pull.reviews = [(created + 10 * MINUTE, reviewer, "APPROVED")] if number % 10 else []
    pull.labels = ["hotfix"] if number % 50 == 0 else []
    pull.paths = [f"api/part_{number % 97}.py", "docs/changes.md"]
    return pull


def _push(world: World, when: datetime, count: int) -> None:
    for _ in range(count):
        head = world.main[-1][1]
        committed = max(when, world.commits[head].committed + SECOND)
        world.push(world.commit((head,), committed, committed, PEOPLE[2]).oid, committed)


def _merge(world: World, pull: PullRequest, when: datetime) -> None:
    head = world.main[-1][1]
    merged = max(when, world.commits[head].committed + SECOND, pull.commits[-1].committed + SECOND)
    parents = (head, pull.commits[-1].oid) if pull.merge_kind == "merge" else (head,)
    commit = world.commit(parents, merged, merged, pull.author)
    world.push(commit.oid, merged)
    pull.merged = pull.closed = merged
    pull.merge_oid = commit.oid
    pull.changed()


def _deploy(world: World, number: int, when: datetime) -> None:
    failed = number % 12 == 0
    end = "FAILURE" if failed else "SUCCESS"
    statuses = [(when + SECOND, "QUEUED"), (when + MINUTE, "IN_PROGRESS"), (when + 5 * MINUTE, end)]
    if not failed:
        former = next((one for one in reversed(world.deploys.values()) if one.statuses[-1][1] == "SUCCESS"), None)
        if former:
            former.statuses.append((when + 5 * MINUTE + SECOND, "INACTIVE"))
            former.changed()
    world.deploys[number] = Deployment(number, when, _head(world, when), "production", statuses, "release", DEPLOYER)


def _issue(world: World, number: int, when: datetime) -> None:
    place = world.next_number()
    issue = world.issue_of[place] = Issue(place, when, f"The export is slow, {number} ñ", "Since last week.\n" * 5, PEOPLE[number % 8])
    if number % 10 == 0:
        issue.labelled.append(("incident", when, None))
    if number % 3:
        issue.close(when + timedelta(hours=5), "COMPLETED")


def _run(world: World, when: datetime, *, is_green: bool) -> None:
    number = len(world.runs) + 1
    attempts = [(when, when + 6 * MINUTE, "success" if is_green else "failure")]
    path = ".github/workflows/deploy.yml"
    world.runs[number] = WorkflowRun(number, when, "Deploy", path, "main", _head(world, when), "push", attempts)


def _change(world: World, begin: datetime, count: int) -> None:
    still_open = [pull for pull in world.pulls.values() if pull.closed is None]
    old = [pull for pull in world.pulls.values() if pull.closed]
    for step in range(count):
        when = begin + 9 * HOUR + step * MINUTE
        if step % 3 == 1 and still_open:
            _merge(world, still_open.pop(), when)
        elif step % 3 == 2 and old:
            pull = old.pop()
            pull.reviews.append((when, PEOPLE[step % 8], "COMMENTED"))
            pull.changed()
        else:
            _open(world, when)
