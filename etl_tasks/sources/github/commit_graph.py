"""The stored commits of a repository as a graph: which commits can be reached from a commit, and which of them are not stored."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from dora_metrics.models import Commit, Repository

SHAS_A_QUERY = 500


def parents_of(repository: Repository) -> dict[str, list[str]]:
    """Return the parents of every stored commit."""
    return dict(Commit.present.filter(repository=repository).values_list("sha", "parents"))


def reached(heads: Iterable[str], parents: Mapping[str, Collection[str]], *, known: Collection[str] = ()) -> tuple[set[str], list[str]]:
    """Return the stored commits that can be reached from `heads` without passing through `known`, and those on the way that are not stored.

    `parents`: the parents of each stored commit. The commits that are not stored are in the order of `heads`.
    """
    stored: set[str] = set()
    missing: dict[str, None] = {}
    for head in heads:
        waiting = [head] if head else []
        while waiting:
            sha = waiting.pop()
            if sha in stored or sha in known:
                continue
            if sha not in parents:
                missing[sha] = None
                continue
            stored.add(sha)
            waiting.extend(parents[sha])
    return stored, list(missing)


def has_unknown(repository: Repository, shas: Collection[str], *, asked: Iterable[str]) -> bool:
    """Return whether any commit in `shas` is neither stored nor in `asked`: the commits for which earlier runs have asked GitHub.

    It counts rows in the database. It does not load the whole history, because most nights do not need that.
    """
    stored = Commit.present.filter(repository=repository)
    return any(stored.filter(sha__in=batch).count() < len(batch) for batch in batches(set(shas) - set(asked)))


def batches(shas: Collection[str]) -> Iterator[list[str]]:
    """Yield sorted lists of shas, each short enough for one SQL query."""
    ordered = sorted(shas)
    for start in range(0, len(ordered), SHAS_A_QUERY):
        yield ordered[start : start + SHAS_A_QUERY]
