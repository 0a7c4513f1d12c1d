"""Escape control characters in text from outside, so that the text cannot control a terminal."""

import re

# Characters that control a terminal, change the direction of text, hide text or end a line, and lone surrogates. Line feed and tab
# are not among them.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


def printable(text: str) -> str:
    """Replace control characters except line feed and tab by escapes such as \\x1b."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Replace control characters and line feeds by escapes."""
    return printable(text).replace("\n", "\\n")


def printable_json(text: str) -> str:
    """Replace control characters in JSON by JSON escapes. The JSON value stays the same, because these characters occur in its strings only."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
