"""The stored commits of a repository as a graph: which commits a commit reaches, and which of those are missing."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from dora_metrics.models import Commit, Repository

SHAS_A_QUERY = 500


def parents_of(repository: Repository) -> dict[str, list[str]]:
    """Return the parents of every stored commit."""
    return dict(Commit.present.filter(repository=repository).values_list("sha", "parents"))


def reached(heads: Iterable[str], parents: Mapping[str, Collection[str]], *, known: Collection[str] = ()) -> tuple[set[str], list[str]]:
    """Return the stored commits that `heads` reach without passing through `known`, and the missing ones in the order of `heads`."""
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
    """Return whether a commit of `shas` is neither stored nor in `asked`. It does not load the history, which most nights do not need."""
    stored = Commit.present.filter(repository=repository)
    return any(stored.filter(sha__in=batch).count() < len(batch) for batch in batches(set(shas) - set(asked)))


def batches(shas: Collection[str]) -> Iterator[list[str]]:
    """Yield sorted lists of shas, each short enough for one SQL query."""
    ordered = sorted(shas)
    for start in range(0, len(ordered), SHAS_A_QUERY):
        yield ordered[start : start + SHAS_A_QUERY]
