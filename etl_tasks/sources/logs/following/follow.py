"""Follow log files by what they are, not by their name: what is new since the last run, through every rotation.

A file is known by device and inode. One whose content no longer is what its position remembers, because it was truncated
or its inode was used again, begins a new generation at offset 0. A file with an unknown inode may be a known one that was
copied, compressed or moved to another device: where the known one is gone or goes less far, the copy goes on at its
position; where the known one is still at hand, or has been read further, the copy holds nothing new and is left alone.
docs/logs.md says what is beyond reach.
"""

import enum
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from etl_tasks.sources.logs.allowed_folders import ANYWHERE, OutsideRoots, Roots
from etl_tasks.sources.logs.following.content import BOMB, Elsewhere, File, NotAFile, NotUtf8, Plain, check_encoding, look_at, opened
from etl_tasks.sources.logs.following.cutting import Begins, Cutter
from etl_tasks.sources.logs.following.globbing import paths_of
from etl_tasks.sources.logs.following.identity import Known, Position, goes_on, is_mark_of, length_of, mark, mark_count, marks_of, tails

__all__ = ["Chunk", "Unreadable", "chunks", "from_the_beginning", "paths_of"]

logger = logging.getLogger(__name__)

# A file that was written to within this time may get more of its last event.
SETTLED_S = 5.0
# A compressed file that breaks off is still being written if it is not older.
UNFINISHED_S = 3600.0
# How often a run lists the files, to find those that were rotated while it read.
MAX_LISTINGS = 3


class Chunk(msgspec.Struct, frozen=True):
    """Whole events of one segment of one file, verbatim. `position` is where to go on after it, to be kept under the key `stream`.

    An empty body says only that the position has moved: the file is another copy now, or was read to its very end.
    `written_at`: when the file was last written to. `cut_bytes` of the last line were left out, for it was longer than is read.
    """

    stream: str
    path: str
    identity: str
    start: int
    body: bytes
    position: dict[str, object]
    written_at: datetime
    cut_bytes: int = 0


class Unreadable(msgspec.Struct, frozen=True):
    path: str
    reason: str


def chunks(
    pattern: str, positions: Mapping[str, Mapping[str, object]], *, begins: Begins | None = None, roots: Roots = ANYWHERE
) -> Iterator[Chunk | Unreadable]:
    """What is new in the files that `pattern` names (** goes through folders).

    `positions`: by `Chunk.stream`, what `Chunk.position` said. `begins`: whether a line, without its newline, begins an event;
    None if every line does. Known files come first, then unknown ones, plain before compressed, in the order of their paths.
    A file that cannot be read is yielded as Unreadable and the others go on. A last line without its newline waits, and so
    does the last event of several lines while the file is being written; not in a compressed file, which is final.
    `roots`: a file outside of these folders, which a link leads to, is Unreadable.
    Raises FileNotFoundError if the pattern names no file.
    """
    yield from _Run(pattern, Known(positions), begins, roots).chunks()


def from_the_beginning(positions: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """The same files at offset 0: read again as who they are, so that their lines keep their ids."""
    return {stream: {**position, "offset": 0, "tail": "0:", "read_whole": ""} for stream, position in positions.items()}


class _Run:
    """One look at all files of a pattern."""

    def __init__(self, pattern: str, known: Known, begins: Begins | None, roots: Roots) -> None:
        self._pattern = pattern
        self._known = known
        self._begins = begins
        self._roots = roots
        self._listed: dict[str, File] = {}  # by place
        self._is_listed_twice = False
        self._settled: set[str] = set()  # places and paths that the run is done with
        self._unknown: list[tuple[bool, str, File]] = []  # plain before compressed, by path

    def chunks(self) -> Iterator[Chunk | Unreadable]:
        paths = paths_of(self._pattern, self._roots)
        for _ in range(MAX_LISTINGS):
            yield from self._list(paths)
            files = [file for place, file in self._listed.items() if place not in self._settled]
            if not files:
                return
            self._unknown = []
            for file in files:
                yield from self._guarded(file, self._read_if_known(file))
            for _, _, file in sorted(self._unknown):
                yield from self._guarded(file, self._read_unknown(file))
            paths = self._paths_now()

    # --- which files there are ----------------------------------------------------------------------------------------

    def _list(self, paths: list[str]) -> Iterator[Unreadable]:
        self._listed, self._is_listed_twice = {}, False
        for path in paths:
            try:
                file = look_at(path, self._roots)
            except OSError as exc:
                is_rotated_away = isinstance(exc, FileNotFoundError) and not os.path.islink(path)
                if not is_rotated_away and path not in self._settled:
                    self._settled.add(path)
                    yield Unreadable(path=shown(path), reason=reason(exc))
            else:
                self._listed.setdefault(file.place, file)  # a file with several names goes by the first

    def _paths_now(self) -> list[str]:
        try:
            return paths_of(self._pattern, self._roots)
        except FileNotFoundError:
            return []

    def _original(self, position: Position) -> Plain | None:
        """The file that a position belongs to; None if it is gone. Raises Elsewhere if it is just being renamed."""
        if position.at not in self._listed and not self._is_listed_twice:
            # It may have been renamed while the listing was made: only who is missing from two is gone.
            self._is_listed_twice = True
            for path in self._paths_now():
                with suppress(OSError):
                    file = look_at(path, self._roots)
                    self._listed.setdefault(file.place, file)
        if position.at not in self._listed:
            return None
        try:
            return opened(self._listed[position.at], self._roots)
        except OSError:
            return None

    # --- which file is which ------------------------------------------------------------------------------------------

    def _guarded(self, file: File, items: Iterator[Chunk | Unreadable]) -> Iterator[Chunk | Unreadable]:
        try:
            yield from items
        except Elsewhere:
            return  # the next listing finds it again
        except OSError as exc:
            self._settled.add(file.place)
            yield Unreadable(path=shown(file.path), reason=reason(exc))

    def _read_if_known(self, file: File) -> Iterator[Chunk | Unreadable]:
        positions = self._known.at(file.place)
        if any(position.read_whole == file.version for position in positions):
            self._settled.add(file.place)
            return
        with opened(file, self._roots) as content:
            for position in positions:
                if goes_on(content, position):
                    yield from self._read(file, content, position)
                    return
            self._unknown.append((content.is_packed, file.path, file))

    def _read_unknown(self, file: File) -> Iterator[Chunk | Unreadable]:
        with opened(file, self._roots) as content:
            position = self._beginning(file, content)
            if position is not None:
                yield from self._read(file, content, position)
        self._settled.add(file.place)

    def _beginning(self, file: File, content: Plain) -> Position | None:
        """Where to begin in a file that is not known; None if it holds nothing that was not read of the file it is a copy of."""
        head = content.head()
        if not head:
            return None
        candidates = self._known.begun_as(head)
        if not candidates:
            return self._known.new(file.place)
        length = content.length()
        marks = marks_of(content, length)
        before = tails(content, [position.offset for position in candidates] + [length])
        if length not in before:
            raise Elsewhere
        to_take_over: list[Position] = []
        is_read_already = False
        for position in candidates:
            compared = min(len(marks), len(position.marks))
            reaches = position.offset in before
            if marks[:compared] != position.marks[:compared] or (reaches and not is_mark_of(position.tail, before[position.offset])):
                continue
            # Of a file that is to be read again from its beginning, a shorter one would have nothing that differs.
            reaches = reaches and (compared > 0 or length_of(position.fingerprint) <= len(head))
            if not reaches and position.at == file.place and not content.is_packed:
                continue  # truncated; what is compressed now is another file, in the inode of one that is gone
            match self._compare(position, before[length], length):
                case _Original.HOLDS_ALL:
                    return None
                case _Original.DIFFERS:
                    continue
                case _Original.ENDS_BEFORE if reaches:
                    to_take_over.append(position)
                case _Original.ENDS_BEFORE:
                    is_read_already |= compared > 0
        if to_take_over:
            return max(to_take_over, key=lambda position: position.offset)
        return None if is_read_already else self._known.new(file.place)

    def _compare(self, position: Position, ending: bytes, length: int) -> "_Original":
        """What the file of a position has, to a file of `length` with this `ending` that may be a copy of it."""
        original = self._original(position)
        if original is None:
            return _Original.ENDS_BEFORE
        with original:
            there = original.seek(length)
            # Asked last, so that it holds for what was just seen: the file may be truncated at any moment.
            if there is None or not goes_on(original, position):
                return _Original.ENDS_BEFORE
            return _Original.HOLDS_ALL if there == ending else _Original.DIFFERS

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self, file: File, content: Plain, position: Position) -> Iterator[Chunk | Unreadable]:
        check_encoding(content.head())
        marks = position.marks
        if len(marks) < mark_count(position.offset):  # of a version that kept none
            marks = marks_of(content, position.offset)
        before = content.seek(position.offset)
        if before is None or not is_mark_of(position.tail, before):
            raise Elsewhere
        cutter = Cutter(content, position.offset, before=before, marks=marks, begins=self._begins, is_live=lambda: _age_s(content) < SETTLED_S)
        for piece in cutter.pieces():
            head, written_at = content.head(), datetime.fromtimestamp(content.stat().st_mtime, UTC)
            # Truncated while it was read, the piece may be of two minds; truncated afterwards, it does not matter.
            if not content.still_has(piece.start, piece.before, piece.body):
                raise Elsewhere
            position = Position(
                identity=position.identity,
                fingerprint=mark(head),
                offset=piece.end,
                path=shown(file.path),
                tail=mark(piece.tail),
                marks=piece.marks,
                place=file.place,
            )
            self._known.learn(position)
            yield _chunk(position, piece.start, piece.body, written_at, piece.cut_bytes)
        yield from self._end(file, content, position)
        self._settled.add(file.place)

    def _end(self, file: File, content: Plain, position: Position) -> Iterator[Chunk | Unreadable]:
        if content.failure:
            if content.failure == BOMB or _age_s(content) > UNFINISHED_S:
                yield Unreadable(path=shown(file.path), reason=content.failure)
            else:
                logger.warning("log_file_unfinished", extra={"log_file": shown(file.path)})
        read_whole = file.version if content.is_packed and not content.failure else ""
        if position.offset and (position.at, position.read_whole) != (file.place, read_whole):
            position = msgspec.structs.replace(position, place=file.place, path=shown(file.path), read_whole=read_whole)
            self._known.learn(position)
            yield _chunk(position, position.offset, b"", datetime.fromtimestamp(content.stat().st_mtime, UTC))


class _Original(enum.Enum):
    """What the file of a position has, compared with a file that may be a copy of it."""

    HOLDS_ALL = enum.auto()  # it is a copy, perhaps of an earlier moment, or not finished yet
    ENDS_BEFORE = enum.auto()  # it is gone, was truncated, or is a copy itself
    DIFFERS = enum.auto()  # two logs with the same beginning


def _chunk(position: Position, start: int, body: bytes, written_at: datetime, cut_bytes: int = 0) -> Chunk:
    return Chunk(
        stream=position.stream,
        path=position.path,
        identity=position.identity,
        start=start,
        body=body,
        position=msgspec.to_builtins(position),
        written_at=written_at,
        cut_bytes=cut_bytes,
    )


def shown(path: str) -> str:
    """A path as text: its name need not be UTF-8, what is stored of it must."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def fault(path: str, roots: Roots) -> str:
    """Why a file cannot be read; empty if it can."""
    try:
        with opened(look_at(path, roots), roots):
            return ""
    except Elsewhere:
        return "It is being renamed."
    except OSError as exc:
        return reason(exc)


def _age_s(content: Plain) -> float:
    """How long ago the file was written to; also where a clock went ahead."""
    return abs(time.time() - content.stat().st_mtime)


def reason(exc: OSError) -> str:
    if isinstance(exc, PermissionError):
        return "The worker may not read it."
    if isinstance(exc, FileNotFoundError):
        return "It is gone, or a link to nothing."
    if isinstance(exc, OutsideRoots):
        return "It leads outside the folders that log sources may read from (LOG_ROOTS)."
    if isinstance(exc, NotAFile):
        return "It is not a regular file."
    if isinstance(exc, NotUtf8):
        return "It is UTF-16 or UTF-32, which is not read: have it written in UTF-8."
    return f"It cannot be read: {exc.strerror}."
