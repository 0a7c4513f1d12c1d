"""Follow log files through every rotation: yield what is new since the last run. A file is recognised by what it is, not by its name.

A file is known by device and inode. If its content no longer matches its position, because it was truncated or its inode was
reused, it begins a new generation at offset 0. A file with an unknown inode may be a known file that was copied, compressed or
moved to another device. If the known file is gone or shorter, the copy continues at its position. If the known file is still
there, or has been read further, the copy holds nothing new and is skipped.
docs/logs.md says which lines cannot be followed.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
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
from etl_tasks.sources.logs.following.fingerprints import fingerprint, mark_count, matches
from etl_tasks.sources.logs.following.globbing import paths_of
from etl_tasks.sources.logs.following.page_cutting import Begins, PageCutter
from etl_tasks.sources.logs.following.position import KnownPositions, Position
from etl_tasks.sources.logs.following.rotation import continues, marks_of, starting_position

logger = logging.getLogger(__name__)

# A file that was written to within this time may still get more lines of its last event.
SETTLED_S = 5.0
# An incomplete compressed file counts as still being written for this long.
UNFINISHED_S = 3600.0
# How often a run lists the files, to find those that were rotated while it was reading.
MAX_LISTINGS = 3


class Chunk(msgspec.Struct, frozen=True):
    """Whole events of one segment of one file, unchanged. `position`: where to continue after it; keep it under the key `stream`.

    With an empty body, only the position has changed: another copy of the file is read now, or it was read to its end.
    `written_at`: when the file was last written to. `cut_bytes`: how many bytes of an overlong last line were left out.
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
    """Yield what is new in the files that `pattern` names (** matches folders at any depth).

    `positions`: the last `Chunk.position` of each `Chunk.stream`. `begins`: returns whether a line, without its newline, begins
    an event; None if every line does. Known files come first, then unknown ones, plain before compressed, in the order of their
    paths. A file that cannot be read is yielded as Unreadable, and the others are still read. A last line without a newline is
    left for the next run. So is the last multi-line event of a file that is being written to. Compressed files are final.
    `roots`: a file outside these folders, reached by a link, is Unreadable. Raises FileNotFoundError if the pattern names no file.
    """
    yield from _Run(pattern, KnownPositions(positions), begins, roots).chunks()


def from_the_beginning(positions: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Return the positions with offset 0. The files keep their identities, so their lines keep their ids."""
    return {stream: {**position, "offset": 0, "tail": "0:", "read_whole": ""} for stream, position in positions.items()}


class _Run:
    """One reading of all files of a pattern."""

    def __init__(self, pattern: str, known: KnownPositions, begins: Begins | None, roots: Roots) -> None:
        self._pattern = pattern
        self._known = known
        self._begins = begins
        self._roots = roots
        self._listed: dict[str, ListedFile] = {}  # by place
        self._is_listed_twice = False
        self._settled: set[str] = set()  # places and paths that are finished in this run
        self._unknown: list[tuple[bool, str, ListedFile]] = []  # plain before compressed, by path

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
                    yield Unreadable(path=shown(path), reason=reason(exc))
            else:
                self._listed.setdefault(file.place, file)  # of several names of a file, use the first

    def _paths_now(self) -> list[str]:
        try:
            return paths_of(self._pattern, self._roots)
        except FileNotFoundError:
            return []

    def _open_original(self, position: Position) -> LogContent | None:
        """Open the file of a position; None if it is gone. Raises FileMoved if it is being renamed."""
        if position.last_place not in self._listed and not self._is_listed_twice:
            # It may have been renamed while the files were listed. Only a file that is missing from two listings is gone.
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
            return  # found again by the next listing
        except OSError as exc:
            self._settled.add(file.place)
            yield Unreadable(path=shown(file.path), reason=reason(exc))

    def _read_if_known(self, file: ListedFile) -> Iterator[Chunk | Unreadable]:
        positions = self._known.at(file.place)
        if any(position.read_whole == file.version for position in positions):
            self._settled.add(file.place)
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
        self._settled.add(file.place)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _read(self, file: ListedFile, content: LogContent, position: Position) -> Iterator[Chunk | Unreadable]:
        check_encoding(content.head())
        marks = position.marks
        if len(marks) < mark_count(position.offset):  # stored by a version without marks
            marks = marks_of(content, position.offset)
        before = content.seek(position.offset)
        if before is None or not matches(position.tail, before):
            raise FileMoved
        cutter = PageCutter(content, position.offset, before=before, marks=marks, begins=self._begins, is_live=lambda: _age_s(content) < SETTLED_S)
        for page in cutter.pages():
            head, written_at = content.head(), datetime.fromtimestamp(content.stat().st_mtime, UTC)
            # If the file was truncated during the read, the page may mix old and new content. A later truncation does not matter.
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
    """Return a path as UTF-8 text, with other bytes escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def fault(path: str, roots: Roots) -> str:
    """Return why a file cannot be read; empty if it can."""
    try:
        with open_content(inspect_file(path, roots), roots):
            return ""
    except FileMoved:
        return "It is being renamed."
    except OSError as exc:
        return reason(exc)


def _age_s(content: LogContent) -> float:
    """Return how long ago the file was last written to. A time in the future counts like one in the past."""
    return abs(time.time() - content.stat().st_mtime)


def reason(exc: OSError) -> str:
    """Return an explanation for the user."""
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
