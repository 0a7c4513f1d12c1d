"""Run the worker and beat, and restart each when it ends, until SIGTERM: python -m soak.supervisor FOLDER"""

import sys
from pathlib import Path

from callcentersite.local_processes import beat_command, keep_running, processes, worker_command
from soak.servers import ROOT


def main(folder: Path) -> None:
    commands = {"worker": worker_command(concurrency=2), "beat": beat_command(folder)}
    with processes(commands, folder=folder, env={}, cwd=ROOT) as running:
        keep_running(running, commands, folder=folder, env={}, cwd=ROOT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
