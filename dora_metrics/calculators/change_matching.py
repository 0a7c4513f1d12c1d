"""Find the deployment that first carried each change, which means that it deployed the change's commits (docs/metrics.md, "Change lead time").

A success is an attempt to deploy that succeeded.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import msgspec

from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.inputs import PullRequest
from dora_metrics.calculators.quality_flags import TIME_MATCHED


class Match(msgspec.Struct, frozen=True, gc=False):
    """The first success that carries a pull request.

    `how`: the rule that found it. sha: it deployed the merge commit or the head itself. range: it deployed a descendant.
    time_matched: it was the first success after the merge.
    """

    deployment: Attempt
    how: str


def match_changes(
    pulls: Sequence[PullRequest],
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
    by_sha: dict[str, int] = {}
    for position, attempt in enumerate(successes):
        by_sha.setdefault(attempt.sha, position)
    first_known = _first_known(successes, parents)
    first_reached, hidden = _first_reached(successes, parents)
    found = {}
    for pull in pulls:
        exact = [by_sha[sha] for sha in (pull.merge_sha, pull.head_sha) if sha and sha in by_sha]
        # If git's history lacks the merge commit, the head replaces it.
        commit = pull.merge_sha if pull.merge_sha in parents else pull.head_sha
        if commit in hidden:
            # A hidden commit was first deployed at an unknown earlier time, so a later rollback to it is not its first deployment.
            exact = [position for position in exact if position <= first_known]
        ranged = first_reached.get(commit)
        candidates = exact if ranged is None else [*exact, ranged]
        if candidates:
            position = min(candidates)
            found[pull.number] = Match(successes[position], "sha" if position in exact else "range")
    return found


def _first_known(successes: Sequence[Attempt], parents: Mapping[str, tuple[str, ...]]) -> int:
    """Return the position of the first success whose commit is in git's history, or the number of successes if there is none."""
    return next((position for position, attempt in enumerate(successes) if attempt.sha in parents), len(successes))


def _first_reached(successes: Sequence[Attempt], parents: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, int], set[str]]:
    """Return two things: for each commit, the position of the first success that deployed it or a descendant of it; and the hidden commits.

    The ancestors of the first deployed commit that is in git's history are hidden. They were deployed at an unknown earlier time,
    so they have no position. Each commit is visited once.
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


class FirstDeployments:
    """Finds the first deployment that carries a pull request or a single commit.

    `successes`: the successes of one environment, ordered by finished_at. The other parameters are those of `match_changes`.
    `matches`: what `match_changes` returns.
    """

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
        self.matches = match_changes(pulls, successes, parents, default_branch=default_branch, has_sha=has_sha)
        self._is_proxy = any(attempt.pull_request is not None for attempt in successes)
        self._parents = parents
        self._commits: dict[str, int] | None = None
        self._pulls_of: dict[str, list[int]] = {}

    def of_pull(self, number: int) -> Match | None:
        return self.matches.get(number)

    def of_commit(self, sha: str) -> Attempt | None:
        """Return the first success that carries the commit.

        If no success carries it, look at the pull requests that have the commit as merge commit, as head or among their own
        commits, and return the earliest of their first deployments. Return None if there is none.
        """
        if not sha:
            return None
        if self._commits is None:
            self._commits = {} if self._is_proxy else _carried_commits(self._successes, self._parents)
            self._pulls_of = _pulls_by_commit(self._pulls)
        if sha in self._commits:
            return self._successes[self._commits[sha]]
        matches = [match.deployment for number in self._pulls_of.get(sha, ()) if (match := self.matches.get(number))]
        return min(matches, key=lambda attempt: attempt.order, default=None)


def _pulls_by_commit(pulls: Sequence[PullRequest]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for pull in pulls:
        for sha in {pull.merge_sha, pull.head_sha, *pull.commit_shas}:
            found.setdefault(sha, []).append(pull.number)
    return found


def _carried_commits(successes: Sequence[Attempt], parents: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Map each commit to the position of the first success that deployed the commit or a descendant of it."""
    reached, hidden = _first_reached(successes, parents)
    first_known = _first_known(successes, parents)
    found = dict(reached)
    for position, attempt in enumerate(successes):
        # A hidden commit was first deployed at an unknown earlier time, so a later rollback to it is not its first deployment.
        if attempt.sha and not (attempt.sha in hidden and position > first_known):
            found[attempt.sha] = min(position, found.get(attempt.sha, position))
    return found


def is_missing_from_git(attempt: Attempt, parents: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether the attempt's commit is missing from git's history.

    If so, the commit's ancestors are unknown. So the attempt carries no changes by range, and no commit becomes hidden because of it
    (`_first_reached` says which commits are hidden).
    """
    return bool(attempt.sha) and attempt.sha not in parents and attempt.pull_request is None


def _match_by_time(pulls: Sequence[PullRequest], successes: Sequence[Attempt], default_branch: str) -> dict[int, Match]:
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
