"""What GitHub's rate limits leave us, as each answer says; and how many records a page may have."""

import time
from collections.abc import Mapping

from django.conf import settings

from etl_tasks.errors import RetriableError

SUCCESSES_BEFORE_GROWTH = 3


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
    """Records a page: halved by a query that GitHub could not finish, doubled again after some that it could."""

    def __init__(self, *, start: int, largest: int) -> None:
        self.size, self.ceiling, self.largest = min(start, largest), largest, largest
        self.successes = 0

    def succeeded(self) -> None:
        self.successes += 1
        if self.successes >= SUCCESSES_BEFORE_GROWTH and self.ceiling < self.largest:
            self.ceiling, self.successes = min(self.ceiling * 2, self.largest), 0
        self.size = min(self.size * 2, self.ceiling)

    def failed(self) -> None:
        self.size = self.ceiling = max(1, self.size // 2)
        self.successes = 0
