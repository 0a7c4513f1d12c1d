"""What GitHub's rate limits leave us, as each answer says; and how many records a page may have."""

import time
from collections.abc import Mapping

from django.conf import settings

from etl_tasks.errors import RetriableError

SUCCESSES_BEFORE_GROWTH, MOST_SUCCESSES_BEFORE_GROWTH = 3, 24


class Budget:
    """The limits of one credential: "graphql" points and "core" requests, each by the hour."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, float]] = {}  # resource to remaining, limit, reset

    def read(self, resource: str, headers: Mapping[str, str]) -> None:
        values = [headers.get(f"X-RateLimit-{name}", "") for name in ("Remaining", "Limit", "Reset")]
        if all(value.isdecimal() for value in values):
            remaining, limit, reset = (int(value) for value in values)
            self._seen[resource] = remaining, limit, float(reset)

    def spare(self, resource: str) -> None:
        """Raise RetriableError, to be postponed until the reset, where a request would touch the reserve for people."""
        remaining, limit, reset = self._seen.get(resource, (1, 0, 0.0))
        wait = reset - time.time()
        if wait > 0 and remaining <= limit * settings.GITHUB_RESERVE_SHARE:
            raise RetriableError(
                f"{remaining} of GitHub's {limit} {resource} points of this hour are left, which are kept for people: it goes on after the reset",
                retry_after=wait + 1,
                postpone=True,
            )

    def left(self, resource: str) -> int | None:
        return self._seen[resource][0] if resource in self._seen else None


class PageSize:
    """Records a page: halved by a query that GitHub could not finish, doubled again after some that it could.

    `ceiling`: the largest page that is tried. `known`: the largest that has worked since a larger one did not (to begin
    with, its half); None while whole pages work. `asked`: how many the latest query asked for.
    """

    def __init__(self, *, start: int, largest: int, known: int | None = None) -> None:
        self.largest = largest
        self.known = min(known, largest) if known else None
        self.ceiling = self.known or largest
        self.size = self.asked = min(start, self.ceiling)
        self.successes = self.refuted = 0  # refuted: how often in a row it grew too soon

    @property
    def patience(self) -> int:
        """Where pages are at their limit, each try costs an attempt. A single failure may be chance."""
        return min(SUCCESSES_BEFORE_GROWTH * 2 ** max(0, self.refuted - 1), MOST_SUCCESSES_BEFORE_GROWTH)

    def succeeded(self) -> None:
        self.successes += 1
        if self.known and self.size > self.known:
            self.known = self.size if self.size < self.largest else None
            self.refuted = 0
        if self.successes >= self.patience and self.ceiling < self.largest:
            self.ceiling, self.successes = min(self.ceiling * 2, self.largest), 0
        self.size = min(self.size * 2, self.ceiling)

    def failed(self) -> None:
        if self.known and self.size > self.known:
            self.refuted += 1
        self.size = self.ceiling = self.known = max(1, self.size // 2)
        self.successes = 0


class PageSizes:
    """The page sizes of a source's lists, by the list's name. `remembered`: what GitHub could last finish, where that is less than a whole page."""

    def __init__(self, remembered: Mapping[str, int]) -> None:
        self._remembered = dict(remembered)
        self._sizes: dict[str, PageSize] = {}

    def of(self, name: str, *, largest: int, start: int | None = None) -> PageSize:
        if name not in self._sizes:
            self._sizes[name] = PageSize(start=start or largest, largest=largest, known=self._remembered.get(name))
        return self._sizes[name]

    def learned(self) -> dict[str, int] | None:
        """What is to be remembered now; None if that is nothing new."""
        known = {name: size.known for name, size in list(self._sizes.items()) if size.known}
        unused = {name: known for name, known in self._remembered.items() if name not in self._sizes}
        if (found := unused | known) == self._remembered:
            return None
        self._remembered = found
        return found
