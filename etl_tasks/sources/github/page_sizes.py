"""Choose how many records a query asks for: fewer after a query that GitHub could not finish, and more again after successes."""

from collections.abc import Mapping

SUCCESSES_BEFORE_GROWTH, MOST_SUCCESSES_BEFORE_GROWTH = 3, 24


class PageSize:
    """The number of records in one page of a list. A failure halves the size. A success doubles it, up to `ceiling`.

    `start`: the first size. `largest`: the largest size that may ever be tried. `ceiling`: the largest size that may be tried
    now; a failure sets it to the halved size, and several successes double it. `known`: after a failure, half of the failed size,
    and then the largest size that has worked since; None while no size has failed, and once `largest` works again. `asked`: the
    size of the latest query.
    """

    def __init__(self, *, start: int, largest: int, known: int | None = None) -> None:
        self.largest = largest
        self.known = min(known, largest) if known else None
        self.ceiling = self.known or largest
        self.size = self.asked = min(start, self.ceiling)
        self.successes = self.failed_growths = 0  # failed_growths: how many times in a row a larger size than `known` has failed

    @property
    def successes_needed(self) -> int:
        """Return how many queries must succeed before a larger size is tried: 3 at first, at most 24.

        The first failed growth does not change the number, because it may be chance. Each further one doubles it.
        """
        return min(SUCCESSES_BEFORE_GROWTH * 2 ** max(0, self.failed_growths - 1), MOST_SUCCESSES_BEFORE_GROWTH)

    def succeeded(self) -> None:
        self.successes += 1
        if self.known and self.size > self.known:
            self.known = self.size if self.size < self.largest else None
            self.failed_growths = 0
        if self.successes >= self.successes_needed and self.ceiling < self.largest:
            self.ceiling, self.successes = min(self.ceiling * 2, self.largest), 0
        self.size = min(self.size * 2, self.ceiling)

    def failed(self) -> None:
        if self.known and self.size > self.known:
            self.failed_growths += 1
        self.size = self.ceiling = self.known = max(1, self.size // 2)
        self.successes = 0


class PageSizes:
    """The page sizes of a source's lists, by the list's name. `remembered`: the sizes that earlier runs have stored (`known` in PageSize)."""

    def __init__(self, remembered: Mapping[str, int]) -> None:
        self._remembered = dict(remembered)
        self._sizes: dict[str, PageSize] = {}

    def of(self, name: str, *, largest: int, start: int | None = None) -> PageSize:
        if name not in self._sizes:
            self._sizes[name] = PageSize(start=start or largest, largest=largest, known=self._remembered.get(name))
        return self._sizes[name]

    def learned(self) -> dict[str, int] | None:
        """Return the sizes that should be stored now; None if they are the same as at the last call."""
        known = {name: size.known for name, size in list(self._sizes.items()) if size.known}
        unused = {name: known for name, known in self._remembered.items() if name not in self._sizes}
        if (found := unused | known) == self._remembered:
            return None
        self._remembered = found
        return found
