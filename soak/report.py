"""What a soak did and found, printed while it runs and at its end."""

import threading
import time
from collections import Counter

from soak.plan import Step


class Report:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.done: Counter[str] = Counter()
        self.not_possible: Counter[str] = Counter()
        self.violations: list[str] = []

    def now(self) -> float:
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        with self._lock:
            print(f"[{self.now():7.1f} s] {text}", flush=True)

    def count(self, step: Step, reason: str) -> None:
        """Count a step. `reason`: why it was not possible, or "" if it was."""
        with self._lock:
            (self.not_possible if reason else self.done)[f"{step.lane}: {step.what} {step.target}".rstrip()] += 1

    def violation(self, text: str) -> None:
        self.violations.append(text)
        self.say(f"VIOLATION {text}")

    def total(self, lane: str) -> int:
        return sum(count for name, count in self.done.items() if name.startswith(lane))

    def print_counts(self) -> None:
        for lane in ("fault", "action", "log"):
            counts = [f"{name.partition(': ')[2]} {count}" for name, count in sorted(self.done.items()) if name.startswith(lane)]
            failed = sum(count for name, count in self.not_possible.items() if name.startswith(lane))
            self.say(f"{self.total(lane)} of lane {lane} done, {failed} not possible at their moment: {', '.join(counts)}")
