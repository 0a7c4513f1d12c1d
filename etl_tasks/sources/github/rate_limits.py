"""How much of GitHub's hourly rate limits is left, according to the latest answers. Runs leave a reserve of it to the people who share it."""

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import DatabaseError
from django.utils.timezone import now

from etl_tasks.errors import RetriableError
from etl_tasks.heartbeats import store_budget

logger = logging.getLogger(__name__)


class RateLimits:
    """The hourly limits of one credential: "graphql" points and "core" (REST) requests."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int, float]] = {}  # by resource: remaining, limit, time of the reset
        self._seen_at: datetime | None = None
        self._stored_at: datetime | None = None

    def update(self, resource: str, headers: Mapping[str, str]) -> None:
        """Store the limit that an answer's headers report. `resource`: "graphql" or "core"."""
        values = [headers.get(f"X-RateLimit-{name}", "") for name in ("Remaining", "Limit", "Reset")]
        if all(value.isdecimal() for value in values):
            remaining, limit, reset = (int(value) for value in values)
            known, _, until = self._seen.get(resource, (remaining, 0, reset))
            if until == reset:  # requests run side by side, so an older answer may arrive later
                remaining = min(remaining, known)
            self._seen[resource] = remaining, limit, float(reset)
            self._seen_at = now()

    def store(self, credential: str, *, interval: timedelta = timedelta()) -> None:
        """Store what the answers said, so that other processes can show it. Do nothing if there is no news, or if `interval` is not over.

        An error is only logged, because a run must not fail for a number that people look at.
        """
        seen_at = self._seen_at
        if seen_at is None or (self._stored_at is not None and seen_at <= self._stored_at + interval):
            return
        try:
            store_budget(credential, dict(self._seen), seen_at)
        except (DatabaseError, ValueError, OverflowError, OSError):  # the last three: the reset is no possible time
            logger.exception("budget_not_stored", extra={"credential": credential})
        self._stored_at = seen_at

    def raise_if_reserve_reached(self, resource: str) -> None:
        """Raise RetriableError, which postpones the run until the reset, if only the reserve for people is left."""
        remaining, limit, reset = self._seen.get(resource, (1, 0, 0.0))
        wait = reset - time.time()
        if wait > 0 and remaining <= limit * settings.GITHUB_RESERVE_SHARE:
            raise RetriableError(
                f"{remaining} of GitHub's {limit} {resource} points of this hour are left, which are kept for people: it goes on after the reset",
                retry_after=wait + 1,
                postpone=True,
            )

    def remaining(self, resource: str) -> int | None:
        """Return how many points or requests are left; None before the first answer."""
        return self._seen[resource][0] if resource in self._seen else None
