"""Recognise a rotated file: by its content, whether it was renamed, copied, compressed or moved to another device.

A position keeps hashes of the file's first bytes, of the bytes before its offset, and of the bytes before some offsets in between
(marks). The first two identify the file itself. The marks identify a copy that is shorter than what has been read, because the
copy is still being made or because the original has grown since.
"""

import enum
from collections.abc import Callable, Iterable

from etl_tasks.sources.logs.following.content import FileMoved, ListedFile, LogContent
from etl_tasks.sources.logs.following.fingerprints import fingerprint_length, mark, mark_count, mark_offsets, matches
from etl_tasks.sources.logs.following.position import KnownPositions, Position


class Original(enum.Enum):
    """What the file of a known position has, compared with a file that may be a copy of it."""

    HAS_ALL = enum.auto()  # the other file is a copy, perhaps an earlier or an unfinished one
    HAS_LESS = enum.auto()  # the original is gone, was truncated, or is a copy itself
    DIFFERS = enum.auto()  # two logs with the same beginning


def continues(content: LogContent, position: Position) -> bool:
    """Return whether the content begins with everything that was read up to the position."""
    if not matches(position.fingerprint, content.head()):
        return False
    ends = mark_offsets(len(position.marks))
    found = bytes_before(content, [*ends, position.offset])
    if position.offset not in found or not matches(position.tail, found[position.offset]):
        return False
    # A file that is read again from its beginning has marks after its offset. It may have become shorter than those.
    return all(mark(found[end]) == expected for end, expected in zip(ends, position.marks, strict=True) if end in found)


def bytes_before(content: LogContent, ends: Iterable[int]) -> dict[int, bytes]:
    """Return the bytes before each of these offsets, as far as the content reaches."""
    found: dict[int, bytes] = {}
    for end in sorted(set(ends)):
        before = content.seek(end)
        if before is None:
            break
        found[end] = before
    return found


def marks_of(content: LogContent, end: int) -> list[str]:
    """Return the marks up to an offset that the content reaches."""
    return [mark(before) for before in bytes_before(content, mark_offsets(mark_count(end))).values()]


def starting_position(
    file: ListedFile, content: LogContent, known: KnownPositions, open_original: Callable[[Position], LogContent | None]
) -> Position | None:
    """Return where to start in a file at an unknown place. Returns None if it is a copy that holds nothing new.

    `open_original`: opens the file of a position; returns None if that is gone. Raises FileMoved.
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
        # At offset 0, which a file to be read again has, any file reaches the offset. So require that some content was compared.
        reaches_offset = reaches_offset and (compared > 0 or fingerprint_length(position.fingerprint) <= len(head))
        if not reaches_offset and position.last_place == file.place and not content.is_compressed:
            continue  # truncated in place. A compressed file with this inode is another file: the former one was deleted
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
    """Compare the file of a position with a possible copy of `length` bytes that ends with `ending`."""
    if original is None:
        return Original.HAS_LESS
    with original:
        same_place = original.seek(length)
        # Check `continues` last, after the bytes were read: the file may be truncated at any moment.
        if same_place is None or not continues(original, position):
            return Original.HAS_LESS
        return Original.HAS_ALL if same_place == ending else Original.DIFFERS
