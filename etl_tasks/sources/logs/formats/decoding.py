"""Decode the bytes of a log chunk (its body) into lines of text."""

import re
from collections.abc import Iterator
from itertools import accumulate

BYTE_ORDER_MARK = "\ufeff"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
# The escape sequences for a terminal's colours and styles. They occur before the time and inside messages.
_STYLE = re.compile(r"\x1b\[[\d;]*m")


def lines_with_offsets(body: bytes, *, backslash: str = "\\") -> Iterator[tuple[int, str]]:
    """Return the decoded lines, each with the offset of its first byte. `backslash`: as in `decoded_lines`."""
    texts = decoded_lines(body, backslash=backslash)
    # Decoding changes the length of a line only if it has NULs, carriage returns, escapes or bytes that are not ASCII.
    is_verbatim = body.isascii() and b"\0" not in body and b"\r" not in body and b"\x1b" not in body
    lengths = map(len, texts if is_verbatim else body.split(b"\n"))
    return zip(accumulate((length + 1 for length in lengths), initial=0), texts, strict=False)


def decoded_lines(body: bytes, *, backslash: str = "\\") -> list[str]:
    """Return every line of the body, also blank ones, without its newline or carriage return.

    NULs and bytes that are not UTF-8 become escapes such as \\xff. `backslash`: the text with which an escape begins. NULs at the beginning and
    the end of a line are removed, because a program that keeps its offset after a truncation leaves zeros before its next line. A byte order
    mark is removed at the beginning of every line, because a log may consist of several files that each began with one. A terminal's styles are
    removed everywhere.
    """
    text = decoded(body, backslash=backslash)
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


def decoded(body: bytes, *, backslash: str = "\\") -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        text = body.decode(errors="surrogateescape")
        return _NOT_UTF8.sub(lambda found: f"{backslash}x{ord(found[0]) - 0xDC00:02x}", text)
