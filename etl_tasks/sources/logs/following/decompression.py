"""Unpack gzip, xz and zstd files. The format is recognised by the first bytes of a file."""

import gzip
import lzma
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

import zstandard

XZ_MEMORY_BYTES = 160 << 20
_XZ_PIECE_BYTES = 64 << 10


def _unpacked_gz(raw: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="rb"))


class NeedsMuchMemory(OSError):
    """The file asks for more than XZ_MEMORY_BYTES."""


class _XzReader:
    """A reader of xz files with limited memory.

    The header of a file says how much memory is needed to unpack it, up to 4 GiB; what `xz -9` writes needs 65 MiB. LZMAFile has no limit.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._stream = self._new_stream()
        self._is_at_end = False

    def read1(self, size: int) -> bytes:
        while not self._is_at_end:
            if self._stream.eof:
                if piece := self._beginning_of_next_stream(size):
                    return piece
                continue
            packed = self._raw.read(_XZ_PIECE_BYTES) if self._stream.needs_input else b""
            if self._stream.needs_input and not packed:
                raise EOFError
            if piece := self._unpack(packed, size):
                return piece
        return b""

    def _beginning_of_next_stream(self, size: int) -> bytes:
        """Return the first bytes of the next stream. Other bytes after a stream, such as its padding, end the content, as in LZMAFile."""
        packed = self._stream.unused_data or self._raw.read(_XZ_PIECE_BYTES)
        self._stream = self._new_stream()
        try:
            self._is_at_end = not packed
            return self._unpack(packed, size) if packed else b""
        except lzma.LZMAError:
            self._is_at_end = True
            return b""

    def _unpack(self, packed: bytes, size: int) -> bytes:
        try:
            return self._stream.decompress(packed, size)
        except lzma.LZMAError as exc:
            if "Memory usage limit" in str(exc):
                raise NeedsMuchMemory from exc
            raise

    @staticmethod
    def _new_stream() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)


def _unpacked_xz(raw: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", _XzReader(raw))


class _ZstReader:
    """A reader of zstd files that raises EOFError if a frame is incomplete. It reads block by block; a block has at most 128 KiB.

    zstandard's own reader reports no error for an incomplete frame, and loses the bytes before the missing part. RFC 8878, section 3.1,
    describes the format.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._blocks = self._decompressed()
        self._held = b""

    def read1(self, size: int) -> bytes:
        while not self._held:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._held = block
        piece, self._held = self._held[:size], self._held[size:]
        return piece

    def _decompressed(self) -> Iterator[bytes]:
        while header_start := self._raw.read(5):
            header_start += self._exactly(5 - len(header_start))
            if header_start[1:4] == b"\x2a\x4d\x18" and header_start[0] >> 4 == 5:
                length = int.from_bytes(header_start[4:] + self._exactly(3), "little")
                self._raw.seek(length, os.SEEK_CUR)
                continue
            header = header_start + self._exactly(zstandard.frame_header_size(header_start) - len(header_start))
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
    return cast("BinaryIO", _ZstReader(raw))


DECOMPRESSORS = {b"\x1f\x8b": _unpacked_gz, b"\xfd7zXZ\0": _unpacked_xz, zstandard.FRAME_HEADER: _unpacked_zst}
