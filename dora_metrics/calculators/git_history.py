"""Git's history: find the commit that a shortened sha names, and find out whether one commit descends from another."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping

SHORTEST_SHA, FULL_SHA = 7, 40


class History:
    """A repository's history. `parents`: the parents of each collected commit."""

    def __init__(self, parents: Mapping[str, tuple[str, ...]]) -> None:
        self.parents = parents
        self._generations: dict[str, int] = {}

    def is_true_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Return whether `descendant` descends from `ancestor`; False if they are the same commit or the history lacks either of them.

        A commit's generation is greater than the generation of each of its ancestors. So if `descendant` has no greater
        generation than `ancestor`, the answer is False without a walk through the history. For most deployments this is the case.
        Otherwise the walk leaves out all commits whose generation is not greater than that of `ancestor`.
        """
        if ancestor == descendant or ancestor not in self.parents or descendant not in self.parents:
            return False
        generations = self.generations
        lowest = generations[ancestor]
        seen: set[str] = set()
        waiting = [descendant] if generations[descendant] > lowest else []
        while waiting:
            for parent in self.parents[waiting.pop()]:
                if parent == ancestor:
                    return True
                if parent not in seen and generations.get(parent, 0) > lowest:
                    seen.add(parent)
                    waiting.append(parent)
        return False

    @property
    def generations(self) -> Mapping[str, int]:
        """The generation of each commit: 1 if it has no known parent, otherwise one more than the highest generation of its parents."""
        if not self._generations:
            self._generations = _generations(self.parents)
        return self._generations


def _generations(parents: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    found: dict[str, int] = {}
    begun: set[str] = set()  # a parent that was begun and not found leads back to the commit itself, which git does not allow: it is left out
    # History was collected from the youngest commit to the oldest. In reverse, most parents come before their children.
    for start in reversed(list(parents)):
        waiting = [start]
        while waiting:
            sha = waiting[-1]
            if sha in found:
                waiting.pop()
                continue
            begun.add(sha)
            missing = [parent for parent in parents[sha] if parent in parents and parent not in found and parent not in begun]
            if missing:
                waiting.extend(missing)
                continue
            found[sha] = 1 + max((found[parent] for parent in parents[sha] if parent in found), default=0)
            waiting.pop()
    return found


class Shas:
    """Finds a sha by its first digits. The shas are sorted only at the first look-up, because for most services no sha is looked up."""

    def __init__(self, *groups: Iterable[str]) -> None:
        self._groups = groups
        self._known: set[str] | None = None
        self._sorted: list[str] = []

    def named(self, text: str) -> str:
        """Return the sha that equals `text`, or else the only sha that begins with it.

        Return "" if no sha or several shas begin with it, or if `text` is not a whole sha and has fewer than 7 digits.
        """
        if self._known is None:
            self._known = {sha for group in self._groups for sha in group if sha}
            self._sorted = sorted(self._known)
        if text in self._known:
            return text
        if len(text) < SHORTEST_SHA:
            return ""
        first = bisect_left(self._sorted, text)
        found = [sha for sha in self._sorted[first : first + 2] if sha.startswith(text)]
        return found[0] if len(found) == 1 else ""
