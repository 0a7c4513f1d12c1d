"""Hashes of a file's content, by which the file is recognised under another name or inode. The content itself is not kept.

A mark is the hash of the last 256 bytes (or fewer) before one of the offsets that `mark_offsets` returns. These are close together at the beginning
of a file and farther apart later.

A new log may begin with the same header as a deleted one. It is taken for a copy of the deleted log only as long as its own content, after the
header, is shorter than the distance between two marks.
"""

import hashlib

MARK_BYTES = 4


def mark_offsets(count: int) -> list[int]:
    """Return the offsets of the first `count` marks.

    There is one every 64 bytes up to 4 KiB (the size of a long header), then eight from 4 to 8 KiB, eight from 8 to 16 KiB, and so on.
    """
    return [64 * (index + 1) if index < 64 else (9 + index % 8) << (index // 8 + 1) for index in range(count)]


def mark_count(end: int) -> int:
    """Return how many marks are at offsets up to `end`."""
    if end < 4096:
        return end // 64
    octave = end.bit_length() - 13
    return 64 + 8 * octave + (end >> (octave + 9)) - 8


def mark(content: bytes) -> str:
    """Return the hash that is stored for an offset of `mark_offsets`. `content`: the bytes before this offset, at most 256."""
    return hashlib.blake2b(content, digest_size=MARK_BYTES).hexdigest()


def fingerprint(content: bytes) -> str:
    """Return "length:hash" of `content`: the first bytes of a file, or the bytes before an offset."""
    return f"{len(content)}:{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def fingerprint_length(fingerprint: str) -> int:
    return int(fingerprint.partition(":")[0])


def matches(expected: str, content: bytes) -> bool:
    """Return whether `content` begins or ends with the bytes whose fingerprint is `expected`. `content` may be longer than these bytes."""
    length = fingerprint_length(expected)
    return expected.startswith("0:") or expected in (fingerprint(content[:length]), fingerprint(content[-length:]))
