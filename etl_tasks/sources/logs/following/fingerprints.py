"""Hashes of a file's content, by which it is recognised under another name or inode. No content is kept.

A mark is a hash of the up to 256 bytes before an offset. Marks are close together at the beginning of a file and get farther apart.
A shorter log with the same header counts as a copy of a deleted one only if they differ by less than one mark interval.
"""

import hashlib

MARK_BYTES = 4


def mark_offsets(count: int) -> list[int]:
    """Return the offsets of the first marks: every 64 bytes up to 4 KiB, the size of a long header, then eight between powers of two."""
    return [64 * (index + 1) if index < 64 else (9 + index % 8) << (index // 8 + 1) for index in range(count)]


def mark_count(end: int) -> int:
    """Return how many marks there are up to an offset."""
    if end < 4096:
        return end // 64
    octave = end.bit_length() - 13
    return 64 + 8 * octave + (end >> (octave + 9)) - 8


def mark(content: bytes) -> str:
    """Return the hash of the bytes before an offset."""
    return hashlib.blake2b(content, digest_size=MARK_BYTES).hexdigest()


def fingerprint(content: bytes) -> str:
    """Return "length:hash" of the first bytes of a file, or of the bytes before an offset."""
    return f"{len(content)}:{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def fingerprint_length(fingerprint: str) -> int:
    return int(fingerprint.partition(":")[0])


def matches(expected: str, content: bytes) -> bool:
    """Return whether `content` has this fingerprint. A head may be longer at its end, and a tail at its beginning, than what was hashed."""
    length = fingerprint_length(expected)
    return expected.startswith("0:") or expected in (fingerprint(content[:length]), fingerprint(content[-length:]))
