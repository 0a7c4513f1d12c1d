"""The text of a body of lines, and what of a value fits the columns of the log store."""

import re
from collections.abc import Iterator
from itertools import accumulate

import msgspec

# The columns of the log store; a longer text is cut, the staged page keeps the whole line.
HOST_LENGTH = LOGGER_LENGTH = SERVICE_LENGTH = 255
METHOD_LENGTH = 20
TRACE_ID_LENGTH = 100
# Far under the 16 MiB that one request to Cassandra may have.
MESSAGE_LENGTH = 1_000_000
VALUE_LENGTH = 100_000
CUT = "… (cut)"

# What the pipeline itself writes into `extra`: a line cannot say it, for it would announce a deployment or hide that it was cut.
MARKS = frozenset({"unparsed", "time_is", "cut", "deploy.sha", "deploy.environment", "deploy.state"})

BYTE_ORDER_MARK = "\ufeff"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
# Colours and the like, for a terminal: they stand before the time as well as inside a message.
_STYLE = re.compile(r"\x1b\[[\d;]*m")


def lines_of(body: bytes, *, backslash: str = "\\") -> Iterator[tuple[int, str]]:
    """The texts of the lines, each with the offset of its first byte."""
    texts = texts_of(body, backslash=backslash)
    # What is no ASCII, or was changed for its NULs, carriage returns and escapes, is longer or shorter in the body.
    is_verbatim = body.isascii() and b"\0" not in body and b"\r" not in body and b"\x1b" not in body
    lengths = map(len, texts if is_verbatim else body.split(b"\n"))
    return zip(accumulate((length + 1 for length in lengths), initial=0), texts, strict=False)


def texts_of(body: bytes, *, backslash: str = "\\") -> list[str]:
    """Every line of the body, blank ones too, without its newline or carriage return.

    Bytes that are not UTF-8 and NUL become escapes such as \\xff, which `backslash` begins. NULs around a line go: a program
    that keeps its offset over a truncation leaves a hole of zeros before its next line. A byte order mark goes at the beginning of any
    line, since files that begin with one are appended to each other. A terminal's styles go wherever they are.
    """
    text = text_of(body, backslash=backslash)
    if "\x1b" in text:
        text = _STYLE.sub("", text)
    lines = text.split("\n")
    if "\0" in text:
        lines = [line.strip("\0").replace("\0", f"{backslash}x00") for line in lines]
    if "\r" in text:
        lines = [line.rstrip("\r") for line in lines]
    if BYTE_ORDER_MARK in text:
        lines = [line.lstrip(BYTE_ORDER_MARK) for line in lines]
    return lines


def text_of(body: bytes, *, backslash: str = "\\") -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        text = body.decode(errors="surrogateescape")
        return _NOT_UTF8.sub(lambda found: f"{backslash}x{ord(found[0]) - 0xDC00:02x}", text)


def fitting(value: object, length: int) -> str:
    """A value as text, cut to what a column holds. What is no text is written as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return text if len(text) <= length else text[: length - len(CUT)] + CUT


def extra_name(name: str) -> str:
    """The name that a line's own value has in `extra`."""
    return f"{name}_" if name in MARKS else fitting(name, VALUE_LENGTH)
