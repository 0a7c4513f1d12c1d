"""Check that every line arrives once while a writer writes at full speed, a rotator rotates like logrotate, and readers are killed at random.

    python -m tests.etl_tasks.sources.logs.following.rotation_torture --seconds 300 --seed 1

runs rounds until the time is over and prints their totals. Processes are forked, so a reader starts within a millisecond and can be
killed at any point of its work. A new interpreter would mostly be killed during its imports. The processes sleep for random times, so
each of them is sometimes ahead of the others.
"""

import argparse
import gzip
import itertools
import json
import lzma
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import django
import zstandard

from etl_tasks.sources.logs.following.follow import Chunk, chunks
from tests.rotated_logs import rotated_files, shift

EVENT = re.compile(rb"^N (\d{9}) .*E$", re.MULTILINE)
OPENERS: dict[str, Callable[..., Any]] = {"gz": partial(gzip.open, compresslevel=1), "xz": partial(lzma.open, preset=0), "zst": zstandard.open}


def is_first_line(line: bytes) -> bool:
    return line.startswith(b"N ")


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # noqa: BLE001 (the child must not go on with the parent's code)
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def has_ended(child: int) -> bool:
    """Return whether the process has ended. Raises AssertionError if it failed."""
    ended, status = os.waitpid(child, os.WNOHANG)
    assert status == 0, f"process {child} failed"
    return bool(ended)


# --- the writer -------------------------------------------------------------------------------------------------------


def write(log: Path, *, events: int, is_multiline: bool, seed: int) -> None:
    """Write each event with one system call, as a logging handler does. Reopen the file after it was renamed."""
    rng = random.Random(seed)
    paddings = [b"x" * rng.choice((5, 40, 60, 100, 200)) for _ in range(1000)]
    descriptor, inode = -1, -1
    for number in range(events):
        if number % 50 == 0 and inode_of(log) != inode:
            if descriptor >= 0:
                os.close(descriptor)
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            inode = os.fstat(descriptor).st_ino
        trace = b"  goes on\n" * (number % 3) if is_multiline else b""
        os.write(descriptor, b"N %09d %s E\n%s" % (number, paddings[number % 1000], trace))


def inode_of(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


# --- the reader -------------------------------------------------------------------------------------------------------


def ledger(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "ledger.sqlite", timeout=60, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")  # the database must survive killed processes, but no power failure
    connection.execute("CREATE TABLE IF NOT EXISTS position (stream TEXT PRIMARY KEY, position TEXT)")
    connection.execute("CREATE TABLE IF NOT EXISTS arrived (first INTEGER, last INTEGER, stream TEXT, start INTEGER)")
    connection.execute("CREATE TABLE IF NOT EXISTS odd (what TEXT, last INTEGER)")
    return connection


def read(folder: Path, *, is_multiline: bool) -> int:
    """Read all files once. Store each chunk and its position in one transaction. Return the number of chunks."""
    found = 0
    with closing(ledger(folder)) as connection:
        positions = {stream: json.loads(position) for stream, position in connection.execute("SELECT * FROM position")}
        with suppress(FileNotFoundError):  # the file was renamed and the writer has not created the new one yet
            for chunk in chunks(str(folder / "app.log*"), positions, begins=is_first_line if is_multiline else None):
                found += 1
                _keep(connection, chunk, is_multiline=is_multiline)
    return found


def _keep(connection: sqlite3.Connection, chunk: Any, *, is_multiline: bool) -> None:
    connection.execute("BEGIN IMMEDIATE")
    if isinstance(chunk, Chunk):
        numbers = [int(number) for number in EVENT.findall(chunk.body)]
        runs = [(first, last, chunk.stream, chunk.start) for first, last in runs_of(numbers)]
        connection.executemany("INSERT INTO arrived VALUES (?, ?, ?, ?)", runs)
        connection.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", (chunk.stream, json.dumps(chunk.position)))
        place = f"at {chunk.start} of {chunk.path}"
        if chunk.body and not is_first_line(chunk.body):
            connection.execute("INSERT INTO odd VALUES (?, 0)", (f"begins in the middle of an event {place}",))
        if is_multiline and numbers and chunk.body.count(b"  goes on\n") != sum(number % 3 for number in numbers):
            connection.execute("INSERT INTO odd VALUES (?, ?)", (f"lines of an event are missing {place}", numbers[-1]))
    else:
        connection.execute("INSERT INTO odd VALUES (?, 0)", (f"unreadable: {chunk}",))
    connection.execute("COMMIT")


def runs_of(numbers: list[int]) -> Iterator[tuple[int, int]]:
    for _, group in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        yield run[0], run[-1]


# --- the rotator ------------------------------------------------------------------------------------------------------


class Rotator:
    """Rotates like logrotate until the writer ends: renames, copies and truncates, compresses and deletes, one at a time."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.log = folder / "app.log"
        self.rng = random.Random(seed)
        self.gaps: list[tuple[int, int]] = []  # numbers of the events that a truncation may have deleted, both ends included
        self.counts = dict.fromkeys(("rename", "copytruncate", "compress", "delete"), 0)

    def work(self, is_writer_done: Callable[[], bool]) -> None:
        while not is_writer_done():
            step = self.rng.choice(("rename", "rename", "copytruncate", "compress", "compress", "compress", "delete"))
            if getattr(self, step)(is_writer_done):
                self.counts[step] += 1
            time.sleep(self.rng.choice((0, 0, 0.001, 0.01)))
        (self.folder / "rotated.json").write_text(json.dumps({"gaps": self.gaps, "counts": self.counts}))

    def rename(self, is_writer_done: Callable[[], bool]) -> bool:
        if not self.log.exists():
            return False
        shift(self.folder)
        self.log.rename(self.folder / "app.log.1")
        # The old file may be compressed only after the writer has opened the new one.
        while not self.log.exists() and not is_writer_done():
            time.sleep(0.0005)
        return True

    def copytruncate(self, is_writer_done: Callable[[], bool]) -> bool:
        if not self.log.exists() or not self.log.stat().st_size:
            return False
        shift(self.folder)
        copy = self.folder / "app.log.1"
        with self.log.open("rb", buffering=0) as source, copy.open("wb", buffering=0) as target:
            while block := source.read(self.rng.choice((1000, 8192, 65536))):
                target.write(block)
                time.sleep(self.rng.choice((0, 0, 0, 0.001)))
        time.sleep(self.rng.choice((0, 0, 0.02)))  # in this time the reader may read lines that are not in the copy
        os.truncate(self.log, 0)
        while not self.log.stat().st_size and not is_writer_done():
            time.sleep(0.0005)
        last = numbers_of(copy.read_bytes()[-10_000:])
        following = numbers_of(self.log.read_bytes()[:10_000])
        self.gaps.append((last[-1] + 1, following[0] - 1 if following else sys.maxsize))
        return True

    def compress(self, _: Callable[[], bool]) -> bool:
        """Compress a rotated file, under a temporary or under its final name."""
        plain = [path for path in rotated_files(self.folder) if path.suffix[1:] not in OPENERS]
        if not plain:
            return False
        path, kind = self.rng.choice(plain), self.rng.choice(list(OPENERS))
        packed = path.with_name(f"{path.name}.{kind}")
        made = self.rng.choice((packed, packed.with_name(packed.name + ".tmp")))
        with path.open("rb") as source, OPENERS[kind](made, mode="wb") as target:
            while block := source.read(100_000):
                target.write(block)
                time.sleep(self.rng.choice((0, 0, 0.001)))
        made.rename(packed)
        time.sleep(self.rng.choice((0, 0.02)))
        path.unlink()
        return True

    def delete(self, _: Callable[[], bool]) -> bool:
        """Delete the oldest rotated file if all its events have been read."""
        rotated = rotated_files(self.folder)
        if len(rotated) < 3:
            return False
        oldest = rotated[-1]
        numbers = numbers_of(unpacked(oldest))
        with closing(ledger(self.folder)) as connection:
            arrived = connection.execute(
                "SELECT sum(min(last, ?) - max(first, ?) + 1) FROM arrived WHERE last >= ? AND first <= ?", (numbers[-1], numbers[0]) * 2
            )
            is_read = arrived.fetchone()[0] == len(numbers)
        if is_read:
            oldest.unlink()
        return is_read


def numbers_of(content: bytes) -> list[int]:
    return [int(number) for number in EVENT.findall(content)]


def unpacked(path: Path) -> bytes:
    opener = {".gz": gzip.open, ".xz": lzma.open, ".zst": zstandard.open}.get(path.suffix, open)
    with opener(path, "rb") as file:
        return file.read()


# --- a round ----------------------------------------------------------------------------------------------------------


def play(folder: Path, *, seed: int, events: int) -> dict[str, int]:
    """Run one round and return its counts. Raises AssertionError with the reason if an event is missing, repeated or damaged."""
    rng = random.Random(seed)
    is_multiline = rng.random() < 0.5
    ledger(folder).close()
    done = folder / "writer-is-done"

    def write_all() -> None:
        write(folder / "app.log", events=events, is_multiline=is_multiline, seed=seed)
        done.touch()

    rotator = Rotator(folder, seed)
    children = [forked(write_all), forked(lambda: rotator.work(done.exists))]
    runs = kills = 0
    while children:
        reader = forked(lambda: read(folder, is_multiline=is_multiline))
        time.sleep(rng.choice((0.005, 0.02, 0.1, 0.5)) * rng.random())
        os.kill(reader, signal.SIGKILL)
        _, status = os.waitpid(reader, 0)
        runs, kills = runs + 1, kills + os.WIFSIGNALED(status)
        assert status in (0, signal.SIGKILL), "the reader failed"
        children = [child for child in children if not has_ended(child)]
    for path in folder.glob("app.log*"):
        os.utime(path, (time.time() - 60,) * 2)
    while read(folder, is_multiline=is_multiline):
        pass
    rotated = json.loads((folder / "rotated.json").read_text())
    lost, kept = account(folder, events, rotated["gaps"])
    return {"events": events, "runs": runs, "kills": kills, **rotated["counts"], "lost_by_truncation": lost, "read_before_truncation": kept}


def account(folder: Path, events: int, gaps: list[tuple[int, int]]) -> tuple[int, int]:
    """Return (lost, kept): how many events truncations deleted unread, and how many they deleted after they were read.

    Raises AssertionError if any other event is missing, or if an event is repeated or damaged.
    """
    times = bytearray(events)
    with closing(ledger(folder)) as connection:
        odd = connection.execute("SELECT what, last FROM odd").fetchall()
        for first, last in connection.execute("SELECT first, last FROM arrived"):
            for number in range(first, last + 1):
                times[number] += 1
    in_danger = bytearray(events)
    for first, last in gaps:
        for number in range(first, min(last, events - 1) + 1):
            in_danger[number] = 1
    twice = [number for number, count in enumerate(times) if count > 1]
    missing = [number for number, count in enumerate(times) if not count and not in_danger[number]]
    torn = {first - 1 for first, _ in gaps}  # the copy may have ended within this event, between two lines
    strange = [what for what, last in odd if last not in torn]
    assert not twice, f"{len(twice)} came more than once: {list(runs_of(twice))[:10]}"
    assert not missing, f"{len(missing)} did not come: {list(runs_of(missing))[:10]}, in danger were {gaps}"
    assert not strange, strange
    lost = sum(1 for count, danger in zip(times, in_danger, strict=True) if danger and not count)
    return lost, sum(in_danger) - lost


def play_for(seconds: float, *, seed: int, events: int) -> dict[str, int]:
    total: dict[str, int] = {"rounds": 0}
    ends_at = time.monotonic() + seconds
    while not total["rounds"] or time.monotonic() < ends_at:
        folder = Path(tempfile.mkdtemp(prefix="torture-"))
        try:
            result = play(folder, seed=seed, events=events)
        except BaseException:
            print(f"round with seed {seed} of {events} events failed; its files: {folder}", file=sys.stderr)
            raise
        shutil.rmtree(folder)
        for name, count in {"rounds": 1, **result}.items():
            total[name] = total.get(name, 0) + count
        seed += 1
    return total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0, help="play rounds this long; one round in any case")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next ones count on")
    parser.add_argument("--events", type=int, default=1_000_000, help="a round")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
    django.setup()  # the errors of the code under test are translated
    print(json.dumps(play_for(options.seconds, seed=options.seed, events=options.events)))
