"""Named places between two commits where the tests kill a worker; nothing unless ETL_CRASH_AT names one."""

import os
import signal
import time
from pathlib import Path


def crash_point(name: str) -> None:
    """Kill this process once (`ETL_CRASH_AT`), or pause (`ETL_PAUSE_AT`); the marker lies in ETL_CRASH_FOLDER."""
    if os.environ.get("ETL_PAUSE_AT") == name:
        time.sleep(float(os.environ.get("ETL_PAUSE_SECONDS", "2")))
    if os.environ.get("ETL_CRASH_AT") != name:
        return
    marker = Path(os.environ["ETL_CRASH_FOLDER"]) / f"crashed-{name}"
    if marker.exists() and marker.stat().st_size >= int(os.environ.get("ETL_CRASH_TIMES", "1")):
        return
    with marker.open("a") as file:
        file.write("x")
    if os.environ.get("ETL_CRASH_CHILD"):
        os.kill(os.getpid(), signal.SIGKILL)
    os.killpg(os.getpgid(0), signal.SIGKILL)
