"""How far each file has been read, and the hashes by which it is recognised later."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from etl_tasks.sources.logs.following.content import TAIL_BYTES
from etl_tasks.sources.logs.following.fingerprints import fingerprint, fingerprint_length

STREAM_PREFIX = "file:"
# The cursor of this stream has {"next": the lowest generation of a new file}. It is raised when positions are deleted, so that no new file gets
# the identity of a forgotten one: its events would have the ids of stored events, and would not be stored.
GENERATIONS = "generations"


class Position(msgspec.Struct, frozen=True):
    """Where to continue in a file.

    `identity`: "device:inode:generation", with the device and inode where the file was first seen. The generation tells apart files that had the
    same inode one after the other. `place`: "device:inode" where the file was last seen; empty if these are the same. `fingerprint`: "length:hash"
    of the file's first bytes. `tail`: "length:hash" of the last bytes before `offset`. `marks`: the hashes of the bytes before each offset of
    `mark_offsets` up to which the file has been read. `read_whole`: the size and modification time of a compressed file that was read to its end.
    Until they change, the file is not unpacked again. `gone_since`: when a run first found neither the file nor a copy (ISO 8601); empty while
    there is one.
    """

    identity: str
    fingerprint: str
    offset: int
    path: str
    tail: str = "0:"
    marks: list[str] = []
    place: str = ""
    read_whole: str = ""
    gone_since: str = ""

    @property
    def stream(self) -> str:
        return STREAM_PREFIX + self.identity

    @property
    def generation(self) -> int:
        return int(self.identity.rpartition(":")[2])

    @property
    def first_place(self) -> str:
        return self.identity.rpartition(":")[0]

    @property
    def last_place(self) -> str:
        return self.place or self.first_place


class KnownPositions:
    """The positions of all known files. A run updates them while it reads."""

    def __init__(self, positions: Mapping[str, Mapping[str, object]]) -> None:
        self._positions: dict[str, Position] = {}
        self._by_place: defaultdict[str, set[str]] = defaultdict(set)  # identities, by the place where a file was last seen
        self._by_fingerprint: defaultdict[int, defaultdict[str, set[str]]] = defaultdict(
            lambda: defaultdict(set)
        )  # identities, by length and fingerprint
        lowest = int(str(positions.get(GENERATIONS, {}).get("next", 0)))
        self._generations: defaultdict[str, int] = defaultdict(lambda: lowest)  # the generation that the next new file at a place gets
        for stream, position in positions.items():
            if stream.startswith(STREAM_PREFIX):
                self.update(msgspec.convert(position, Position))

    def update(self, position: Position) -> None:
        if former := self._positions.get(position.identity):
            self._by_place[former.last_place].discard(former.identity)
            self._by_fingerprint[fingerprint_length(former.fingerprint)][former.fingerprint].discard(former.identity)
        self._positions[position.identity] = position
        self._by_place[position.last_place].add(position.identity)
        self._by_fingerprint[fingerprint_length(position.fingerprint)][position.fingerprint].add(position.identity)
        self._generations[position.first_place] = max(self._generations[position.first_place], position.generation + 1)

    def all(self) -> list[Position]:
        return list(self._positions.values())

    def at(self, place: str) -> list[Position]:
        """Return the positions of the files that were last seen at a place (device and inode), the latest generation first."""
        found = (self._positions[identity] for identity in self._by_place.get(place, ()))
        return sorted(found, key=lambda position: (position.generation, position.offset), reverse=True)

    def with_head(self, head: bytes) -> list[Position]:
        """Return the positions of the known files that may begin like a file whose first bytes are `head`, at most TAIL_BYTES.

        These are the files whose fingerprint matches `head`. If `head` has less than TAIL_BYTES, it is a whole file and may be the beginning of any
        file with a longer fingerprint, so the positions of all these files are returned too.
        """
        found: set[str] = set()
        for length, by_fingerprint in self._by_fingerprint.items():
            if length <= len(head):
                found |= by_fingerprint.get(fingerprint(head[:length]), set())
            elif len(head) < TAIL_BYTES:
                found = found.union(*by_fingerprint.values())
        return [self._positions[identity] for identity in sorted(found)]

    def new(self, place: str) -> Position:
        """Return the position of a new file, with offset 0. If other files were first seen at this place, it gets the next generation."""
        return Position(identity=f"{place}:{self._generations[place]}", fingerprint="0:", offset=0, path="", place=place)
