"""Regexes that users enter. They run on RE2, which takes time linear in the length of the text, whatever the pattern is."""

from collections.abc import Callable

import re2

from dora_metrics import patterns
from dora_metrics.calculators.sentences import Sentence, gettext_noop

# A function that returns the groups of a line, or None if the line does not match.
Matcher = Callable[[str], tuple[str | None, ...] | None]


_REFUSED = gettext_noop("the pattern {!r} is not a regular expression that RE2 reads ({}): it has no look-around and no back-references")


def compiled(pattern: str, refused: str = _REFUSED, *, as_bytes: bool = False) -> "re2._Regexp":
    """Compile a regex that a user entered. Raises ValueError if RE2 refuses the regex. `refused`: the template of its Sentence."""
    try:
        return patterns.compiled(pattern.encode() if as_bytes else pattern)
    except ValueError as exc:
        raise ValueError(Sentence(refused, pattern, str(exc))) from exc


def line_matcher(pattern: str, groups: tuple[int, ...]) -> Matcher:
    """Return a function that matches a whole line and returns the groups with these numbers.

    The regex is matched with bytes, because for a str RE2 converts every offset between characters and bytes.
    """
    fullmatch = compiled(pattern, as_bytes=True).fullmatch

    def match(line: str) -> tuple[str | None, ...] | None:
        found = fullmatch(line.encode())
        return None if found is None else tuple([None if (value := found[group]) is None else value.decode() for group in groups])

    return match
