"""What cleaning a staged page gives: good records, bad records, or a page that cannot be read at all."""

from typing import Any

import msgspec


class Good(msgspec.Struct, frozen=True, gc=False):
    """`is_unparsed`: kept as it is, and counted: a log line that is no event of its format."""

    fact: Any
    is_unparsed: bool = False


class Bad(msgspec.Struct, frozen=True, gc=False):
    """`is_lost`: the source did not give it; `data` says how it is asked for again."""

    index: int
    key: str
    data: str
    error: str
    is_lost: bool = False


class UnreadablePage(ValueError):
    """The page as a whole is not what the source is known to answer."""
