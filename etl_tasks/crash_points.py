"""Named places before and after everything that takes effect at once, at which tests pause or kill a process.

What takes effect at once is a transaction, a statement outside of transactions, a message to the broker, or a write to the log store. It has
a name, such as "extract.page"; its two places are "extract.page.before" and "extract.page.after". A test reads the code and fails if one
has no places.

A place does nothing unless ETL_PAUSE_AT or ETL_CRASH_AT has its name.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import transaction


@contextmanager
def commit(name: str) -> Iterator[None]:
    """Run the block in a transaction, with places just before and just after the commit."""
    with transaction.atomic():
        yield
        crash_point(f"{name}.before")
    crash_point(f"{name}.after")


@contextmanager
def crash_points(name: str) -> Iterator[None]:
    """Run the block, which takes effect at once without a transaction of its own, with places before and after it."""
    crash_point(f"{name}.before")
    yield
    crash_point(f"{name}.after")


def crash_point(name: str) -> None:
    """Pause if ETL_PAUSE_AT is `name`. Kill the process group if `name` is among the names of ETL_CRASH_AT, which are separated by commas.

    ETL_PAUSE_SECONDS: the length of the pause; default: 2. ETL_CRASH_TIMES: how often a place kills, in all processes together;
    default: 1. A file in ETL_CRASH_FOLDER counts how often it has killed. ETL_CRASH_CHILD: if it is set, only this process is killed.
    """
    if os.environ.get("ETL_PAUSE_AT") == name:
        time.sleep(float(os.environ.get("ETL_PAUSE_SECONDS", "2")))
    if name not in os.environ.get("ETL_CRASH_AT", "").split(","):
        return
    marker = Path(os.environ["ETL_CRASH_FOLDER"]) / f"crashed-{name}"
    if marker.exists() and marker.stat().st_size >= int(os.environ.get("ETL_CRASH_TIMES", "1")):
        return
    with marker.open("a") as file:
        file.write("x")
    if os.environ.get("ETL_CRASH_CHILD"):
        os.kill(os.getpid(), signal.SIGKILL)
    os.killpg(os.getpgid(0), signal.SIGKILL)
