"""The bytes of a log file, unpacked if it is compressed, whatever its name says.

What is compressed can only be read forward, and may break off: then what is whole is given, and `failure` says what was wrong.
"""

import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, Self, cast

import msgspec
import zstandard

from etl_tasks.sources.logs.allowed_folders import ANYWHERE, OutsideRoots, Roots, Swapped

TAIL_BYTES = 256
PIECE_BYTES = 1 << 20
# A log of one repeated line may shrink to a hundredth; a bomb unpacks to gigabytes from next to nothing.
BOMB_BYTES = 64 << 20
BOMB_RATIO = 500

UNFINISHED = "Its compressed content is broken or not yet complete."
BOMB = "It unpacks to more than 500 times its size, as no log does: nothing behind the first 64 MiB was read."


class File(msgspec.Struct, frozen=True):
    """A file as a listing saw it. `place` is its device and inode, by which it is the same under another name; `real` its path without links."""

    path: str
    real: str
    place: str
    size: int
    written_ns: int

    @property
    def version(self) -> str:
        return f"{self.size}:{self.written_ns}"


class Elsewhere(Exception):
    """The file is no longer what, or where, it was when it was looked at."""


class NotAFile(OSError):
    """A folder, a pipe, a device: nothing that could be followed."""


def look_at(path: str, roots: Roots = ANYWHERE) -> File:
    """Raises OSError: OutsideRoots, NotAFile, or what the system says."""
    real = os.path.realpath(path)
    if not roots.hold(real):
        raise OutsideRoots
    found = os.stat(real)
    if not stat.S_ISREG(found.st_mode):
        raise NotAFile
    return File(path=path, real=real, place=place_of(found), size=found.st_size, written_ns=found.st_mtime_ns)


class NotUtf8(OSError):
    """Text in UTF-16 or UTF-32, whose newlines are not one byte each."""


def check_encoding(head: bytes) -> None:
    """Raises NotUtf8 if a file with these first bytes is UTF-16 or UTF-32: by its byte order mark, or by a NUL in every other byte."""
    even, odd = head[::2], head[1::2]
    is_marked = head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))
    if is_marked or (len(odd) >= 8 and ((not any(odd) and all(even)) or (not any(even[: len(odd)]) and all(odd)))):
        raise NotUtf8


class Plain:
    """A file's bytes as they are."""

    # What is packed is final: its last line needs no newline.
    is_packed = False
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
        """The next bytes, at most `size`; none at the end."""
        piece = os.pread(self._descriptor, size, self._offset)
        self._offset += len(piece)
        return piece

    def seek(self, offset: int) -> bytes | None:
        """Go there, and say which bytes, TAIL_BYTES at most, are before it; None if the content ends before."""
        self._offset = offset
        length = min(offset, TAIL_BYTES)
        before = os.pread(self._descriptor, length, offset - length)
        return before if len(before) == length else None

    def head(self) -> bytes:
        return os.pread(self._descriptor, TAIL_BYTES, 0)

    def length(self) -> int:
        return self.stat().st_size

    def still_has(self, start: int, before: bytes, beginning: bytes) -> bool:
        """Whether `before` is yet before `start`, or, at the start of the file, `beginning` behind it: it was not truncated.

        A file that was empty when it was opened may turn out to be compressed.
        """
        expected, offset = (before, start - len(before)) if before else (beginning[:TAIL_BYTES], start)
        return os.pread(self._descriptor, len(expected), offset) == expected and (start > 0 or not expected.startswith(tuple(PACKED)))


class Packed(Plain):
    """A compressed file's content. Going back reads it again from its beginning."""

    is_packed = True

    def __init__(self, descriptor: int, unpack: Callable[[BinaryIO], BinaryIO]) -> None:
        super().__init__(descriptor)
        self._packed_head = os.pread(descriptor, TAIL_BYTES, 0)
        self._unpack = unpack
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
            # What comes before an error is handed out first by read1; read would throw it away.
            piece = self._unpacked.read1(min(size, PIECE_BYTES))  # type: ignore[attr-defined]
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
        return os.pread(self._descriptor, len(self._packed_head), 0) == self._packed_head

    def _restart(self) -> None:
        self._raw.seek(0)
        self._unpacked = self._unpack(self._raw)
        self._offset, self._tail, self.failure = 0, b"", ""


def opened(file: File, roots: Roots = ANYWHERE) -> Plain:
    """The content of the file that was looked at. Raises Elsewhere if its name is another file's now, and OSError."""
    try:
        descriptor = roots.open(file.real)
    except (FileNotFoundError, Swapped) as exc:
        raise Elsewhere from exc
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or place_of(found) != file.place:
            raise Elsewhere
        head = os.pread(descriptor, TAIL_BYTES, 0)
        unpack = next((unpack for magic, unpack in PACKED.items() if head.startswith(magic)), None)
        return Plain(descriptor) if unpack is None else Packed(descriptor, unpack)
    except BaseException:
        os.close(descriptor)
        raise


def place_of(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}"


# --- how to unpack ----------------------------------------------------------------------------------------------------


def _unpacked_gz(raw: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb"))


def _unpacked_xz(raw: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", lzma.LZMAFile(raw, "rb", format=lzma.FORMAT_XZ))


class _UnpackedZst:
    """Frame by frame and block by block: zstandard's own reader is silent where a frame has no end, and keeps back what is before it.

    Source: RFC 8878, 3.1. No block has more than 128 KiB.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._blocks = self._unpacked()
        self._held = b""

    def read1(self, size: int) -> bytes:
        while not self._held:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._held = block
        piece, self._held = self._held[:size], self._held[size:]
        return piece

    def _unpacked(self) -> Iterator[bytes]:
        while beginning := self._raw.read(5):
            beginning += self._exactly(5 - len(beginning))
            if beginning[1:4] == b"\x2a\x4d\x18" and beginning[0] >> 4 == 5:
                length = int.from_bytes(beginning[4:] + self._exactly(3), "little")
                self._raw.seek(length, os.SEEK_CUR)
                continue
            header = beginning + self._exactly(zstandard.frame_header_size(beginning) - len(beginning))
            has_checksum = zstandard.get_frame_parameters(header).has_checksum
            frame = zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(header)
            is_last = False
            while not is_last:
                head = self._exactly(3)
                block = int.from_bytes(head, "little")
                is_last, is_one_byte_repeated = bool(block & 1), block >> 1 & 3 == 1
                yield frame.decompress(head + self._exactly(1 if is_one_byte_repeated else block >> 3))
            if has_checksum:
                yield frame.decompress(self._exactly(4))

    def _exactly(self, length: int) -> bytes:
        found = self._raw.read(length)
        if len(found) < length:
            raise EOFError
        return found


def _unpacked_zst(raw: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", _UnpackedZst(raw))


PACKED = {b"\x1f\x8b": _unpacked_gz, b"\xfd7zXZ\0": _unpacked_xz, zstandard.FRAME_HEADER: _unpacked_zst}
