"""Facts that are kept packed in memory. A large service has tens of thousands, and most of them are looked at once."""

import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

import msgspec

ROWS_PER_BLOCK = 500
MOST_UNPACKED = 4000  # rows: packing those of a usual service would save a megabyte or two, and cost a tenth of the time of its metrics
LEVEL = 1  # the quickest level halves the rows, most of which are digits of shas; zstandard takes more memory for itself
T = TypeVar("T")


class Packed(Collection[T], Generic[T]):
    """A collection whose members are made anew from packed rows each time it is iterated. Up to MOST_UNPACKED rows are not packed.

    A row has numbers, texts, aware times, lists and dictionaries. `make`: returns the member of a row.
    """

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._blocks: list[bytes] = []
        self._latest: list[Sequence[Any]] = []
        self._count = 0

    def add(self, row: Sequence[Any]) -> None:
        self._latest.append(row)
        self._count += 1
        if len(self._latest) == (ROWS_PER_BLOCK if self._blocks else MOST_UNPACKED + 1):
            self._pack()

    def _pack(self) -> None:
        for start in range(0, len(self._latest), ROWS_PER_BLOCK):
            self._blocks.append(zlib.compress(msgspec.msgpack.encode(self._latest[start : start + ROWS_PER_BLOCK]), LEVEL))
        self._latest = []

    def __iter__(self) -> Iterator[T]:
        blocks = chain((msgspec.msgpack.decode(zlib.decompress(block)) for block in self._blocks), [self._latest])
        return (self._make(*row) for block in blocks for row in block)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, member: object) -> bool:
        return any(member == one for one in self)
