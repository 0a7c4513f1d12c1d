"""Git's history: which commit a shortened sha names, and which commit descends from which."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping

SHORTEST_SHA, FULL_SHA = 7, 40


class History:
    """A repository's history. `parents`: each collected commit with its parents."""

    def __init__(self, parents: Mapping[str, tuple[str, ...]]) -> None:
        self.parents = parents
        self._generations: dict[str, int] = {}

    def is_true_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Return whether `descendant` descends from `ancestor`; False if they are the same commit or the history lacks one of them.

        A commit's generation is greater than that of each of its ancestors. So no walk is needed if the ancestor's generation is not
        the lower one, as in most deployments, and the walk of a rollback ends at the ancestor's generation.
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
        """Each commit's generation: 1 without known parents, otherwise one more than the highest of its parents."""
        if not self._generations:
            self._generations = _generations(self.parents)
        return self._generations


def _generations(parents: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    found: dict[str, int] = {}
    # In reverse: history was collected from the youngest commit on, so most parents come before their children this way.
    for start in reversed(list(parents)):
        waiting = [start]
        while waiting:
            sha = waiting[-1]
            if sha in found:
                waiting.pop()
                continue
            missing = [parent for parent in parents[sha] if parent in parents and parent not in found]
            if missing:
                waiting.extend(missing)
                continue
            found[sha] = 1 + max((found[parent] for parent in parents[sha] if parent in parents), default=0)
            waiting.pop()
    return found


class Shas:
    """Finds shas by their first digits. They are sorted at the first look-up, because most services need none."""

    def __init__(self, *groups: Iterable[str]) -> None:
        self._groups = groups
        self._known: set[str] | None = None
        self._sorted: list[str] = []

    def named(self, text: str) -> str:
        """Return the sha that is `text` or begins with it; "" if there is none or several, or for fewer than 7 digits."""
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
