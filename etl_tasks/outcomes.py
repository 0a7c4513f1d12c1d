"""What reading a source gives: good records, bad records, pages that cannot be decoded, and parts that cannot be read."""

from dataclasses import dataclass
from typing import Any

import msgspec

WHOLE_PAGE = -1  # the index of a Bad that stands for its whole page


class Good(msgspec.Struct, frozen=True, gc=False):
    """A valid record. `is_unparsed`: a log line that does not match the source's format; it is kept as it is, and counted."""

    fact: Any
    is_unparsed: bool = False


class Bad(msgspec.Struct, frozen=True, gc=False):
    """A record that becomes a dead letter.

    `index`: its place in the page, from 0, or WHOLE_PAGE. `is_lost`: the source did not return it; `data` says how to request it again.
    """

    index: int
    key: str
    data: str
    error: str
    is_lost: bool = False


class UnreadablePage(ValueError):
    """The page as a whole is not in a form that the source is known to answer in."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a source that could not be read, such as one file. It becomes a dead letter, and the run continues."""

    stream: str
    name: str
    reason: str
