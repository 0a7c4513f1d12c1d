"""A log that is written and rotated in every way, and a copy of all its lines in a file that nothing happens to."""

import gzip
import os
import random
import shutil
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path

from soak.worlds import LOG_BEGIN
from tests.rotated_logs import rotated_files, shift

LINES = (20, 60, 300, 900)
LONG_LINE_CHARACTERS = 1_100_000  # more than the mebibyte at which a line is cut
PAUSE_S = 0.05  # between the steps of a rotation, so that a run may see the files in between


LETTERS = str.maketrans("0123456789", "abcdefghij")  # masking would take seven digits for a telephone number


def name_of(number: int) -> str:
    """Return the word by which the line is found again in an event or a letter."""
    return f"line-{number:07d}".translate(LETTERS)


class LogFiles:
    """`folder`: the log app.log and its rotated files. `untouched`: the file with all lines.

    Nothing writes while a rotation copies or truncates, so that no line is lost before the installation could read it.
    """

    def __init__(self, folder: Path, untouched: Path, seed: int) -> None:
        folder.mkdir()
        self.folder, self.log, self.untouched = folder, folder / "app.log", untouched
        self.pattern = f"{folder}/app.log*"
        self.rng = random.Random(f"{seed}/{folder.name}")
        self.written = 0
        self.poison: set[str] = set()
        self._numbers: dict[int, list[str]] = {}  # the names of the lines in each file, by inode
        self.write("write", self.rng)

    def write(self, what: str, rng: random.Random) -> None:
        """Append some lines, the last of which is a good one. `what`: "poison" if one of them cannot be read."""
        lines, names = [], []
        count = rng.choice(LINES)
        bad_at = rng.randrange(count) if what == "poison" else -1
        for index in range(count):
            name = name_of(self.written)
            if index == bad_at:
                self.poison.add(name)
                lines.append(_poison(name, rng))
                names.append(name)
                self.written += 1
                name = name_of(self.written)
            lines.append(_line(self.written, name))
            names.append(name)
            self.written += 1
        block = b"".join(lines)
        for path in (self.untouched, self.log):
            with path.open("ab", buffering=0) as file:
                file.write(block)
        self._numbers.setdefault(self.log.stat().st_ino, []).extend(names)

    def rotate(self, what: str, stored: Callable[[], Collection[str]]) -> str:
        """Do one rotation. `stored`: returns the names of the lines that are stored already. The text says why nothing was done."""
        return {
            "rename": self._rename,
            "copytruncate": self._copy_and_truncate,
            "compress": self._compress,
            "delete": lambda: self._delete(stored),
            "delete and recreate": lambda: self._delete_and_recreate(stored),
        }[what]()

    def _rename(self) -> str:
        shift(self.folder)
        self.log.rename(self.folder / "app.log.1")
        time.sleep(PAUSE_S)
        self.write("write", self.rng)
        return ""

    def _copy_and_truncate(self) -> str:
        shift(self.folder)
        copy = self.folder / "app.log.1"
        shutil.copyfile(self.log, copy)
        self._numbers[copy.stat().st_ino] = self._numbers.pop(self.log.stat().st_ino)
        time.sleep(PAUSE_S)
        os.truncate(self.log, 0)
        time.sleep(PAUSE_S)
        self.write("write", self.rng)
        return ""

    def _compress(self) -> str:
        plain = [path for path in rotated_files(self.folder) if path.suffix != ".gz"]
        if not plain:
            return "no rotated file is plain"
        path = self.rng.choice(plain)
        packed = path.with_name(f"{path.name}.gz")
        content = gzip.compress(path.read_bytes())
        with packed.open("wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            time.sleep(PAUSE_S)
            file.write(content[len(content) // 2 :])
        time.sleep(PAUSE_S)
        self._numbers[packed.stat().st_ino] = self._numbers.pop(path.stat().st_ino)
        path.unlink()
        return ""

    def _delete(self, stored: Callable[[], Collection[str]]) -> str:
        rotated = rotated_files(self.folder)
        if not rotated or not self._is_read(rotated[-1], stored()):
            return "there is no rotated file whose lines are all stored"
        self._numbers.pop(rotated[-1].stat().st_ino)
        rotated[-1].unlink()
        return ""

    def _delete_and_recreate(self, stored: Callable[[], Collection[str]]) -> str:
        if not self._is_read(self.log, stored()):
            return "not all lines are stored"
        self._numbers.pop(self.log.stat().st_ino)
        self.log.unlink()
        self.write("write", self.rng)
        return ""

    def _is_read(self, path: Path, stored: Collection[str]) -> bool:
        # The last line of every file is good. It is stored after the letters of all bad lines before it were written.
        return all(name in stored for name in self._numbers[path.stat().st_ino] if name not in self.poison)


def _line(number: int, name: str) -> bytes:
    at = (LOG_BEGIN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    is_bad = number // 300 % 7 == 3 and number % 3 == 0  # every half an hour, an outage of five minutes
    if number % 500 == 250:
        text = f"deployed {number:07x}abcde to production"
    else:
        text = f"call of agent {number % 37} took {number % 900} s {'x' * (number % 200)}"
    return f'{{"time": "{at}", "level": "{"error" if is_bad else "info"}", "message": "{name} {text}", "queue": "q{number % 9}"}}\n'.encode()


def _poison(name: str, rng: random.Random) -> bytes:
    """Return a line that is no event: cut, not JSON, not UTF-8, NUL, of wrong types, nested deeply, or very long."""
    return rng.choices(
        (
            f'{{"time": "2026-03-18T10:00:00Z", "message": "{name} is cut\n'.encode(),
            f"{name}: no JSON at all\n".encode(),
            b"\xc3\x28\xa0 " + name.encode() + b" is not UTF-8\n",
            b"\x00\x00 " + name.encode() + b" \x00 has NUL\n",
            f'["{name}", 1, null]\n'.encode(),
            f'{{"time": {{"no": "time"}}, "level": 7, "message": ["{name}"], "extra": \n'.encode(),
            b"[" * 5000 + name.encode() + b"\n",
            name.encode() + b" " + b"y" * LONG_LINE_CHARACTERS + b"\n",
        ),
        (4, 4, 4, 4, 4, 4, 2, 1),
    )[0]
