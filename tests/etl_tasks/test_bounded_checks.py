"""A check that hangs is given up, and while it hangs no other thread is started for it."""

import threading
import time

import pytest

from etl_tasks.bounded_checks import BoundedCheck, Unanswered


def test_it_returns_or_raises_what_the_check_does() -> None:
    assert BoundedCheck().begin(lambda: 5)(1) == 5
    with pytest.raises(ZeroDivisionError):
        BoundedCheck().begin(lambda: 1 // 0)(1)


def test_a_check_that_hangs_is_given_up_and_shared_until_it_ends() -> None:
    hanging, checks = threading.Event(), BoundedCheck()
    asked = []

    def hang() -> str:
        asked.append("hang")
        hanging.wait(30)
        return "late"

    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(Unanswered):
            checks.begin(hang)(0.05)
    assert time.monotonic() - began < 5
    assert asked == ["hang"]

    waiting = checks.begin(hang)
    hanging.set()
    assert waiting(30) == "late"
    assert checks.begin(lambda: "new")(30) == "new"
