"""Follow log files by what they are, not by their name: new whole lines since the last position, through every rotation.

A file is known by device and inode. One whose content no longer begins and ends as its position remembers, because it was
truncated or its inode was used again, begins a new generation at offset 0. A file with an unknown inode whose content does
fit a position that lost its file is that file, copied, compressed or moved to another device, and goes on where it was.
Two things are beyond reach: a file truncated and rewritten with the very same bytes around the position, and lines that
a rotation took out of the pattern before they were read.
"""

import glob
import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO, cast

import msgspec

CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 10 << 20
FINGERPRINT_BYTES = 256
STREAM_PREFIX = "file:"
GZIP_MAGIC = b"\x1f\x8b"
UNREADABLE = (OSError, EOFError, zlib.error)


class Position(msgspec.Struct, frozen=True):
    """Where to go on in a file. `identity` is device:inode:generation of where it was first seen.

    `fingerprint` and `tail` are "length:hash" of the file's first bytes and of the last bytes before `offset`.
    """

    identity: str
    fingerprint: str
    offset: int
    path: str
    tail: str = "0:"


class Chunk(msgspec.Struct, frozen=True):
    """Whole lines of one file, verbatim. `position` is where to go on after it, to be kept under the key `stream`.

    `is_cut`: the body is the beginning of one line longer than MAX_LINE_BYTES, the rest of which was skipped.
    """

    stream: str
    path: str
    identity: str
    start: int
    body: bytes
    position: dict[str, str | int]
    record_count: int
    is_cut: bool = False


class Unreadable(msgspec.Struct, frozen=True):
    path: str
    reason: str


class _File(msgspec.Struct, frozen=True):
    path: str
    device: int
    inode: int

    @property
    def place(self) -> str:
        return f"{self.device}:{self.inode}"


def chunks(pattern: str, positions: Mapping[str, Mapping[str, object]]) -> Iterator[Chunk | Unreadable]:
    """What is new in the files that `pattern` names (** goes through folders), file by file in the order of their paths.

    `positions`: by `Chunk.stream`, what `Chunk.position` said. A file that cannot be read is yielded as Unreadable and
    the others go on. A last line without its newline waits, except in a .gz, which no one goes on writing.
    Raises FileNotFoundError if the pattern names no file.
    """
    paths = paths_of(pattern)
    known = [msgspec.convert(position, Position) for stream, position in positions.items() if stream.startswith(STREAM_PREFIX)]
    files, unreadable = _look_at(paths)
    places, more_unreadable = _places(files, known)
    for path in paths:
        if path in unreadable or path in more_unreadable:
            yield Unreadable(path=path, reason=unreadable.get(path) or more_unreadable[path])
        elif path in places:
            yield from _read(files[path], places[path])


def paths_of(pattern: str) -> list[str]:
    """What the pattern names, folders left out. Raises FileNotFoundError if that is nothing."""
    paths = sorted(path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path))
    if not paths:
        raise FileNotFoundError(f"No file matches {pattern!r}: check the pattern, and that the worker sees this folder.")
    return paths


def from_the_beginning(positions: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """The same files at offset 0: read again as who they are, so that their lines keep their ids."""
    return {stream: {**position, "offset": 0, "tail": "0:"} for stream, position in positions.items()}


def lines(body: bytes, *, identity: str, start: int) -> Iterator[tuple[str, bytes]]:
    """The lines of a chunk that are not empty, each with an id made from the file's identity and its offset there.

    Two sources may follow the same file, and two machines may have the same inode: put the source's key into `identity`.
    """
    for offset, line in _lines(body):
        yield hashlib.blake2b(f"{identity}:{start + offset}".encode(), digest_size=16).hexdigest(), line


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    for line in body.split(b"\n"):
        if line.strip():
            yield offset, line.rstrip(b"\r")
        offset += len(line) + 1


# --- which file is which --------------------------------------------------------------------------------------------


def _look_at(paths: list[str]) -> tuple[dict[str, _File], dict[str, str]]:
    """Every file once, under the first of its names, and why a path is none."""
    files: dict[str, _File] = {}
    unreadable: dict[str, str] = {}
    seen: set[tuple[int, int]] = set()
    for path in paths:
        try:
            found = os.stat(path)
        except OSError as exc:
            unreadable[path] = _reason(exc)
            continue
        if not stat.S_ISREG(found.st_mode):
            unreadable[path] = "It is not a regular file."
        elif (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            files[path] = _File(path=path, device=found.st_dev, inode=found.st_ino)
    return files, unreadable


def _places(files: Mapping[str, _File], known: list[Position]) -> tuple[dict[str, Position], dict[str, str]]:
    """For every file where to go on: at its own position, at that of a file it is a copy of, or at a new beginning."""
    latest: dict[str, Position] = {}
    for position in known:
        place, generation = _place_and_generation(position)
        if place not in latest or generation > _place_and_generation(latest[place])[1]:
            latest[place] = position

    places: dict[str, Position] = {}
    unreadable: dict[str, str] = {}
    for path, file in files.items():
        own = latest.get(file.place)
        try:
            if own is not None and _fits(file, own):
                places[path] = own
        except UNREADABLE as exc:
            unreadable[path] = _reason(exc)

    claimed = {position.identity for position in places.values()}
    orphans = [position for position in known if position.identity not in claimed]
    for path, file in files.items():
        if path in places or path in unreadable:
            continue
        try:
            adopted = _adopted(file, orphans)
        except UNREADABLE as exc:
            unreadable[path] = _reason(exc)
            continue
        if adopted is not None:
            orphans.remove(adopted)
            places[path] = adopted
            continue
        own = latest.get(file.place)
        generation = 0 if own is None else _place_and_generation(own)[1] + 1
        places[path] = Position(identity=f"{file.place}:{generation}", fingerprint="0:", offset=0, path=path)
    return places, unreadable


def _place_and_generation(position: Position) -> tuple[str, int]:
    place, _, generation = position.identity.rpartition(":")
    return place, int(generation)


def _adopted(file: _File, orphans: list[Position]) -> Position | None:
    with _open(file) as opened:
        head = opened.read(FINGERPRINT_BYTES)
    fitting = (position for position in orphans if _is_mark_of(position.fingerprint, head) and _fits(file, position))
    return max(fitting, key=lambda position: position.offset, default=None)


def _fits(file: _File, position: Position) -> bool:
    """Whether the file still begins, and before the offset ends, as when the position was taken."""
    with _open(file) as opened:
        if not _is_mark_of(position.fingerprint, opened.read(FINGERPRINT_BYTES)):
            return False
        length = _mark_length(position.tail)
        opened.seek(position.offset - length)
        return _is_mark_of(position.tail, opened.read(length))


def _mark(content: bytes) -> str:
    return f"{len(content)}:{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def _mark_length(mark: str) -> int:
    return int(mark.partition(":")[0])


def _is_mark_of(mark: str, content: bytes) -> bool:
    length = _mark_length(mark)
    return length == 0 or _mark(content[:length]) == mark


# --- reading --------------------------------------------------------------------------------------------------------


def _open(file: _File) -> BinaryIO:
    """The file's content, uncompressed. Raises OSError if another file has taken its name since it was looked at."""
    raw = open(file.path, "rb")  # noqa: SIM115 (the caller closes it)
    try:
        found = os.fstat(raw.fileno())
        if (found.st_dev, found.st_ino) != (file.device, file.inode):
            raise OSError("It was rotated while we looked at it; the next run goes on.")
        is_compressed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        if not is_compressed:
            return raw
        unpacked = gzip.GzipFile(fileobj=raw, mode="rb")
        unpacked.myfileobj = cast("io.FileIO", raw)  # so that closing it closes the file below
        return cast("BinaryIO", unpacked)
    except BaseException:
        raw.close()
        raise


def _read(file: _File, place: Position) -> Iterator[Chunk | Unreadable]:
    try:
        with _open(file) as opened:
            fingerprint = _mark(opened.read(FINGERPRINT_BYTES))
            opened.seek(place.offset)
            offset = place.offset
            for body, length, ending in _whole_lines(opened, is_final=isinstance(opened, gzip.GzipFile)):
                position = Position(identity=place.identity, fingerprint=fingerprint, offset=offset + length, path=file.path, tail=_mark(ending))
                yield Chunk(
                    stream=STREAM_PREFIX + place.identity,
                    path=file.path,
                    identity=place.identity,
                    start=offset,
                    body=body,
                    position=msgspec.to_builtins(position),
                    record_count=sum(1 for _ in _lines(body)),
                    is_cut=length > len(body),
                )
                offset += length
    except UNREADABLE as exc:
        yield Unreadable(path=file.path, reason=_reason(exc))


def _whole_lines(opened: BinaryIO, *, is_final: bool) -> Iterator[tuple[bytes, int, bytes]]:
    """Bodies of whole lines, how many bytes of the file each stands for, and the last of these bytes."""
    rest = b""
    while True:
        body = rest + opened.read(CHUNK_BYTES - len(rest))
        end = body.rfind(b"\n") + 1
        if end:
            yield body[:end], end, body[max(0, end - FINGERPRINT_BYTES) : end]
            rest = body[end:]
        elif len(body) < CHUNK_BYTES:
            if is_final and body:
                yield body, len(body), body[-FINGERPRINT_BYTES:]
            return
        else:
            line, length, ending = _long_line(body, opened)
            if not (ending.endswith(b"\n") or is_final):
                return
            yield line, length, ending
            rest = b""


def _long_line(beginning: bytes, opened: BinaryIO) -> tuple[bytes, int, bytes]:
    """One line that goes on after `beginning`, cut at MAX_LINE_BYTES, with the bytes it has and the last of them."""
    line = beginning + opened.readline(MAX_LINE_BYTES - len(beginning))
    length, ending = len(line), line[-FINGERPRINT_BYTES:]
    while not ending.endswith(b"\n") and (piece := opened.readline(CHUNK_BYTES)):
        length += len(piece)
        ending = (ending + piece)[-FINGERPRINT_BYTES:]
    return line, length, ending


def _reason(exc: BaseException) -> str:
    if isinstance(exc, PermissionError):
        return "The worker may not read it."
    if isinstance(exc, FileNotFoundError):
        return "It is gone, or a link to nothing."
    if isinstance(exc, EOFError | zlib.error | gzip.BadGzipFile):
        return "Its compressed content is broken or not yet complete."
    if isinstance(exc, OSError) and exc.errno is None:
        return str(exc)
    return f"It cannot be read: {exc.strerror if isinstance(exc, OSError) else exc}."
