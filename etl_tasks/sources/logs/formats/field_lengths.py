"""The maximum lengths of an event's values in the log store, and functions that cut values to these lengths."""

import msgspec

# A longer text is cut. The whole line stays in the staged page, the stored copy of what was read.
HOST_LENGTH = LOGGER_LENGTH = SERVICE_LENGTH = 255
METHOD_LENGTH = 20
TRACE_ID_LENGTH = 100
# This is far below 16 MiB, the size of the largest request to Cassandra.
MESSAGE_LENGTH = 1_000_000
VALUE_LENGTH = 100_000
CUT = "… (cut)"

# Keys of an event's `extra` that only the pipeline writes. If a line could write them, it could claim a deployment, or hide that it was cut.
MARKS = frozenset({"unparsed", "time_is", "cut", "deploy.sha", "deploy.environment", "deploy.state"})


def truncated(value: object, length: int) -> str:
    """Return a value as text of at most `length` characters. A value that is not a text becomes JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return text if len(text) <= length else text[: length - len(CUT)] + CUT


def extra_name(name: str) -> str:
    """Return the key in `extra` for the value that a line calls `name`. A name that is one of MARKS gets an underscore at its end."""
    return f"{name}_" if name in MARKS else truncated(name, VALUE_LENGTH)
