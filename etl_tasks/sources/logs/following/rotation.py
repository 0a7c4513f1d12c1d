"""Recognise a rotated file by its content, whether it was renamed, copied, compressed or moved to another device.

The stored position of a file (see position.py) has hashes of the file's first bytes, of the bytes before the offset up to which it has been read,
and of the bytes before some offsets in between (marks). The first two hashes identify the file itself. The marks identify a copy that is shorter
than what has been read, because the copy is still being made, or because the original has grown since.
"""

import enum
from collections.abc import Callable, Iterable

from etl_tasks.sources.logs.following.content import FileMoved, ListedFile, LogContent
from etl_tasks.sources.logs.following.fingerprints import fingerprint_length, mark, mark_count, mark_offsets, matches
from etl_tasks.sources.logs.following.position import KnownPositions, Position


class Original(enum.Enum):
    """The result of comparing the original, which is the file of a known position, with another file that may be a copy of it."""

    HAS_ALL = enum.auto()  # the original has all bytes of the other file, which is a copy, perhaps an earlier or unfinished one
    HAS_LESS = enum.auto()  # the original is gone, was truncated, or is itself a shorter copy
    DIFFERS = enum.auto()  # the two are different logs with the same beginning


def continues(content: LogContent, position: Position) -> bool:
    """Return whether the content still begins with everything that was read up to the position."""
    if not matches(position.fingerprint, content.head()):
        return False
    ends = mark_offsets(len(position.marks))
    found = bytes_before(content, [*ends, position.offset])
    if position.offset not in found or not matches(position.tail, found[position.offset]):
        return False
    # The position of a file that is read again from its beginning has marks after its offset. If the file has become shorter, it does not reach
    # all of them, and only the others are compared.
    return all(mark(found[end]) == expected for end, expected in zip(ends, position.marks, strict=True) if end in found)


def bytes_before(content: LogContent, ends: Iterable[int]) -> dict[int, bytes]:
    """Return the bytes before each of the offsets `ends`, at most TAIL_BYTES; the offset is the key. Offsets beyond the content are left out."""
    found: dict[int, bytes] = {}
    for end in sorted(set(ends)):
        before = content.seek(end)
        if before is None:
            break
        found[end] = before
    return found


def marks_of(content: LogContent, end: int) -> list[str]:
    """Return the content's marks up to the offset `end`."""
    return [mark(before) for before in bytes_before(content, mark_offsets(mark_count(end))).values()]


def starting_position(
    file: ListedFile, content: LogContent, known: KnownPositions, open_original: Callable[[Position], LogContent | None]
) -> Position | None:
    """Return where to start reading a file that was not recognised by its device and inode. Returns None if it is empty, or a copy with nothing new.

    `open_original`: a function that opens the file of a position, or returns None if that file is gone. Raises FileMoved.
    """
    head = content.head()
    if not head:
        return None
    candidates = known.with_head(head)
    if not candidates:
        return known.new(file.place)
    length = content.length()
    marks = marks_of(content, length)
    before = bytes_before(content, [position.offset for position in candidates] + [length])
    if length not in before:
        raise FileMoved
    to_continue: list[Position] = []
    is_read_already = False
    for position in candidates:
        compared = min(len(marks), len(position.marks))
        reaches_offset = position.offset in before
        if marks[:compared] != position.marks[:compared] or (reaches_offset and not matches(position.tail, before[position.offset])):
            continue
        # The position of a file that is to be read again has offset 0, which every file reaches. So also require that some content was compared.
        reaches_offset = reaches_offset and (compared > 0 or fingerprint_length(position.fingerprint) <= len(head))
        if not reaches_offset and position.last_place == file.place and not content.is_compressed:
            # The file was truncated in place. A compressed file is another file: the original was deleted, and its inode was reused.
            continue
        match _compared_with(open_original(position), position, before[length], length):
            case Original.HAS_ALL:
                return None
            case Original.DIFFERS:
                continue
            case Original.HAS_LESS if reaches_offset:
                to_continue.append(position)
            case Original.HAS_LESS:
                is_read_already |= compared > 0
    if to_continue:
        return max(to_continue, key=lambda position: position.offset)
    return None if is_read_already else known.new(file.place)


def _compared_with(original: LogContent | None, position: Position, ending: bytes, length: int) -> Original:
    """Compare the original, the file of a position, with a possible copy that has `length` bytes and ends with the bytes `ending`."""
    if original is None:
        return Original.HAS_LESS
    with original:
        same_place = original.seek(length)
        # Check `continues` only after the bytes were read, because the file may be truncated at any moment.
        if same_place is None or not continues(original, position):
            return Original.HAS_LESS
        return Original.HAS_ALL if same_place == ending else Original.DIFFERS
