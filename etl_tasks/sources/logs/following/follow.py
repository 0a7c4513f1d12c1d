"""Follow log files, also when they are rotated, and yield what is new since the last run. A file is recognised by its content, not by its name.

A known file, one that an earlier run has read from, is first looked for by its device and inode. If the content there is no longer what was read,
the file was truncated or its inode was reused, so the content is treated like that of an unknown file. An unknown file may be a copy of a known
file, compressed or on another device. If the known file is gone or shorter than the copy, reading continues in the copy at the known file's
position. If the known file still has the whole content of the copy, or was read further, the copy holds nothing new and is skipped. Every other
unknown file is read from offset 0, with a new identity. docs/logs.md lists the lines that cannot be read.
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from etl_tasks.sources.logs.allowed_folders import ANYWHERE, OutsideRoots, Roots
from etl_tasks.sources.logs.following.content import (
    BOMB,
    FileMoved,
    ListedFile,
    LogContent,
    NotAFile,
    NotUtf8,
    check_encoding,
    inspect_file,
    open_content,
)
from etl_tasks.sources.logs.following.decompression import NeedsMuchMemory
from etl_tasks.sources.logs.following.fingerprints import fingerprint, mark_count, matches
from etl_tasks.sources.logs.following.globbing import paths_of
from etl_tasks.sources.logs.following.page_cutting import Begins, PageCutter
from etl_tasks.sources.logs.following.position import KnownPositions, Position
from etl_tasks.sources.logs.following.rotation import continues, marks_of, starting_position

logger = logging.getLogger(__name__)

DEMANDING = "To unpack it takes more than 160 MiB of memory: pack it with xz -9 or less."

# If a file was written to less than this many seconds ago, its last event may still get more lines.
SETTLED_S = 5.0
# For this many seconds after its last change, an incomplete compressed file is treated as still being written. After that, it is reported as
# Unreadable.
UNFINISHED_S = 3600.0
# One run lists the files at most this many times, to find files that were rotated while it was reading.
MAX_LISTINGS = 3


class Chunk(msgspec.Struct, frozen=True):
    """Whole events of one segment (a mebibyte) of one file. `body`: their bytes, unchanged.

    `position`: where to continue after this chunk. The caller stores it under the key `stream`. If `body` is empty, only the position has changed:
    the file was found with another inode, or a compressed file was read to its end. `written_at`: when the file was last written to. `cut_bytes`:
    how many bytes of the last line were left out because the line was too long.
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
    """Yield what is new in the files that match `pattern` (** matches folders at any depth). Raises FileNotFoundError if there are none.

    `positions`: the last `Chunk.position` of each `Chunk.stream`. `begins`: a function that returns whether a line, without its newline, begins an
    event; None if every line does. `roots`: the folders that may be read. If a link leads to a file outside them, the file is Unreadable.

    Known files are read first, then unknown plain files, then unknown compressed files, each in the order of their paths. If a file cannot be
    read, an Unreadable is yielded for it, and the other files are still read. Two things are left for the next run: a last line without a newline,
    and, if `begins` is given, the last event of a file that is being written to. A compressed file gets no more lines, so it is read to its end.
    """
    yield from _Run(pattern, KnownPositions(positions), begins, roots).chunks()


def are_read(pattern: str, positions: Mapping[str, Mapping[str, object]], roots: Roots = ANYWHERE) -> bool:
    """Return whether all files that match `pattern` seem to have been read to their ends, judged by their places and sizes only."""
    known = KnownPositions(positions)
    try:
        files = [inspect_file(path, roots) for path in paths_of(pattern, roots)]
    except OSError:
        return False
    return all((found := known.at(file.place)) and found[0].offset == file.size for file in files)


def from_the_beginning(positions: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Return the positions with offset 0, so that the files are read again. They keep their identities, so their events keep their ids."""
    return {stream: {**position, "offset": 0, "tail": "0:", "read_whole": ""} for stream, position in positions.items()}


class _Run:
    """One reading of all files that match a pattern."""

    def __init__(self, pattern: str, known: KnownPositions, begins: Begins | None, roots: Roots) -> None:
        self._pattern = pattern
        self._known = known
        self._begins = begins
        self._roots = roots
        self._listed: dict[str, ListedFile] = {}  # by place
        self._is_listed_twice = False
        self._settled: set[str] = set()  # places and paths that this run does not read again
        self._unknown: list[tuple[bool, str, ListedFile]] = []  # (is compressed, path, file): when sorted, plain files come first
        self._needed: set[str] = set()  # identities of the files that still exist, also as a copy, or may exist

    def chunks(self) -> Iterator[Chunk | Unreadable]:
        paths = paths_of(self._pattern, self._roots)
        for _ in range(MAX_LISTINGS):
            yield from self._list(paths)
            files = [file for place, file in self._listed.items() if place not in self._settled]
            if not files:
                break
            self._unknown = []
            for file in files:
                yield from self._guarded(file, self._read_if_known(file))
            for _, _, file in sorted(self._unknown):
                yield from self._guarded(file, self._read_unknown(file))
            paths = self._paths_now()
        yield from self._mark_gone()

    # --- listing the files --------------------------------------------------------------------------------------------

    def _list(self, paths: list[str]) -> Iterator[Unreadable]:
        self._listed, self._is_listed_twice = {}, False
        for path in paths:
            try:
                file = inspect_file(path, self._roots)
            except OSError as exc:
                is_rotated_away = isinstance(exc, FileNotFoundError) and not os.path.islink(path)
                if not is_rotated_away and path not in self._settled:
                    self._settled.add(path)
                    self._needed |= {position.identity for position in self._known.all() if position.path == shown(path)}
                    yield Unreadable(path=shown(path), reason=reason(exc))
            else:
                self._listed.setdefault(file.place, file)  # if a file has several names, use the first

    def _paths_now(self) -> list[str]:
        try:
            return paths_of(self._pattern, self._roots)
        except FileNotFoundError:
            return []

    def _open_original(self, position: Position) -> LogContent | None:
        """Open the file of a position. Returns None if the file is gone or cannot be opened. Raises FileMoved if it was moved after it was listed."""
        if position.last_place not in self._listed and not self._is_listed_twice:
            # The file may have been renamed while the files were being listed, so list them again. It is gone only if both lists lack it.
            self._is_listed_twice = True
            for path in self._paths_now():
                with suppress(OSError):
                    file = inspect_file(path, self._roots)
                    self._listed.setdefault(file.place, file)
        if position.last_place not in self._listed:
            return None
        try:
            return open_content(self._listed[position.last_place], self._roots)
        except OSError:
            return None

    # --- choosing the position ----------------------------------------------------------------------------------------

    def _guarded(self, file: ListedFile, items: Iterator[Chunk | Unreadable]) -> Iterator[Chunk | Unreadable]:
        try:
            yield from items
        except FileMoved:
            return  # the next listing finds the file again
        except OSError as exc:
            self._settled.add(file.place)
            self._need(self._known.at(file.place))
            yield Unreadable(path=shown(file.path), reason=reason(exc))

    def _read_if_known(self, file: ListedFile) -> Iterator[Chunk | Unreadable]:
        positions = self._known.at(file.place)
        if whole := [position for position in positions if position.read_whole == file.version]:
            self._settled.add(file.place)
            self._need(whole)
            return
        with open_content(file, self._roots) as content:
            for position in positions:
                if continues(content, position):
                    yield from self._read(file, content, position)
                    return
            self._unknown.append((content.is_compressed, file.path, file))

    def _read_unknown(self, file: ListedFile) -> Iterator[Chunk | Unreadable]:
        with open_content(file, self._roots) as content:
            position = starting_position(file, content, self._known, self._open_original)
            if position is not None:
                yield from self._read(file, content, position)
            else:
                self._need(self._known.with_head(content.head()))  # by one of these positions it was recognised as a copy
        self._settled.add(file.place)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self, file: ListedFile, content: LogContent, position: Position) -> Iterator[Chunk | Unreadable]:
        check_encoding(content.head())
        self._need([position])
        marks = position.marks
        if len(marks) < mark_count(position.offset):  # the position was stored by a version of this program that had no marks
            marks = marks_of(content, position.offset)
        before = content.seek(position.offset)
        if before is None or not matches(position.tail, before):
            raise FileMoved
        cutter = PageCutter(content, position.offset, before=before, marks=marks, begins=self._begins, is_live=lambda: _age_s(content) < SETTLED_S)
        for page in cutter.pages():
            head, written_at = content.head(), datetime.fromtimestamp(content.stat().st_mtime, UTC)
            # If the file was truncated while the page was read, the page may mix old and new content. A truncation after this check does no harm.
            if not content.still_has(page.start, page.before, page.body):
                raise FileMoved
            position = Position(
                identity=position.identity,
                fingerprint=fingerprint(head),
                offset=page.end,
                path=shown(file.path),
                tail=fingerprint(page.tail),
                marks=page.marks,
                place=file.place,
            )
            self._known.update(position)
            yield _chunk(position, page.start, page.body, written_at, page.cut_bytes)
        yield from self._end(file, content, position)
        self._settled.add(file.place)

    def _end(self, file: ListedFile, content: LogContent, position: Position) -> Iterator[Chunk | Unreadable]:
        if content.failure:
            if content.failure == BOMB or _age_s(content) > UNFINISHED_S:
                yield Unreadable(path=shown(file.path), reason=content.failure)
            else:
                logger.warning("log_file_unfinished", extra={"log_file": shown(file.path)})
        read_whole = file.version if content.is_compressed and not content.failure else ""
        if position.offset and (position.last_place, position.read_whole) != (file.place, read_whole):
            position = msgspec.structs.replace(position, place=file.place, path=shown(file.path), read_whole=read_whole)
            self._known.update(position)
            yield _chunk(position, position.offset, b"", datetime.fromtimestamp(content.stat().st_mtime, UTC))

    # --- files that are gone ------------------------------------------------------------------------------------------

    def _need(self, positions: Iterable[Position]) -> None:
        self._needed |= {position.identity for position in positions}

    def _mark_gone(self) -> Iterator[Chunk]:
        """Yield the positions of files that have disappeared since the last run, or are there again. Positions with offset 0 are left out.

        Those are of files that are to be read again, or of failed runs; moving their cursors would lose how far the files were read.
        """
        for place, file in self._listed.items():
            if place not in self._settled:  # it was renamed or truncated again and again: the next run reads it
                self._need(self._known.at(file.place))
        moment = datetime.now(UTC)
        for position in self._known.all():
            is_gone = position.identity not in self._needed
            if position.offset and is_gone != bool(position.gone_since):
                changed = msgspec.structs.replace(position, gone_since=moment.isoformat() if is_gone else "")
                yield _chunk(changed, position.offset, b"", moment)


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
    """Return a path as text. Bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def fault(path: str, roots: Roots) -> str:
    """Return why a file cannot be read, or "" if it can."""
    try:
        with open_content(inspect_file(path, roots), roots):
            return ""
    except FileMoved:
        return "It is being renamed."
    except OSError as exc:
        return reason(exc)


def _age_s(content: LogContent) -> float:
    """Return how many seconds ago the file was last written to. For a time in the future, return how many seconds ahead it is."""
    return abs(time.time() - content.stat().st_mtime)


def reason(exc: OSError) -> str:
    """Return a sentence that tells the user why the file cannot be read."""
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
    if isinstance(exc, NeedsMuchMemory):
        return DEMANDING
    return f"It cannot be read: {exc.strerror}."
