"""Generate pull requests: they are reviewed, get further commits, are merged in each way that GitHub offers, and some are reverted."""

import random
from datetime import datetime

from github_stand_in.worlds.deployments import Deploys
from github_stand_in.worlds.facts import BOT, HOUR, MINUTE, SECOND, Commit, PullRequest
from github_stand_in.worlds.issues import Tracker
from github_stand_in.worlds.people import PEOPLE, REVIEW_BOT
from github_stand_in.worlds.world import World

FOLDERS = ("api", "web", "worker", "docs", "infra/terraform")
MERGE_KINDS = {"squash": 60, "merge": 25, "rebase": 15}


class Changes:
    def __init__(self, world: World, randomness: random.Random, *, tracker: Tracker, deploys: Deploys) -> None:
        self.world, self.random, self.tracker, self.deploys = world, randomness, tracker, deploys
        self.reverted: set[int] = set()

    def work(self, day: datetime, workdays: int) -> None:
        for _ in range(self.random.randint(1, 3)):
            self._change(day + HOUR * self.random.uniform(8, 17))
        if self.random.random() < 0.25:
            self._change(day + 5 * HOUR, author=BOT)
        if workdays % 10 == 9:
            self._push_to_main(day + 7 * HOUR)
        if workdays % 8 == 5:
            self._revert(day + 9 * HOUR, by_button=workdays % 16 == 5)

    def large(self, created: datetime) -> None:
        """Add three pull requests whose lists have more than one page: 130 commits; 250 commits and 150 files; 112 reviews."""
        pull = self._change(created, commits=130, kind="squash")
        # The 120th commit gets the earliest author time, as if it were cherry-picked, so the earliest is not on the first page of a hundred.
        pull.commits[119].authored = min(commit.authored for commit in pull.commits) - 48 * HOUR
        many = self._change(created + HOUR, commits=250, kind="merge")
        many.paths = [f"generated/part_{number}.py" for number in range(150)]
        talked = self._change(created + 2 * HOUR, kind="rebase")
        for one in (pull, many, talked):
            _remove_later_events(one)
        bot = [(talked.created + MINUTE + SECOND * number, REVIEW_BOT, "COMMENTED") for number in range(100)]
        people = [(talked.created + HOUR + MINUTE * number, PEOPLE[number % 8], "COMMENTED") for number in range(12)]
        talked.reviews = [*bot, *people]
        for one, after in ((pull, 20), (many, 30), (talked, 26)):
            one.merged = one.closed = created + after * HOUR

    def merge_due(self, until: datetime) -> None:
        """Merge the pull requests whose time to be merged is not after `until`, in the order of these times."""
        due = [pull for pull in self.world.pulls.values() if pull.merged and pull.merge_oid is None and pull.merged <= min(until, self.world.end)]
        for pull in sorted(due, key=lambda pull: (pull.merged, pull.number)):
            self._merge(pull)

    # --- a pull request -------------------------------------------------------------------------------------------

    def _change(self, created: datetime, *, author: str | None = None, commits: int = 0, kind: str = "") -> PullRequest:
        chance = self.random.random
        author = author or (self.random.choice(PEOPLE) if chance() > 0.02 else None)
        is_hotfix = chance() < 0.06
        number = self.world.next_number()
        pull = PullRequest(
            number=number,
            created=created,
            title=f"{'Bump' if author == BOT else 'Fix' if is_hotfix else 'Add'} part {number} ñ",
            branch=f"{'hotfix' if is_hotfix else 'feature'}/{number}",
            author=author,
            body=self.random.choice(["", f"Part {number}, as agreed.", "See the ticket.\n\n- [x] tested"]),
            commits=self._commits(created, commits or self.random.randint(1, 5), author),
            labels=["hotfix"] if is_hotfix else ["dependencies"] if author == BOT else [],
            paths=self._paths(self.random.randint(1, 20)),
            merge_kind=kind or self.random.choices(list(MERGE_KINDS), list(MERGE_KINDS.values()))[0],
            size=(self.random.randint(1, 500), self.random.randint(0, 200)),
        )
        self.world.pulls[number] = pull
        self._name_issues(pull, is_hotfix=is_hotfix)
        self._review(pull)
        self.deploys.ci(pull)
        return pull

    def _commits(self, created: datetime, count: int, author: str | None) -> list[Commit]:
        chance, world = self.random.random, self.world
        commits: list[Commit] = []
        parent = world.head(created) or world.main[0][1]
        for step in range(count):
            authored = created - HOUR * self.random.uniform(1, 40) + min(step, 20) * HOUR / 4
            authored = min(authored, created)
            # The commit time may be later than the author time, because a rebase changes only the commit time.
            committed = max(authored, world.commits[parent].committed + SECOND)
            login = author if chance() > 0.1 else None
            commits.append(world.commit((parent,), authored, committed, login, has_author=login is not None or chance() > 0.3))
            parent = commits[-1].oid
        return commits

    def _paths(self, count: int) -> list[str]:
        return sorted({f"{self.random.choice(FOLDERS)}/file_{self.random.randint(1, 400)}.py" for _ in range(count)})

    def _name_issues(self, pull: PullRequest, *, is_hotfix: bool) -> None:
        if pull.author == BOT:
            return
        issue = self.tracker.incident_to_fix(pull.created) if is_hotfix else self.tracker.issue_to_close(pull.created)
        if issue and (is_hotfix or self.random.random() < 0.5):
            pull.closes.append(("", issue.number))
        if pull.number % 25 == 0:
            pull.closes.append(("acme/elsewhere", 5))

    def _review(self, pull: PullRequest) -> None:
        chance, ready = self.random.random, pull.created
        if chance() < 0.15:
            ready = pull.created + HOUR * self.random.uniform(1, 20)
            pull.drafts.append((ready, "ReadyForReviewEvent"))
        elif chance() < 0.05:
            ready = pull.created + 3 * HOUR
            pull.drafts += [(pull.created + HOUR, "ConvertToDraftEvent"), (ready, "ReadyForReviewEvent")]
        if chance() < 0.9:
            reviewer = self.random.choice([name for name in PEOPLE if name != pull.author]) if chance() > 0.02 else None
            seen = ready + HOUR * self.random.uniform(0.2, 20)
            if chance() < 0.2:
                pull.reviews.append((seen, reviewer, "CHANGES_REQUESTED"))
                self._push_again(pull, seen + HOUR)
                seen += 3 * HOUR
            pull.reviews.append((seen, reviewer, "APPROVED"))
        if chance() < 0.2:
            pull.reviews.append((ready + MINUTE, REVIEW_BOT, "COMMENTED"))
        end = max([ready, *pull.late.values(), *(when for when, *_ in pull.reviews)]) + HOUR * self.random.uniform(0.1, 24)
        if chance() < 0.08:
            pull.closed = end
        elif chance() > 0.03:
            pull.merged = pull.closed = end

    def _push_again(self, pull: PullRequest, when: datetime) -> None:
        commit = self.world.commit((pull.commits[-1].oid,), when - MINUTE, max(when, pull.commits[-1].committed + SECOND), pull.author)
        pull.commits.append(commit)
        pull.late[commit.oid] = commit.committed

    def _revert(self, created: datetime, *, by_button: bool) -> None:
        """Add a pull request that reverts the latest merge. It is merged after two hours, so the deployment of that day contains the revert.

        `by_button`: with the title, branch and text that GitHub's button “Revert” writes. Otherwise only the text names the commit.
        """
        merged = [pull for pull in self.world.pulls.values() if pull.merge_oid and pull.number not in self.reverted and pull.author != BOT]
        target = max(merged, key=lambda pull: (pull.merged, pull.number), default=None)
        if target is None or target.merged is None or target.merged > created:
            return
        self.reverted.add(target.number)
        pull = self._change(created, commits=1, kind="squash", author=PEOPLE[1])
        _remove_later_events(pull)
        pull.labels, pull.closes, pull.paths = [], [], target.paths
        if by_button:
            pull.title, pull.branch = f'Revert "{target.title}"', f"revert-{target.number}-{target.branch}"
            pull.body = f"Reverts {self.world.repository}#{target.number}"
        else:
            pull.title, pull.branch = f"Take back part {target.number}", f"undo/{target.number}"
            pull.body = f"It broke the nightly export.\n\nThis reverts commit {target.merge_oid}."
        pull.reviews = [(created + HOUR, PEOPLE[2], "APPROVED")]
        pull.merged = pull.closed = created + 2 * HOUR

    def _push_to_main(self, when: datetime) -> None:
        head = self.world.head(when) or self.world.main[-1][1]
        if head != self.world.main[-1][1]:
            return
        committed = max(when, self.world.commits[head].committed + SECOND)
        self.world.push(self.world.commit((head,), committed, committed, PEOPLE[3]).oid, committed)

    # --- merging --------------------------------------------------------------------------------------------------

    def _merge(self, pull: PullRequest) -> None:
        world = self.world
        assert pull.merged
        head = world.main[-1][1]
        merged = max(pull.merged, world.commits[head].committed + SECOND)
        if pull.commits[0].parents == (head,) and pull.merge_kind != "merge":
            pull.merge_kind, last = "fast-forward", pull.commits[-1]
            merged = max(merged, last.committed)
        elif pull.merge_kind == "rebase":
            last = self._rebased(pull, head, merged)
            merged = last.committed
        else:
            parents = (head, pull.commits[-1].oid) if pull.merge_kind == "merge" else (head,)
            merged = max(merged, pull.commits[-1].committed + SECOND)
            last = world.commit(parents, merged, merged, pull.author)
        pull.merged = pull.closed = merged
        pull.merge_oid = last.oid
        world.push(last.oid, merged)
        for repository, number in pull.closes:
            if not repository:
                self.tracker.close_by_merge(number, merged)

    def _rebased(self, pull: PullRequest, head: str, merged: datetime) -> Commit:
        """Copy the commits onto main, and return the last copy. The original commits, which were reviewed, do not become part of main."""
        parent = head
        for step, commit in enumerate(pull.commits):
            copy = self.world.commit((parent,), commit.authored, merged + step * SECOND, commit.login, has_author=commit.has_author)
            parent = copy.oid
        return self.world.commits[parent]


def _remove_later_events(pull: PullRequest) -> None:
    """Remove the pull request's draft events, and the commits that were pushed after it was opened."""
    pull.commits = [commit for commit in pull.commits if commit.oid not in pull.late]
    pull.drafts, pull.late = [], {}
