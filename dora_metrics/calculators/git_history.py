"""Git's history: find the commit that a shortened sha names, and find out whether one commit descends from another."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

SHORTEST_SHA, FULL_SHA = 7, 40
NOT_COLLECTED = -1


class History(Mapping[str, tuple[str, ...]]):
    """A repository's history: each collected commit with its parents.

    A large repository has tens of thousands of commits. So each sha is in memory once, and a commit is known by its number otherwise. A
    parent that was not collected has a number, too. What a caller finds out about each commit fits into an array.
    """

    def __init__(self, parents: Mapping[str, Iterable[str]] | None = None) -> None:
        self._numbers: dict[str, int] = {}
        self._shas: list[str] = []
        self._begins = array("i")  # for each commit, where its parents are in `_parents`: their count, then their numbers
        self._parents = array("i")
        self._count = 0
        self._generations = array("i")
        for sha, of_sha in (parents or {}).items():
            self.add(sha, of_sha)

    @classmethod
    def of(cls, parents: Mapping[str, tuple[str, ...]]) -> "History":
        return parents if isinstance(parents, cls) else cls(parents)

    def add(self, sha: str, parents: Iterable[str]) -> None:
        """Add a commit that has not been added yet."""
        number, begin = self._numbered(sha), len(self._parents)
        numbers = [self._numbered(parent) for parent in parents]
        self._begins[number] = begin
        self._parents.append(len(numbers))
        self._parents.extend(numbers)
        self._count += 1

    def _numbered(self, sha: str) -> int:
        number = self._numbers.setdefault(sha, len(self._shas))
        if number == len(self._shas):
            self._shas.append(sha)
            self._begins.append(NOT_COLLECTED)
        return number

    def number_of(self, sha: str) -> int | None:
        """Return the commit's number, which is less than `size`. None if it was not collected and is no parent of a collected commit."""
        return self._numbers.get(sha)

    @property
    def size(self) -> int:
        return len(self._shas)

    def same(self, sha: str) -> str:
        """Return the string that is in memory already, if the history has the sha."""
        number = self._numbers.get(sha)
        return sha if number is None else self._shas[number]

    def parents_of(self, number: int) -> Sequence[int]:
        """Return the numbers of the commit's parents; none if it was not collected."""
        begin = self._begins[number]
        return () if begin == NOT_COLLECTED else self._parents[begin + 1 : begin + 1 + self._parents[begin]]

    def __getitem__(self, sha: str) -> tuple[str, ...]:
        if sha not in self:
            raise KeyError(sha)
        return tuple(self._shas[parent] for parent in self.parents_of(self._numbers[sha]))

    def __contains__(self, sha: object) -> bool:
        number = self._numbers.get(sha)  # type: ignore[call-overload]
        return number is not None and self._begins[number] != NOT_COLLECTED

    def __iter__(self) -> Iterator[str]:
        return (sha for sha, begin in zip(self._shas, self._begins, strict=True) if begin != NOT_COLLECTED)

    def __len__(self) -> int:
        return self._count

    def is_true_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Return whether `descendant` descends from `ancestor`; False if they are the same commit or the history lacks either of them.

        A commit's generation is greater than the generation of each of its ancestors. So if `descendant` has no greater
        generation than `ancestor`, the answer is False without a walk through the history. For most deployments this is the case.
        Otherwise the walk leaves out all commits whose generation is not greater than that of `ancestor`.
        """
        if ancestor == descendant or ancestor not in self or descendant not in self:
            return False
        generations, sought, start = self._known_generations(), self._numbers[ancestor], self._numbers[descendant]
        lowest = generations[sought]
        seen: set[int] = set()
        waiting = [start] if generations[start] > lowest else []
        while waiting:
            for parent in self.parents_of(waiting.pop()):
                if parent == sought:
                    return True
                if parent not in seen and generations[parent] > lowest:
                    seen.add(parent)
                    waiting.append(parent)
        return False

    @property
    def generations(self) -> Mapping[str, int]:
        """The generation of each commit: 1 if it has no known parent, otherwise one more than the highest generation of its parents."""
        generations = self._known_generations()
        return {sha: generations[self._numbers[sha]] for sha in self}

    def _known_generations(self) -> "array[int]":
        """Return the generation of each commit, by its number; 0 if it was not collected."""
        if not self._generations:
            self._generations = self._find_generations()
        return self._generations

    def _find_generations(self) -> "array[int]":
        found = array("i", bytes(4 * self.size))
        # A parent that was begun and not found leads back to the commit itself, which git does not allow: it is left out.
        begun = bytearray(self.size)
        # History was collected from the youngest commit to the oldest. In reverse, most parents come before their children.
        for start in range(self.size - 1, -1, -1):
            waiting = [start] if self._begins[start] != NOT_COLLECTED else []
            while waiting:
                number = waiting[-1]
                if found[number]:
                    waiting.pop()
                    continue
                begun[number] = True
                parents = [parent for parent in self.parents_of(number) if self._begins[parent] != NOT_COLLECTED]
                if missing := [parent for parent in parents if not begun[parent]]:
                    waiting.extend(missing)
                    continue
                found[number] = 1 + max((found[parent] for parent in parents), default=0)
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
