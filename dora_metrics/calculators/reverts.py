"""Which pull requests are reverts, of what, and which are hotfixes: docs/metrics.md, "Revert" and "Hotfix"."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dora_metrics.calculators.facts import PullRequest
from dora_metrics.calculators.history import Shas
from dora_metrics.patterns import compiled


@dataclass(frozen=True, slots=True)
class Revert:
    """`target_pull` and `target_sha`: what it reverts, one of the two; neither where that is unknown.

    `put_back_by`: the pull requests that revert this revert.
    """

    number: int
    target_pull: int | None = None
    target_sha: str = ""
    put_back_by: tuple[int, ...] = ()


def reverts(pulls: Sequence[PullRequest], *, repositories: Collection[str], shas: Shas) -> dict[int, Revert]:
    """By number; without the reverts of reverts. `repositories`: the service's own names, in small letters."""
    by_number = {pull.number: pull for pull in pulls}
    # Two that were merged together have one merge commit: the lower number stands for it.
    by_merge = {pull.merge_sha: pull.number for pull in sorted(pulls, key=lambda pull: -pull.number) if pull.merge_sha}
    found: dict[int, Revert] = {}
    put_back: dict[int, list[int]] = {}
    # In the order of merging: what a revert names was merged before, and so is known to be a revert or not.
    for pull in sorted(pulls, key=_merged):
        target = _target(pull, by_merge, repositories=repositories, shas=shas)
        if target is None:
            continue
        if target.target_pull is not None and not _is_before(by_number.get(target.target_pull), pull):
            target = Revert(pull.number)
        if target.target_pull in found:
            put_back.setdefault(found[target.target_pull].number, []).append(pull.number)
        else:
            found[pull.number] = target
    return {number: Revert(number, one.target_pull, one.target_sha, tuple(put_back.get(number, ()))) for number, one in found.items()}


def _target(pull: PullRequest, by_merge: Mapping[str, int], *, repositories: Collection[str], shas: Shas) -> Revert | None:
    """By the first sign that is there; None for no revert at all."""
    signs = pull.revert_signs
    if signs.pull is not None:
        is_ours = not signs.pull_repository or signs.pull_repository.lower() in repositories
        return Revert(pull.number, target_pull=signs.pull) if is_ours else None
    if signs.branch is not None:
        return Revert(pull.number, target_pull=signs.branch)
    if signs.sha:
        sha = shas.named(signs.sha)
        return Revert(pull.number, target_pull=by_merge[sha]) if sha in by_merge else Revert(pull.number, target_sha=sha)
    return Revert(pull.number) if signs.has_title else None


def _merged(pull: PullRequest) -> tuple[object, int]:
    return pull.merged_at, pull.number


def _is_before(target: PullRequest | None, pull: PullRequest) -> bool:
    return target is not None and (target.merged_at, target.number) < (pull.merged_at, pull.number)


def hotfixes(pulls: Sequence[PullRequest], *, expression: str, reverts: Collection[int]) -> list[PullRequest]:
    """By number. An empty expression finds none."""
    if not expression:
        return []
    is_hotfix = compiled(expression)
    found = (pull for pull in pulls if pull.number not in reverts and any(is_hotfix.search(text) for text in (*pull.labels, pull.head_branch)))
    return sorted(found, key=lambda pull: pull.number)
