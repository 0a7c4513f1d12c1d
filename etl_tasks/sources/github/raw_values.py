"""Decode an answer, and read parts of it that nobody has validated yet.

Extract looks into records before transform validates them, for example at their ids. A record that has something else in such a place must not
stop it: transform makes that record a dead letter.
"""

import json
from collections.abc import Mapping
from typing import Any, TypedDict

import msgspec

GREATEST_NUMBER = 2**63 - 1  # of a database column


def decoded_json(content: bytes) -> Any:
    """Return the decoded JSON. Raises ValueError if the content is not JSON, or RecursionError if it is thousands of lists in each other."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return json.loads(content)  # Python's decoder is slower, and also takes NaN and half of a character (an unpaired surrogate)


def decoded_part(content: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Return the part of the JSON that the decoder's type has. Raises msgspec.MsgspecError or ValueError if the JSON has another form."""
    return decoder.decode(content)


def object_type(fields: Mapping[str, Any], *, has_all: bool) -> Any:
    """Return the type of a JSON object that is decoded into a dictionary with these fields. `has_all`: raise if one is missing."""
    make: Any = TypedDict  # a type checker accepts only types that are written out
    return make("part", fields, total=has_all)


def as_object(value: Any) -> Mapping[str, Any]:
    """Return the value if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the value if it is a list, otherwise an empty one."""
    return value if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return the value if it is a text, otherwise an empty one."""
    return value if isinstance(value, str) else ""


def as_number(value: Any) -> int | None:
    """Return the value if it is a whole number that a database column can hold, otherwise None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= GREATEST_NUMBER else None


def objects_in(connection: Any) -> list[Mapping[str, Any]]:
    """Return the nodes of a connection that are objects."""
    return [node for node in as_list(as_object(connection).get("nodes")) if isinstance(node, dict)]
