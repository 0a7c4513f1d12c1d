"""Read the bytes of a log file. A compressed file is recognised by its first bytes, not by its name, and is decompressed.

A compressed file can only be read forwards. If it is damaged, or was not written to its end yet, `read` returns the bytes before the fault, and
then `failure` says what is wrong.
"""

import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Self, cast

import msgspec
import zstandard

from etl_tasks.sources.logs.allowed_folders import ANYWHERE, OutsideRoots, Roots, Swapped
from etl_tasks.sources.logs.following.decompression import DECOMPRESSORS

TAIL_BYTES = 256
PIECE_BYTES = 1 << 20
# A file that unpacks to more than BOMB_BYTES, and to more than BOMB_RATIO times the compressed bytes, is a decompression bomb: few bytes that
# unpack to gigabytes. Logs normally stay below this ratio, because their lines differ at least in their times.
BOMB_BYTES = 64 << 20
BOMB_RATIO = 500

UNFINISHED = "Its compressed content is broken or not yet complete."
BOMB = "It unpacks to more than 500 times its size, as no log does: only the first 64 MiB were read."


class ListedFile(msgspec.Struct, frozen=True):
    """A file that matches the source's pattern, as it was when the matching files were listed.

    `real`: its path with links resolved. `place`: its device and inode, which stay the same when the file is renamed.
    """

    path: str
    real: str
    place: str
    size: int
    written_ns: int

    @property
    def version(self) -> str:
        return f"{self.size}:{self.written_ns}"


class FileMoved(Exception):
    """The file was moved, replaced or truncated after it was listed."""


class NotAFile(OSError):
    """The path leads to a folder, a pipe or a device."""


def inspect_file(path: str, roots: Roots = ANYWHERE) -> ListedFile:
    """Follow the links of a path and return the file there. Raises OutsideRoots, NotAFile or another OSError."""
    real = os.path.realpath(path)
    if not roots.hold(real):
        raise OutsideRoots
    found = os.stat(real)
    if not stat.S_ISREG(found.st_mode):
        raise NotAFile
    return ListedFile(path=path, real=real, place=place_of(found), size=found.st_size, written_ns=found.st_mtime_ns)


class NotUtf8(OSError):
    """The file is text in UTF-16 or UTF-32. Such text cannot be cut at newline bytes, because a newline takes two or four bytes."""


def check_encoding(head: bytes) -> None:
    """Raise NotUtf8 if `head`, the first bytes of a file, are UTF-16 or UTF-32: they begin with a byte order mark, or every other byte is NUL."""
    even, odd = head[::2], head[1::2]
    is_marked = head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))
    if is_marked or (len(odd) >= 8 and ((not any(odd) and all(even)) or (not any(even[: len(odd)]) and all(odd)))):
        raise NotUtf8


class LogContent:
    """The bytes of a file that is not compressed."""

    # A compressed file gets no more lines, so its last line is complete even without a newline.
    is_compressed = False
    failure = ""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._descriptor)

    def stat(self) -> os.stat_result:
        return os.fstat(self._descriptor)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`. At the end of the content, return b""."""
        piece = os.pread(self._descriptor, size, self._offset)
        self._offset += len(piece)
        return piece

    def seek(self, offset: int) -> bytes | None:
        """Go to an offset and return the bytes before it, at most TAIL_BYTES. Returns None if the content ends before the offset."""
        self._offset = offset
        length = min(offset, TAIL_BYTES)
        before = os.pread(self._descriptor, length, offset - length)
        return before if len(before) == length else None

    def head(self) -> bytes:
        return os.pread(self._descriptor, TAIL_BYTES, 0)

    def length(self) -> int:
        return self.stat().st_size

    def still_has(self, start: int, before: bytes, beginning: bytes) -> bool:
        """Return whether the bytes before offset `start` are still `before`. If `before` is empty, compare `beginning` with the bytes at `start`.

        If they differ, the file was truncated after it was read. Also returns False for a file that was empty when it was opened and is a
        compressed file now.
        """
        expected, offset = (before, start - len(before)) if before else (beginning[:TAIL_BYTES], start)
        return os.pread(self._descriptor, len(expected), offset) == expected and (start > 0 or not expected.startswith(tuple(DECOMPRESSORS)))


class CompressedContent(LogContent):
    """The decompressed bytes of a file. To seek backwards, the file is decompressed again from its beginning."""

    is_compressed = True

    def __init__(self, descriptor: int, decompress: Callable[[BinaryIO], BinaryIO]) -> None:
        super().__init__(descriptor)
        self._compressed_head = os.pread(descriptor, TAIL_BYTES, 0)
        self._decompress = decompress
        self._raw: BinaryIO = open(descriptor, "rb", closefd=False)  # noqa: SIM115 (closed with the descriptor)
        self._head: bytes | None = None
        self._length: int | None = None
        self._tail = b""
        self._restart()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._raw.close()
        super().__exit__(kind, exc, trace)

    def read(self, size: int) -> bytes:
        if self.failure:
            return b""
        try:
            # If the file is broken, `read1` first returns the bytes before the error. `read` would drop these bytes.
            piece = self._reader.read1(min(size, PIECE_BYTES))  # type: ignore[attr-defined]
        except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zstandard.ZstdError):
            self.failure = UNFINISHED
            return b""
        self._offset += len(piece)
        self._tail = piece[-TAIL_BYTES:] if len(piece) >= TAIL_BYTES else (self._tail + piece)[-TAIL_BYTES:]
        if self._offset > BOMB_BYTES and self._offset > BOMB_RATIO * self._raw.tell():
            self.failure = BOMB
        return cast("bytes", piece)

    def seek(self, offset: int) -> bytes | None:
        if offset < self._offset:
            self._restart()
        while self._offset < offset and self.read(offset - self._offset):
            pass
        return self._tail if self._offset == offset else None

    def head(self) -> bytes:
        if self._head is None:
            self.seek(TAIL_BYTES)
            self._head = self._tail
        return self._head

    def length(self) -> int:
        if self._length is None:
            while self.read(PIECE_BYTES):
                pass
            self._length = self._offset
        return self._length

    def still_has(self, start: int, before: bytes, beginning: bytes) -> bool:
        return os.pread(self._descriptor, len(self._compressed_head), 0) == self._compressed_head

    def _restart(self) -> None:
        self._raw.seek(0)
        self._reader = self._decompress(self._raw)
        self._offset, self._tail, self.failure = 0, b"", ""


def open_content(file: ListedFile, roots: Roots = ANYWHERE) -> LogContent:
    """Open a listed file. Raises FileMoved if its path now leads to another file or to none. Raises OSError if the file cannot be opened."""
    try:
        descriptor = roots.open(file.real)
    except (FileNotFoundError, Swapped) as exc:
        raise FileMoved from exc
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or place_of(found) != file.place:
            raise FileMoved
        head = os.pread(descriptor, TAIL_BYTES, 0)
        decompress = next((decompress for magic, decompress in DECOMPRESSORS.items() if head.startswith(magic)), None)
        return LogContent(descriptor) if decompress is None else CompressedContent(descriptor, decompress)
    except BaseException:
        os.close(descriptor)
        raise


def place_of(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}"
