"""Named places around the commits of a stage where tests kill or pause a worker. Without ETL_CRASH_AT and ETL_PAUSE_AT they do nothing."""

import os
import signal
import time
from pathlib import Path


def crash_point(name: str) -> None:
    """Pause here if ETL_PAUSE_AT names this place; kill the process group if ETL_CRASH_AT does.

    It kills ETL_CRASH_TIMES times in all (default 1), counted by a file in ETL_CRASH_FOLDER. ETL_CRASH_CHILD: kill only this process.
    """
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
