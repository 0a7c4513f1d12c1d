"""The possible results of reading a source: good records, bad records, pages that cannot be decoded, and parts that cannot be read."""

from dataclasses import dataclass
from typing import Any

import msgspec

WHOLE_PAGE = -1  # the index of a Bad that stands for its whole page


class Good(msgspec.Struct, frozen=True, gc=False):
    """A valid record.

    `is_unparsed`: True for a log line that does not match the source's format. Such a line is kept as it is, and is counted.
    """

    fact: Any
    is_unparsed: bool = False


class Bad(msgspec.Struct, frozen=True, gc=False):
    """A record that becomes a dead letter.

    `index`: its place in the page, from 0, or WHOLE_PAGE. `key`: the id of the record or log event, as far as it is known.
    `is_lost`: True if the source did not return the record; `data` then says how to request it again.
    """

    index: int
    key: str
    data: str
    error: str
    is_lost: bool = False


class UnreadablePage(ValueError):
    """The page cannot be decoded as a whole: it has none of the forms in which the source is known to answer."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a source that could not be read, such as one file. It becomes a dead letter, and the run continues."""

    stream: str
    name: str
    reason: str
