"""Text from outside, made safe to show on a terminal."""

import re

# What a terminal obeys instead of showing it, what turns or hides text, what ends a line, and what no encoding has; not line feed and tab.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


def printable(text: str) -> str:
    """Lines stay lines; what else could control a terminal is shown as an escape."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    return printable(text).replace("\n", "\\n")


def printable_json(text: str) -> str:
    """The same value without a letter that could control a terminal, which only its strings can have."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
