"""Every line is read once, and in order per file, whatever happens to the files between and during reads."""

import gzip
import lzma
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.etl_tasks.sources.logs.following.follower import Follower, append

PACKERS = {"gz": gzip.compress, "xz": lzma.compress, "zst": zstandard.compress}


class Server:
    """Writes numbered lines and rotates its logs. Slow operations run in steps, so other operations can happen in between.

    `banner`: the same first lines in each new file. A file is told from an earlier one with the same banner by its marks, hashes at certain
    offsets. Each line here is longer than the distance between two marks. docs/logs.md says what may happen to shorter lines.
    """

    def __init__(self, folder: Path, banner: str) -> None:
        self.log = folder / "app.log"
        self.banner = banner
        self.written = 0
        self._underway: Iterator[None] = iter(())

    def write(self, count: int) -> None:
        is_new = not self.log.exists() or not self.log.stat().st_size
        lines = "".join(f"{number:05d} {'x' * (60 + number % 40)}\n" for number in range(self.written, self.written + count))
        append(self.log, (self.banner if is_new else "") + lines)
        self.written += count

    def go_on(self) -> None:
        next(self._underway, None)

    def finish(self) -> None:
        for _ in self._underway:
            pass

    def rename(self) -> None:
        self.finish()
        if self.log.exists():
            self._shift()
            self.log.rename(self.log.with_name("app.log.1"))

    def copytruncate(self) -> None:
        self.finish()
        if self.log.exists():
            self._shift()
            self._underway = self._copying()

    def compress(self, kind: str) -> None:
        self.finish()
        plain = [path for path in self._rotated() if path.suffix[1:] not in PACKERS]
        if plain:
            self._underway = self._packing(plain[-1], kind)

    def cross_to_another_device(self) -> None:
        """Copy the file, then remove the original, as `mv` does."""
        self.finish()
        for path in self._rotated()[:1]:
            shutil.copy(path, path.with_name("moving"))
            path.unlink()
            path.with_name("moving").rename(path)

    def delete_oldest(self) -> None:
        self.finish()
        for path in self._rotated()[-1:]:
            path.unlink()

    def truncate(self) -> None:
        self.finish()
        if self.log.exists():
            os.truncate(self.log, 0)

    def _copying(self) -> Iterator[None]:
        copy = self.log.with_name("app.log.1")
        for share in (3, 2):
            copy.write_bytes(self.log.read_bytes()[: self.log.stat().st_size // share])
            yield
        shutil.copy(self.log, copy)
        os.truncate(self.log, 0)

    def _packing(self, path: Path, kind: str) -> Iterator[None]:
        packed, content = path.with_name(f"{path.name}.{kind}"), PACKERS[kind](path.read_bytes())
        for length in (len(content) // 2, len(content) - 3, len(content)):
            packed.write_bytes(content[:length])
            yield
        path.unlink()

    def _rotated(self) -> list[Path]:
        return sorted(self.log.parent.glob("app.log.*"), key=lambda path: int(path.name.split(".")[2]))

    def _shift(self) -> None:
        for path in reversed(self._rotated()):
            _, _, number, *kind = path.name.split(".")
            path.rename(path.with_name(".".join(["app", "log", str(int(number) + 1), *kind])))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 60)),
        st.tuples(st.just("compress"), st.sampled_from(list(PACKERS))),
        st.tuples(st.sampled_from(["read", "go_on", "go_on", "rename", "copytruncate", "cross_to_another_device", "delete_oldest", "truncate"])),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps, banner=st.sampled_from(["", "started\n", "#Fields: date time method path status\n" * 9]))
def test_every_line_arrives_once_and_in_its_order(steps, banner):
    with tempfile.TemporaryDirectory() as folder:
        server, follower, found = Server(Path(folder), banner), Follower(Path(folder) / "app.log*"), []
        server.write(1)
        server.log.with_name("app.log-empty").touch()  # a pattern that matches no file is an error
        for name, *how in steps:
            if name in ("delete_oldest", "truncate"):
                server.finish()
                found += follower.new_lines()  # the next step deletes lines, so they are read before
            if name == "read":
                found += follower.new_lines()
            else:
                getattr(server, name)(*how)
        server.finish()
        server.write(1)
        found += follower.new_lines()

        numbers = Counter(line[:5] for line in found if line[:5].isdigit())
        assert numbers == Counter(f"{number:05d}" for number in range(server.written))
        assert len(set(follower.ids)) == len(follower.ids)
        assert follower.new_lines() == []
        assert follower.unreadable == []
        for identity in {identity for identity, _ in follower.ids}:
            offsets = [offset for other, offset in follower.ids if other == identity]
            assert offsets == sorted(offsets)
