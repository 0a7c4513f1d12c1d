"""Start the stand-in for GitHub of the benchmark of a night, and tell it what to do."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 300.0


class GitHub:
    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid = url, pid

    def take_counts(self) -> dict[str, int]:
        """Return how many requests were answered since the last call."""
        return dict(self._tell("counts"))

    def wait_before_answers(self, seconds: float) -> None:
        self._tell("latency", seconds=seconds)

    def move_clock(self, moment: datetime) -> None:
        self._tell("clock", now=moment.isoformat())

    def _tell(self, what: str, **settings: Any) -> Any:
        request = urllib.request.Request(f"{self.url}/_bench/{what}", data=json.dumps(settings).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def github(folder: Path, worlds: dict[str, dict[str, Any]], clock: datetime) -> Iterator[GitHub]:
    """Serve generated repositories until the block ends. `worlds`: as in night_stand_in.py. `clock`: the time that the server shows."""
    address = folder / "github-address"
    address.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.night_stand_in", "--worlds", json.dumps(worlds), "--clock", clock.isoformat()]
    process = subprocess.Popen([*command, "--address", str(address)], cwd=ROOT)
    try:
        ends_at = time.monotonic() + PATIENCE_S
        while not address.exists():
            if process.poll() is not None or time.monotonic() > ends_at:
                sys.exit("bench night: the stand-in for GitHub did not start")
            time.sleep(0.05)
        yield GitHub(address.read_text(), process.pid)
    finally:
        process.terminate()
        process.wait()
