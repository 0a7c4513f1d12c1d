"""What cleaning a staged page gives: good records, bad records, or a page that cannot be decoded at all."""

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
