"""Cut the content of a log file into pages. A page holds whole events of one segment (a mebibyte of the file).

An event belongs to the segment that contains its first byte. So to find the end of a page, only two kinds of lines are examined: the line that
crosses the end of the segment, and the following lines that continue the same event.
"""

from collections.abc import Callable, Iterator

import msgspec

from etl_tasks.sources.logs.following.content import TAIL_BYTES, LogContent
from etl_tasks.sources.logs.following.fingerprints import mark, mark_count, mark_offsets
from log_store.event import SEGMENT_BYTES

# The most bytes of a line that are kept. As this is the length of a segment, only a line that crosses the end of a segment can be longer.
MAX_LINE_BYTES = SEGMENT_BYTES
# The most bytes after the end of a segment that continuation lines may add to its last event. Later continuation lines go into the next page.
MAX_CONTINUATION_BYTES = SEGMENT_BYTES
# How many bytes are read beyond the end of a segment. They usually contain the rest of the line that crosses the end.
LOOKAHEAD_BYTES = 16 << 10

Begins = Callable[[bytes], bool]


class CutPage(msgspec.Struct, frozen=True):
    """The content from offset `start` to offset `end`.

    `before`: the last bytes before `start`. `tail`: the last bytes before `end`. Each has at most TAIL_BYTES. `marks`: the file's marks (hashes,
    see fingerprints.py) that are known so far, at least up to `end`. `cut_bytes`: how many bytes of the last line are not in `body`, because the
    line was too long.
    """

    start: int
    end: int
    body: bytes
    before: bytes
    tail: bytes
    marks: list[str]
    cut_bytes: int = 0


class PageCutter:
    """Reads a file once, from the offset where the last run stopped."""

    def __init__(
        self, content: LogContent, start: int, *, before: bytes, marks: list[str], begins: Begins | None, is_live: Callable[[], bool]
    ) -> None:
        """`content`: is already at offset `start`. `before`: the last bytes before `start`. `marks`: the marks of the file that are known.

        `begins`: a function that returns whether a line begins an event; None if every line does. `is_live`: a function that returns whether the
        file was written to a moment ago.
        """
        self._content = content
        self._start = start
        self._before = before
        self._begins = begins
        self._is_live = is_live
        self._held = b""  # the bytes from `_start` on that were read and are not in a page yet
        self._is_at_end = False
        self._read_to, self._last_read = start, before
        self._marks, self._known_marks = list(marks), len(marks)

    def pages(self) -> Iterator[CutPage]:
        while (page := self._next()) is not None:
            yield page

    def _next(self) -> CutPage | None:
        # The end of the segment. All offsets in this method are relative to `self._start`.
        boundary = self._skip_holes()
        if len(self._held) < boundary:
            return self._rest()
        line = self._held.rfind(b"\n", 0, boundary - 1) + 1
        while True:
            if line >= boundary and (self._begins is None or line - boundary > MAX_CONTINUATION_BYTES):
                return self._take(line)
            following = self._end_of_line(line)
            if following is None and not self._is_long(line):
                return self._rest()
            if line >= boundary and self._begins and self._begins(self._held[line : following or line + MAX_LINE_BYTES].removesuffix(b"\n")):
                return self._take(line)
            if following is None:
                return self._cut(line)
            line = following

    def _skip_holes(self) -> int:
        """Skip segments that are all zeros, and return where the next segment ends, relative to `self._start`.

        A program that keeps its offset after a truncation leaves a hole of zeros, which is as long as its log was.
        """
        while True:
            boundary = SEGMENT_BYTES - self._start % SEGMENT_BYTES
            self._fill(boundary + LOOKAHEAD_BYTES)
            if len(self._held) < boundary or self._held[0] or self._held.count(0, 0, boundary) < boundary:
                return boundary
            self._take(boundary)

    def _end_of_line(self, line: int) -> int | None:
        """Return where the line that begins at `line` ends. Returns None if it has no newline yet, or is too long."""
        searched = line
        while (newline := self._held.find(b"\n", searched, line + MAX_LINE_BYTES + 1)) < 0:
            searched = len(self._held)
            if self._is_long(line):
                return None
            if self._is_at_end:
                return searched if self._is_final() and searched > line else None
            self._fill(searched + max(LOOKAHEAD_BYTES, searched - line))
        return newline + 1

    def _is_long(self, line: int) -> bool:
        return len(self._held) - line > MAX_LINE_BYTES

    def _is_final(self) -> bool:
        return self._content.is_compressed and not self._content.failure

    def _rest(self) -> CutPage | None:
        """Return the last page of the content, or None. A last line or event that may still grow is left out."""
        end = len(self._held) if self._is_final() else self._held.rfind(b"\n") + 1
        if end and self._begins and not self._is_final() and self._is_live():
            last = self._last_event(self._begins, end)
            end = end if end - last > MAX_CONTINUATION_BYTES else last
        return self._take(end) if end else None

    def _last_event(self, begins: Begins, end: int) -> int:
        """Return where the last event before `end` begins. This event may still get more lines."""
        line, following = self._held.rfind(b"\n", 0, end - 1) + 1, end
        while line and not begins(self._held[line : following - 1]):
            line, following = self._held.rfind(b"\n", 0, line - 1) + 1, line
        return line

    def _cut(self, line: int) -> CutPage | None:
        """Return a page that ends with the first MAX_LINE_BYTES of the line at `line`, and skip the rest of this line.

        If the line has no newline yet, the page ends before it.
        """
        kept = self._held[: line + MAX_LINE_BYTES]
        skipped, tail, rest = 0, kept[-TAIL_BYTES:], self._held[len(kept) :]
        while (newline := rest.find(b"\n")) < 0 and rest:
            skipped, tail = skipped + len(rest), (tail + rest)[-TAIL_BYTES:]
            rest = self._read(SEGMENT_BYTES)
        if newline < 0 and not self._is_final():
            self._is_at_end = True
            self._held = self._held[:line]
            return self._rest()
        ended_by = rest[: newline + 1]
        self._held = rest[newline + 1 :]
        skipped += len(ended_by)
        return self._page(kept, skipped=skipped, tail=(tail + ended_by)[-TAIL_BYTES:], cut_bytes=skipped - (newline >= 0))

    def _take(self, end: int) -> CutPage:
        body, self._held = self._held[:end], self._held[end:]
        return self._page(body, skipped=0, tail=(self._before + body[-TAIL_BYTES:])[-TAIL_BYTES:])

    def _page(self, body: bytes, *, skipped: int, tail: bytes, cut_bytes: int = 0) -> CutPage:
        start, before = self._start, self._before
        self._start, self._before = start + len(body) + skipped, tail
        marks = self._marks[: max(mark_count(self._start), self._known_marks)]
        return CutPage(start=start, end=self._start, body=body, before=before, tail=tail, marks=marks, cut_bytes=cut_bytes)

    # --- reading ----------------------------------------------------------------------------------------------------

    def _fill(self, size: int) -> None:
        """Read until at least `size` bytes are held, or the content ends."""
        pieces, missing = [self._held], size - len(self._held)
        while missing > 0 and not self._is_at_end:
            pieces.append(self._read(missing))
            missing -= len(pieces[-1])
            self._is_at_end = not pieces[-1]
        if len(pieces) > 1:
            self._held = b"".join(pieces)

    def _read(self, size: int) -> bytes:
        piece = self._content.read(size)
        if (count := mark_count(self._read_to + len(piece))) > len(self._marks):
            seen, seen_from = self._last_read + piece, self._read_to - len(self._last_read)
            for offset in mark_offsets(count)[len(self._marks) :]:
                self._marks.append(mark(seen[max(0, offset - TAIL_BYTES - seen_from) : offset - seen_from]))
        self._read_to += len(piece)
        self._last_read = (self._last_read + piece[-TAIL_BYTES:])[-TAIL_BYTES:]
        return piece
