"""The worker with two children, and beat. A supervisor restarts what was killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from callcentersite.local_processes import left_behind, stop
from soak.servers import ROOT

SUPERVISOR_STOP_S = 60


class Processes:
    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self._env = {**os.environ, **env}

    def __enter__(self) -> Self:
        self.folder.mkdir()
        command = [sys.executable, "-m", "soak.supervisor", str(self.folder)]
        with open(self.folder / "supervisor.log", "ab") as log:
            self._supervisor = subprocess.Popen(command, env=self._env, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.terminate()
        try:
            self._supervisor.wait(SUPERVISOR_STOP_S)
        except subprocess.TimeoutExpired:
            stop(self._supervisor)
        for pid in left_behind(self.folder):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    @property
    def are_supervised(self) -> bool:
        return self._supervisor.poll() is None

    def pid(self, name: str) -> int | None:
        """Return the id of the running process `name`: worker or beat."""
        with suppress(OSError):
            number = (self.folder / f"{name}.running").read_text().strip()
            if number.isdigit() and Path(f"/proc/{number}").exists():
                return int(number)
        return None

    def children(self) -> list[int]:
        """Return the ids of the worker's children, which run the tasks."""
        pid = self.pid("worker")
        if pid is None:
            return []
        with suppress(OSError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""
