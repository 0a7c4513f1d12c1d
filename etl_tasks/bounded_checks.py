"""Ask a server something and wait only for a limited time, even if the server accepts the connection and then never answers."""

import os
import threading
from collections.abc import Callable
from typing import Any

from django.db import connections


class Unanswered(Exception):
    """The check has not ended within the time."""


class BoundedCheck:
    """Runs a check in a thread of its own and waits for the result for a limited time.

    A thread cannot be stopped. One that waits for a server that hangs goes on until its own timeout, but meanwhile no second one is
    started: callers share the running check. So however often a probe asks, a process has at most one thread and one connection for each
    BoundedCheck.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: _Attempt | None = None

    def begin(self, check: Callable[[], Any]) -> Callable[[float], Any]:
        """Start the check, or join the one that is running. Return a function that waits for the result.

        The function takes the most seconds to wait. It returns what the check returned, raises what the check raised, or raises Unanswered.
        """
        with self._lock:
            attempt = self._running
            if attempt is None or attempt.is_over:
                attempt = self._running = _Attempt(check)
        return attempt.result


class _Attempt:
    def __init__(self, check: Callable[[], Any]) -> None:
        self._check = check
        self._process_id = os.getpid()
        self._has_ended = threading.Event()
        self._returned: Any = None
        self._raised: Exception | None = None
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self._has_ended.is_set() or self._process_id != os.getpid()  # threads do not survive a fork

    def result(self, timeout_s: float) -> Any:
        if not self._has_ended.wait(max(timeout_s, 0)):
            raise Unanswered
        if self._raised is not None:
            raise self._raised
        return self._returned

    def _run(self) -> None:
        try:
            self._returned = self._check()
        except Exception as exc:  # noqa: BLE001  it is raised again in the thread that waits for the result
            self._raised = exc
        finally:
            connections.close_all()  # Django opens a connection for each thread
            self._has_ended.set()
