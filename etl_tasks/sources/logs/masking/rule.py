"""A masking rule, and the parts that the patterns of several rules share."""

from collections.abc import Callable
from dataclasses import dataclass

QUOTE = r"""\\*["']"""  # a \ belongs to the quote after it. If a \ was left before the stars, the text would no longer be JSON
QUOTES = f"(?:{QUOTE})*"
GAP = r"[ \t]{0,8}"  # not \s, because the value of a name is in the same line
IS = rf"{QUOTES}{GAP}[:=]>?{GAP}(?:\[{GAP})?"
# The first character of a header's value. If a JSON string ends with the header's name, the characters that follow it are no value, so they are
# excluded.
FIRST = r"""[^\s"'\\,;:{}\[\]]"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule. `pattern`: an RE2 regex for lower-cased lines. It has at least one group, and each of its groups matches a secret.

    `is_secret`: a function that checks a match further. It is given the lower-cased body, and the start and end of the secret.
    `starts_option`: whether the group only matches the start of a command-line option. `command_lines.Options` then finds the secret.
    """

    pattern: str
    is_secret: Callable[[bytes, int, int], bool] | None = None
    starts_option: bool = False
