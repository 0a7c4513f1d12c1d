"""Wait for a condition instead of sleeping for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
INTERVAL_S = 0.05


def wait_until(condition: Callable[[], T], *, timeout_s: float = 60, explain: Callable[[], str] | None = None) -> T:
    """Call `condition` until it returns something true, and return that.

    Fails the test after `timeout_s` seconds with the text of `explain`.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(explain() if explain else f"the condition was not true within {timeout_s:g} seconds")
        time.sleep(INTERVAL_S)
    return found
