"""The pull requests that are reverts, with what they revert, and those that are hotfixes (docs/metrics.md, "Revert" and "Hotfix")."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from dora_metrics.calculators.git_history import Shas
from dora_metrics.calculators.inputs import NO_SIGNS, PullRequest
from dora_metrics.patterns import compiled, is_found


@dataclass(frozen=True, slots=True)
class Revert:
    """A pull request that reverts another pull request (`target_pull`) or a commit (`target_sha`).

    If it is unknown what was reverted, neither is set. `put_back_by`: the numbers of the pull requests that revert this revert.
    """

    number: int
    target_pull: int | None = None
    target_sha: str = ""
    put_back_by: tuple[int, ...] = ()


def reverts(
    pulls: Collection[PullRequest], *, repositories: Collection[str], shas: Shas, notable: Collection[PullRequest] | None = None
) -> dict[int, Revert]:
    """Return the reverts, keyed by number. A pull request that reverts a revert is not a revert itself.

    `repositories`: the current and former names of the repository of these pull requests, in lower case. `notable`: if it is known, those
    of `pulls` that `is_notable` names.
    """
    signed = [pull for pull in (pulls if notable is None else notable) if pull.revert_signs is not NO_SIGNS]
    targets = _possible_targets(signed, pulls, shas)
    by_number = {pull.number: pull for pull in targets}
    # Pull requests that were merged together have the same merge commit. Such a commit means the pull request with the lowest number.
    by_merge = {pull.merge_sha: pull.number for pull in sorted(targets, key=lambda pull: -pull.number) if pull.merge_sha}
    found: dict[int, Revert] = {}
    put_back: dict[int, list[int]] = {}
    # The order is that of merging. So it is already known whether the target, which was merged earlier, is a revert itself.
    for pull in sorted(signed, key=_merge_order):
        target = _target(pull, by_merge, repositories=repositories, shas=shas)
        if target is None:
            continue
        if target.target_pull is not None and not _is_merged_before(by_number.get(target.target_pull), pull):
            target = Revert(pull.number)
        if target.target_pull in found:
            put_back.setdefault(found[target.target_pull].number, []).append(pull.number)
        else:
            found[pull.number] = target
    return {number: Revert(number, revert.target_pull, revert.target_sha, tuple(put_back.get(number, ()))) for number, revert in found.items()}


def _possible_targets(signed: Iterable[PullRequest], pulls: Iterable[PullRequest], shas: Shas) -> list[PullRequest]:
    """Return those of the pull requests that a sign of a revert may mean."""
    signs = [pull.revert_signs for pull in signed]
    numbers = {number for one in signs for number in (one.pull, one.branch) if number is not None}
    merges = {shas.named(one.sha) for one in signs if one.sha and one.pull is None and one.branch is None} - {""}
    return [pull for pull in pulls if pull.number in numbers or pull.merge_sha in merges] if numbers or merges else []


def _target(pull: PullRequest, by_merge: Mapping[str, int], *, repositories: Collection[str], shas: Shas) -> Revert | None:
    """Return the revert that the pull request's signs describe; None if it is not a revert.

    Of several signs the first counts: the pull request that the body names, the branch, the sha, the title.
    `by_merge`: the number of the pull request that has each merge commit.
    """
    signs = pull.revert_signs
    if signs.pull is not None:
        is_own_repository = not signs.pull_repository or signs.pull_repository.lower() in repositories
        return Revert(pull.number, target_pull=signs.pull) if is_own_repository else None
    if signs.branch is not None:
        return Revert(pull.number, target_pull=signs.branch)
    if signs.sha:
        sha = shas.named(signs.sha)
        return Revert(pull.number, target_pull=by_merge[sha]) if sha in by_merge else Revert(pull.number, target_sha=sha)
    return Revert(pull.number) if signs.has_title else None


def _merge_order(pull: PullRequest) -> tuple[datetime, int]:
    return pull.merged_at, pull.number


def _is_merged_before(target: PullRequest | None, pull: PullRequest) -> bool:
    return target is not None and _merge_order(target) < _merge_order(pull)


def is_notable(pull: PullRequest, *, hotfix: str) -> bool:
    """Return whether a pull request may be a revert or a hotfix, or closes issues. Of a large repository only few are kept in memory.

    `hotfix`: the service's setting.
    """
    return pull.revert_signs is not NO_SIGNS or bool(pull.closes) or _has_pattern(pull, hotfix)


def hotfixes(pulls: Iterable[PullRequest], *, pattern: str, reverts: Collection[int]) -> list[PullRequest]:
    """Return the hotfixes, ordered by number.

    `pattern`: the service's setting; if it is empty, there are no hotfixes. `reverts`: the numbers of the reverts, which are not
    hotfixes.
    """
    return sorted((pull for pull in pulls if _has_pattern(pull, pattern) and pull.number not in reverts), key=lambda pull: pull.number)


def _has_pattern(pull: PullRequest, pattern: str) -> bool:
    return bool(pattern) and (bool(compiled(pattern).search(pull.head_branch)) or any(is_found(pattern, label) for label in pull.labels))
