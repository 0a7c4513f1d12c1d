"""A masking rule, and the parts that the patterns of several rules share."""

from collections.abc import Callable
from dataclasses import dataclass

QUOTE = r"""\\*["']"""  # a \ only before a quote: if a \ stayed before the stars, the text would no longer be JSON
QUOTES = f"(?:{QUOTE})*"
GAP = r"[ \t]{0,8}"  # not \s: a name at the end of a line says nothing about the next line
IS = rf"{QUOTES}{GAP}[:=]>?{GAP}(?:\[{GAP})?"
# The first character of a header's value. It excludes what follows a JSON text that ends with the header's name.
FIRST = r"""[^\s"'\\,;:{}\[\]]"""


@dataclass(frozen=True, slots=True)
class Rule:
    """`pattern`: RE2 over lower-cased lines; each of its groups is a secret, or the whole match if it has no group.

    `is_secret`: a further check of a match, given the lower-cased body and the match's start and end.
    `starts_option`: a match is the start of a command-line option; `Options` finds the secret in it.
    """

    pattern: str
    is_secret: Callable[[bytes, int, int], bool] | None = None
    starts_option: bool = False
