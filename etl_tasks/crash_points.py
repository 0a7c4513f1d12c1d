"""Named places before and after the commits of a stage, at which tests pause or kill a worker.

A place does nothing unless ETL_PAUSE_AT or ETL_CRASH_AT has its name.
"""

import os
import signal
import time
from pathlib import Path


def crash_point(name: str) -> None:
    """Pause if ETL_PAUSE_AT is `name`. Kill the process group if ETL_CRASH_AT is `name`.

    ETL_PAUSE_SECONDS: the length of the pause; default: 2. ETL_CRASH_TIMES: how often this place kills, in all processes together;
    default: 1. A file in ETL_CRASH_FOLDER counts how often it has killed. ETL_CRASH_CHILD: if it is set, only this process is killed.
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
