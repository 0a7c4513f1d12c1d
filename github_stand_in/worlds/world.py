"""A generated repository. All its facts have times, so what GitHub would show of them can be computed for any time."""

import hashlib
import heapq
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from github_stand_in.worlds.facts import FACTS_A_REPOSITORY, MAIN, Commit, Deployment, Fact, Issue, PullRequest, Release, Row, WorkflowRun, iso
from github_stand_in.worlds.global_ids import global_id

LISTS_KEPT = 64
SORTED_BY_UPDATE = ("PR", "I")


class Listed(Sequence[Row]):
    """A list of rows, newest first. A row is made when it is accessed, because most pages are never requested.

    `by_update`: sort by the time of the last update instead of that of the creation. `keys`: the time and the database id of each row.
    """

    def __init__(self, facts: Iterable[Fact], repository: int, name: str, clock: datetime, *, by_update: bool) -> None:
        self.make = lambda fact: fact.row(repository, name, clock)
        base = repository * FACTS_A_REPOSITORY
        times = ((iso(fact.updated(clock) if by_update else fact.created), base + fact.number, fact) for fact in facts)
        found = sorted(times, key=lambda entry: entry[:2], reverse=True)
        self.keys = [entry[:2] for entry in found]
        self.facts = [entry[2] for entry in found]

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, index: Any) -> Any:
        return [self.make(fact) for fact in self.facts[index]] if isinstance(index, slice) else self.make(self.facts[index])


class World:
    """A generated repository. It is empty at first; `ordinary_world` and `exact_world` return worlds with facts.

    In all methods, `clock` is the time for which the answer is computed. These attributes may be set at any time: `is_archived`,
    `is_private`, `renamed` (a list of (when, "owner/name")), `gone` (when the repository was deleted).
    """

    def __init__(self, repository: str, *, end: datetime, days: float = 120, seed: int = 7) -> None:
        self.repository, self.end = repository, end.astimezone(UTC).replace(microsecond=0)
        self.start = self.end - timedelta(days=days)
        self.number = int(hashlib.sha256(f"{repository}/{seed}".encode()).hexdigest()[:8], 16) & 0x7FFFFFFF
        self.commits: dict[str, Commit] = {}
        self.main: list[tuple[datetime, str]] = []  # the heads of main, each (since when, commit)
        self.pulls: dict[int, PullRequest] = {}
        self.issue_of: dict[int, Issue] = {}
        self.deploys: dict[int, Deployment] = {}
        self.published: dict[int, Release] = {}
        self.runs: dict[int, WorkflowRun] = {}
        self.is_archived = self.is_private = False
        self.renamed: list[tuple[datetime, str]] = []
        self.default_branches: list[tuple[datetime, str]] = [(self.start, MAIN)]
        self.gone: datetime | None = None
        self._facts: Mapping[str, Mapping[int, Fact]] = {
            "PR": self.pulls,
            "I": self.issue_of,
            "DE": self.deploys,
            "RE": self.published,
            "WFR": self.runs,
        }
        self._lists: dict[tuple[str, datetime, str], Listed] = {}
        self._histories: dict[str, list[Commit]] = {}
        self._commit_rows: dict[str, Row] = {}

    # --- what GitHub shows at a moment --------------------------------------------------------------------------------

    def pull_requests(self, clock: datetime) -> list[Row]:
        """Return the rows, most recently updated first."""
        return list(self.listed("PR", clock))

    def issues(self, clock: datetime) -> list[Row]:
        """Return the rows, most recently updated first."""
        return list(self.listed("I", clock))

    def deployments(self, clock: datetime) -> list[Row]:
        """Return the rows, newest first."""
        return list(self.listed("DE", clock))

    def releases(self, clock: datetime) -> list[Row]:
        """Return the rows, newest first."""
        return list(self.listed("RE", clock))

    def workflow_runs(self, clock: datetime) -> list[Row]:
        """Return the rows, newest first. Each row shows the latest attempt of its run."""
        return list(self.listed("WFR", clock))

    def listed(self, kind: str, clock: datetime) -> Listed:
        """Return the list of one kind of fact, in GitHub's order. `kind`: as in a global id."""
        place = kind, clock, self.name_at(clock)
        if (found := self._lists.get(place)) is None:
            if len(self._lists) >= LISTS_KEPT:
                self._lists.clear()
            shown = (fact for fact in self._facts[kind].values() if fact.is_there(clock))
            found = self._lists[place] = Listed(shown, self.number, place[2], clock, by_update=kind in SORTED_BY_UPDATE)
        return found

    def workflow_run_attempt(self, number: int, attempt: int, clock: datetime) -> Row | None:
        run = self.runs.get(number)
        if run is None or not run.is_there(clock) or not 1 <= attempt <= len(run.attempts) or run.attempts[attempt - 1][0] > clock:
            return None
        return run.attempt(attempt, self.number, self.name_at(clock), clock)

    def row(self, kind: str, number: int, clock: datetime) -> Row | None:
        """Return the row of a fact. `kind`, `number`: as in its global id."""
        fact = self._facts.get(kind, {}).get(number)
        return fact.row(self.number, self.name_at(clock), clock) if fact and fact.is_there(clock) else None

    def transferred(self, kind: str, number: int, clock: datetime) -> Row | None:
        """Return what the old global id of a transferred issue shows: the issue in the other repository. None for any other fact."""
        issue = self.issue_of.get(number) if kind == "I" else None
        if issue is None or issue.moved is None or issue.gone is None or clock < issue.gone:
            return None
        name, place = issue.moved
        return {
            **issue.row(self.number, name, clock),
            "id": global_id("I", 0, place),
            "number": place,
            "repository": {"id": global_id("R", 0), "nameWithOwner": name},
        }

    def head(self, clock: datetime) -> str | None:
        position = bisect_right(self.main, clock, key=lambda entry: entry[0])
        return self.main[position - 1][1] if position else None

    def history(self, oid: str) -> list[Commit]:
        """Return all commits that can be reached from a commit, the commit included, newest first.

        As in git log, each commit comes before its parents, because commit times are always later than those of the parents.
        """
        if oid not in self._histories:
            found, seen, waiting = [], {oid}, [(-self.commits[oid].committed.timestamp(), oid)]
            while waiting:
                commit = self.commits[heapq.heappop(waiting)[1]]
                found.append(commit)
                for parent in commit.parents:
                    if parent not in seen:
                        seen.add(parent)
                        heapq.heappush(waiting, (-self.commits[parent].committed.timestamp(), parent))
            self._histories[oid] = found
        return self._histories[oid]

    def commit_row(self, commit: Commit) -> Row:
        if (row := self._commit_rows.get(commit.oid)) is None:
            row = self._commit_rows[commit.oid] = commit.row(self.repository)
        return row

    def rename_default_branch(self, when: datetime, name: str) -> None:
        """Rename the default branch as GitHub does.

        Pull requests that are open at the time `when`, and pull requests and runs that are created later, get the new name. All
        others keep the old one.
        """
        former = self.default_branch(when)
        self.default_branches.append((when, name))
        for pull in self.pulls.values():
            if not (pull.closed and pull.closed <= when):
                pull.bases.append((max(when, pull.created), name))
                pull.changed()
        for run in self.runs.values():
            if run.created >= when and run.branch == former:
                run.branch = name
                run.changed()
        self.changed()

    # --- the repository itself ------------------------------------------------------------------------------------

    def name_at(self, clock: datetime) -> str:
        return next((name for when, name in reversed(self.renamed) if when <= clock), self.repository)

    def names_by(self, clock: datetime) -> list[str]:
        """Return every name that the repository has had until `clock`. GitHub redirects from the former names."""
        return [self.repository, *(name for when, name in self.renamed if when <= clock)]

    def default_branch(self, clock: datetime) -> str:
        return next(name for when, name in reversed(self.default_branches) if when <= clock)

    def branch_now(self, name: str, clock: datetime) -> str | None:
        """Return the default branch's current name if `name` is this name, a former name of the branch, or master; otherwise None.

        GitHub redirects from the former names and from master.
        """
        known = {"master", *(former for when, former in self.default_branches if when <= clock)}
        return self.default_branch(clock) if name in known else None

    def is_gone(self, clock: datetime) -> bool:
        return self.gone is not None and self.gone <= clock

    @property
    def node_id(self) -> str:
        return global_id("R", self.number)

    # --- adding facts ------------------------------------------------------------------------------------------------

    def next_number(self) -> int:
        """Return the next free number. Issues and pull requests share one sequence."""
        return len(self.pulls) + len(self.issue_of) + 1

    def commit(self, parents: tuple[str, ...], authored: datetime, committed: datetime, login: str | None, *, has_author: bool = True) -> Commit:
        oid = hashlib.sha1(f"{self.repository} {len(self.commits)} {authored}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, parents, authored, committed, login, has_author)
        return self.commits[oid]

    def push(self, oid: str, when: datetime) -> None:
        self.main.append((when, oid))

    def changed(self) -> None:
        """Clear the cached rows and lists. Call this after every change to the world."""
        self._lists.clear()
        self._commit_rows.clear()
