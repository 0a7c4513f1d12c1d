"""Rate limits per reader: points for GraphQL, requests for REST."""

import math
import threading
import time
from collections import Counter
from dataclasses import dataclass

GRAPHQL, REST = "graphql", "core"


@dataclass(frozen=True, slots=True)
class Left:
    resource: str
    limit: int
    used: int
    reset: int

    @property
    def remaining(self) -> int:
        return self.limit - self.used

    @property
    def headers(self) -> dict[str, str]:
        values = {"Limit": self.limit, "Remaining": self.remaining, "Used": self.used, "Reset": self.reset, "Resource": self.resource}
        return {f"X-RateLimit-{name}": str(value) for name, value in values.items()}


class Budget:
    """How many points and requests each reader has used. Every `reset_seconds` of real time, all of them begin again with 0.

    `limit`: the most points, and also the most requests, of a reader in that time.
    """

    def __init__(self, *, limit: int, reset_seconds: float) -> None:
        self.limit, self.reset_seconds = limit, reset_seconds
        self._lock = threading.Lock()
        self._used: Counter[tuple[str, str]] = Counter()
        self._ends = time.time() + reset_seconds

    def left(self, reader: str, resource: str) -> Left:
        with self._lock:
            if time.time() >= self._ends:
                self._begin()
            return Left(resource, self.limit, min(self.limit, self._used[reader, resource]), math.ceil(self._ends))

    def spend(self, reader: str, resource: str, points: int) -> None:
        with self._lock:
            self._used[reader, resource] += points

    def reset(self) -> None:
        with self._lock:
            self._begin()

    def _begin(self) -> None:
        self._used.clear()
        self._ends = time.time() + self.reset_seconds
