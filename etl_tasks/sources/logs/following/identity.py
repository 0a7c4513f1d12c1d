"""Which file is which: what a position remembers of a file's content, and how the file is known again by it.

A position keeps hashes and no content: of the file's first bytes, of the bytes before the offset, and of the bytes before
some offsets on the way (marks). By the first two the same file is known; by the marks a copy that is shorter than what has
been read, because it is still being made or because the original went on.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from etl_tasks.sources.logs.following.content import TAIL_BYTES, Plain

STREAM_PREFIX = "file:"
MARK_BYTES = 4


class Position(msgspec.Struct, frozen=True):
    """Where to go on in a file. `identity` is device:inode:generation of where it was first seen, `place` device:inode of
    where it was last seen (empty: the same).

    `fingerprint` and `tail` are "length:hash" of the file's first bytes and of the last bytes before `offset`. `marks`: hashes
    of the up to 256 bytes before each offset of `mark_offset`, as far as the file has been read. `read_whole`: size and time of
    a compressed file that has been read to its end, so that it need not be unpacked again to see that nothing is new.
    """

    identity: str
    fingerprint: str
    offset: int
    path: str
    tail: str = "0:"
    marks: list[str] = []
    place: str = ""
    read_whole: str = ""

    @property
    def stream(self) -> str:
        return STREAM_PREFIX + self.identity

    @property
    def generation(self) -> int:
        return int(self.identity.rpartition(":")[2])

    @property
    def origin(self) -> str:
        return self.identity.rpartition(":")[0]

    @property
    def at(self) -> str:
        return self.place or self.origin


class Known:
    """All files that are known, and how far each has been read; grows while a run reads."""

    def __init__(self, positions: Mapping[str, Mapping[str, object]]) -> None:
        self._positions: dict[str, Position] = {}
        self._at: defaultdict[str, set[str]] = defaultdict(set)  # identities by place
        self._begun_as: defaultdict[int, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # by length of fingerprint, and it
        self._generations: defaultdict[str, int] = defaultdict(int)  # how many files have been first seen at a place
        for stream, position in positions.items():
            if stream.startswith(STREAM_PREFIX):
                self.learn(msgspec.convert(position, Position))

    def learn(self, position: Position) -> None:
        if former := self._positions.get(position.identity):
            self._at[former.at].discard(former.identity)
            self._begun_as[length_of(former.fingerprint)][former.fingerprint].discard(former.identity)
        self._positions[position.identity] = position
        self._at[position.at].add(position.identity)
        self._begun_as[length_of(position.fingerprint)][position.fingerprint].add(position.identity)
        self._generations[position.origin] = max(self._generations[position.origin], position.generation + 1)

    def at(self, place: str) -> list[Position]:
        """Whose files have been at a place, the latest first."""
        found = (self._positions[identity] for identity in self._at.get(place, ()))
        return sorted(found, key=lambda position: (position.generation, position.offset), reverse=True)

    def begun_as(self, head: bytes) -> list[Position]:
        """Whose file begins with `head`, which is less than a fingerprint only where it is all there is of a file."""
        found: set[str] = set()
        for length, by_fingerprint in self._begun_as.items():
            if length <= len(head):
                found |= by_fingerprint.get(mark(head[:length]), set())
            elif len(head) < TAIL_BYTES:
                found = found.union(*by_fingerprint.values())
        return [self._positions[identity] for identity in sorted(found)]

    def new(self, place: str) -> Position:
        """Where a file begins that is not known: at a place that others have had, as the next generation."""
        return Position(identity=f"{place}:{self._generations[place]}", fingerprint="0:", offset=0, path="", place=place)


def goes_on(content: Plain, position: Position) -> bool:
    """Whether the content is that of the position, as far as it was read, or more."""
    if not is_mark_of(position.fingerprint, content.head()):
        return False
    ends = mark_offsets(len(position.marks))
    found = tails(content, [*ends, position.offset])
    if position.offset not in found or not is_mark_of(position.tail, found[position.offset]):
        return False
    # Read again from the beginning, a position has marks behind its offset, which the file need not reach.
    return all(short_mark(found[end]) == expected for end, expected in zip(ends, position.marks, strict=True) if end in found)


def tails(content: Plain, ends: Iterable[int]) -> dict[int, bytes]:
    """The bytes before each of these offsets that the content reaches."""
    found: dict[int, bytes] = {}
    for end in sorted(set(ends)):
        before = content.seek(end)
        if before is None:
            break
        found[end] = before
    return found


def marks_of(content: Plain, end: int) -> list[str]:
    """The marks up to an offset that the content reaches."""
    return [short_mark(before) for before in tails(content, mark_offsets(mark_count(end))).values()]


# --- marks: of two logs that share a banner, the shorter one is taken for a copy of the other, which is gone, only where
# --- less than a mark's distance of it is its own


def mark_offsets(count: int) -> list[int]:
    """Every 64 bytes up to 4 KiB, as long as a banner may be, then eight between a power of two and the next."""
    return [64 * (index + 1) if index < 64 else (9 + index % 8) << (index // 8 + 1) for index in range(count)]


def mark_count(end: int) -> int:
    """How many marks there are up to an offset."""
    if end < 4096:
        return end // 64
    octave = end.bit_length() - 13
    return 64 + 8 * octave + (end >> (octave + 9)) - 8


def short_mark(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=MARK_BYTES).hexdigest()


def mark(content: bytes) -> str:
    return f"{len(content)}:{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def length_of(mark: str) -> int:
    return int(mark.partition(":")[0])


def is_mark_of(expected: str, content: bytes) -> bool:
    """`content`: a head or a tail that may be longer than what was marked; a tail is cut in front."""
    return expected.startswith("0:") or expected in (mark(content[: length_of(expected)]), mark(content[-length_of(expected) :]))
