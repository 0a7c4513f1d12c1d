"""Which deployment first carried a change: git's history, walked once. docs/metrics.md, "Change lead time"."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dora_metrics.calculators.facts import Attempt, PullRequest
from dora_metrics.calculators.flags import TIME_MATCHED


@dataclass(frozen=True, slots=True)
class Match:
    """The first success that carries a pull request, and how that is known: sha, range or time_matched."""

    deployment: Attempt
    how: str


def first_carriers(
    pulls: Sequence[PullRequest],
    successes: Sequence[Attempt],
    parents: Mapping[str, tuple[str, ...]],
    *,
    default_branch: str = "",
    has_sha: bool = False,
) -> dict[int, Match]:
    """By pull request's number. `successes`: of one environment, by finished_at. `has_sha`: a failed attempt has one."""
    own = {attempt.pull_request: attempt for attempt in successes if attempt.pull_request is not None}
    if own:
        return {pull.number: Match(own[pull.number], "sha") for pull in pulls if pull.number in own}
    if not has_sha and not any(attempt.sha for attempt in successes):
        return _by_time(pulls, successes, default_branch)
    by_sha: dict[str, int] = {}
    for position, attempt in enumerate(successes):
        by_sha.setdefault(attempt.sha, position)
    first_known = next((position for position, attempt in enumerate(successes) if attempt.sha in parents), len(successes))
    first_reached, hidden = reached_first(successes, parents)
    found = {}
    for pull in pulls:
        exact = [by_sha[sha] for sha in (pull.merge_sha, pull.head_sha) if sha and sha in by_sha]
        # Where git's history lacks the merge commit, the head stands in.
        stem = pull.merge_sha if pull.merge_sha in parents else pull.head_sha
        if stem in hidden:
            # A later rollback to it is not when it was first deployed.
            exact = [position for position in exact if position <= first_known]
        ranged = first_reached.get(stem)
        candidates = exact if ranged is None else [*exact, ranged]
        if candidates:
            position = min(candidates)
            found[pull.number] = Match(successes[position], "sha" if position in exact else "range")
    return found


def reached_first(successes: Sequence[Attempt], parents: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, int], set[str]]:
    """Commit to the position of the first success whose sha is it or descends from it; each commit is visited once.

    The first success that git knows stands for a history deployed at an unknown time: it carries its very sha only,
    and the rest of what it reaches, the second answer, is carried by none.
    """
    reached: dict[str, int] = {}
    hidden: set[str] = set()
    is_first = True
    for position, attempt in enumerate(successes):
        if attempt.sha not in parents:
            continue
        waiting = [attempt.sha]
        while waiting:
            sha = waiting.pop()
            if sha in reached or sha in hidden:
                continue
            if is_first and sha != attempt.sha:
                hidden.add(sha)
            else:
                reached[sha] = position
            waiting.extend(parents.get(sha, ()))
        is_first = False
    return reached, hidden


class Carriers:
    """What first carried a pull request or a single commit. `successes`: of one environment, by finished_at."""

    def __init__(
        self,
        pulls: Sequence[PullRequest],
        successes: Sequence[Attempt],
        parents: Mapping[str, tuple[str, ...]],
        *,
        default_branch: str = "",
        has_sha: bool = False,
    ) -> None:
        self._successes = successes
        self._pulls = pulls
        self._matches = first_carriers(pulls, successes, parents, default_branch=default_branch, has_sha=has_sha)
        self._is_proxy = any(attempt.pull_request is not None for attempt in successes)
        self._parents = parents
        self._commits: dict[str, int] | None = None
        self._pulls_of: dict[str, list[int]] = {}

    def of_pull(self, number: int) -> Match | None:
        return self._matches.get(number)

    def of_commit(self, sha: str) -> Attempt | None:
        """The first success that carries the commit; else that of a pull request which has it, as its merge, head or own commit."""
        if not sha:
            return None
        if self._commits is None:
            self._commits = {} if self._is_proxy else carried_commits(self._successes, self._parents)
            self._pulls_of = _pulls_by_commit(self._pulls)
        if sha in self._commits:
            return self._successes[self._commits[sha]]
        matches = [match.deployment for number in self._pulls_of.get(sha, ()) if (match := self._matches.get(number))]
        return min(matches, key=lambda attempt: attempt.order, default=None)


def _pulls_by_commit(pulls: Sequence[PullRequest]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for pull in pulls:
        for sha in {pull.merge_sha, pull.head_sha, *pull.commit_shas}:
            found.setdefault(sha, []).append(pull.number)
    return found


def carried_commits(successes: Sequence[Attempt], parents: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Commit to the position of the first success that has it as its sha or descends from it."""
    reached, hidden = reached_first(successes, parents)
    first_known = next((position for position, attempt in enumerate(successes) if attempt.sha in parents), len(successes))
    found = dict(reached)
    for position, attempt in enumerate(successes):
        # A later rollback to what the first success hides is not when it was first deployed.
        if attempt.sha and not (attempt.sha in hidden and position > first_known):
            found[attempt.sha] = min(position, found.get(attempt.sha, position))
    return found


def is_unknown(attempt: Attempt, parents: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether its commit is gone from git: it carries nothing by descent, and hides nothing."""
    return bool(attempt.sha) and attempt.sha not in parents and attempt.pull_request is None


def _by_time(pulls: Sequence[PullRequest], successes: Sequence[Attempt], default_branch: str) -> dict[int, Match]:
    """No attempt has a sha: the first success at or after the merge, unless that is the first of all."""
    found = {}
    finishes = [attempt.finished_at for attempt in successes]
    for pull in pulls:
        if default_branch and pull.base_branch != default_branch:
            continue
        position = bisect_left(finishes, pull.merged_at)
        if 0 < position < len(finishes):
            found[pull.number] = Match(successes[position], TIME_MATCHED)
    return found
