"""Find the deployment that first carried each change, which means that it deployed the change's commits (docs/metrics.md, "Change lead time").

A success is an attempt to deploy that succeeded.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import msgspec

from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.git_history import History
from dora_metrics.calculators.inputs import PullRequest
from dora_metrics.calculators.quality_flags import TIME_MATCHED

NOT_REACHED, HIDDEN = -1, -2


class Match(msgspec.Struct, frozen=True, gc=False):
    """The first success that carries a pull request.

    `how`: the rule that found it. sha: it deployed the merge commit or the head itself. range: it deployed a descendant.
    time_matched: it was the first success after the merge.
    """

    deployment: Attempt
    how: str


def match_changes(
    pulls: Iterable[PullRequest],
    successes: Sequence[Attempt],
    parents: Mapping[str, tuple[str, ...]],
    *,
    default_branch: str = "",
    has_sha: bool = False,
) -> dict[int, Match]:
    """Return the match of each deployed pull request, keyed by its number.

    `successes`: the successes of one environment, ordered by finished_at. `parents`: git's history, each commit with its parents.
    `has_sha`: True if at least one attempt in the environment has a sha, even if that attempt failed. If no attempt has a sha, pull
    requests are matched by time.
    """
    own = {attempt.pull_request: attempt for attempt in successes if attempt.pull_request is not None}
    if own:
        return {pull.number: Match(own[pull.number], "sha") for pull in pulls if pull.number in own}
    if not has_sha and not any(attempt.sha for attempt in successes):
        return _match_by_time(pulls, successes, default_branch)
    carriers = Carriers(successes, History.of(parents))
    found = {}
    for pull in pulls:
        # If git's history lacks the merge commit, the head replaces it.
        first = carriers.first(pull.merge_sha if pull.merge_sha in parents else pull.head_sha, exact=(pull.merge_sha, pull.head_sha))
        if first:
            position, how = first
            found[pull.number] = Match(successes[position], how)
    return found


class Carriers:
    """Finds the first success that carries a commit. `successes`: those of one environment, ordered by finished_at."""

    def __init__(self, successes: Sequence[Attempt], history: History) -> None:
        self._history = history
        self._by_sha: dict[str, int] = {}
        for position, attempt in enumerate(successes):
            self._by_sha.setdefault(attempt.sha, position)
        # The position of the first success whose commit is in git's history, or the number of successes if there is none.
        self._first_known = next((position for position, attempt in enumerate(successes) if attempt.sha in history), len(successes))
        self._reached = _first_reached(successes, history)

    def first(self, sha: str, *, exact: Iterable[str]) -> tuple[int, str] | None:
        """Return the position of the first success that deployed a descendant of the commit or one of the `exact` shas, and how it carries it."""
        positions = [self._by_sha[one] for one in exact if one and one in self._by_sha]
        number = self._history.number_of(sha)
        ranged = NOT_REACHED if number is None else self._reached[number]
        if ranged == HIDDEN:
            # A hidden commit was first deployed at an unknown earlier time, so a later rollback to it is not its first deployment.
            positions = [position for position in positions if position <= self._first_known]
        candidates = [*positions, ranged] if ranged >= 0 else positions
        if not candidates:
            return None
        position = min(candidates)
        return position, "sha" if position in positions else "range"


def _first_reached(successes: Sequence[Attempt], history: History) -> "array[int]":
    """Return for each commit, by its number, the position of the first success that deployed it or a descendant of it, NOT_REACHED or HIDDEN.

    The ancestors of the first deployed commit that is in git's history are hidden. They were deployed at an unknown earlier time,
    so they have no position. Each commit is visited once.
    """
    reached = array("i", [NOT_REACHED]) * history.size
    is_first = True
    for position, attempt in enumerate(successes):
        deployed = history.number_of(attempt.sha)
        if deployed is None or attempt.sha not in history:
            continue
        waiting = [deployed]
        while waiting:
            number = waiting.pop()
            if reached[number] == NOT_REACHED:
                reached[number] = HIDDEN if is_first and number != deployed else position
                waiting.extend(history.parents_of(number))
        is_first = False
    return reached


class FirstDeployments:
    """Finds the first deployment that carries a pull request or a single commit.

    `matches`: what `match_changes` returns for the other parameters.
    """

    def __init__(
        self, matches: Mapping[int, Match], *, pulls: Iterable[PullRequest], successes: Sequence[Attempt], parents: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.matches = matches
        self._successes = successes
        self._pulls = pulls
        self._is_proxy = any(attempt.pull_request is not None for attempt in successes)
        self._parents = parents

    def of_pull(self, number: int) -> Match | None:
        return self.matches.get(number)

    def of_commit(self, sha: str) -> Attempt | None:
        """Return the first success that carries the commit.

        If no success carries it, look at the pull requests that have the commit as merge commit, as head or among their own
        commits, and return the earliest of their first deployments. Return None if there is none.
        """
        if not sha:
            return None
        if first := self._carriers.first(sha, exact=[sha]) if not self._is_proxy else None:
            return self._successes[first[0]]
        matches = [match.deployment for number in self._pulls_of.get(sha, ()) if (match := self.matches.get(number))]
        return min(matches, key=lambda attempt: attempt.order, default=None)

    @cached_property
    def _carriers(self) -> Carriers:
        return Carriers(self._successes, History.of(self._parents))

    @cached_property
    def _pulls_of(self) -> Mapping[str, Sequence[int]]:
        return _pulls_by_commit(self._pulls)


def _pulls_by_commit(pulls: Iterable[PullRequest]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for pull in pulls:
        for sha in {pull.merge_sha, pull.head_sha, *pull.commit_shas}:
            found.setdefault(sha, []).append(pull.number)
    return found


def is_missing_from_git(attempt: Attempt, parents: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether the attempt's commit is missing from git's history.

    If so, the commit's ancestors are unknown. So the attempt carries no changes by range, and no commit becomes hidden because of it
    (`_first_reached` says which commits are hidden).
    """
    return bool(attempt.sha) and attempt.sha not in parents and attempt.pull_request is None


def _match_by_time(pulls: Iterable[PullRequest], successes: Sequence[Attempt], default_branch: str) -> dict[int, Match]:
    """Match each pull request to the first success that finished at or after its merge, unless that is the very first success.

    Changes that were merged before the very first success may have been deployed at an unknown earlier time.
    """
    found = {}
    finishes = [attempt.finished_at for attempt in successes]
    for pull in pulls:
        if default_branch and pull.base_branch != default_branch:
            continue
        position = bisect_left(finishes, pull.merged_at)
        if 0 < position < len(finishes):
            found[pull.number] = Match(successes[position], TIME_MATCHED)
    return found
