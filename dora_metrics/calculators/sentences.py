"""Sentences that are made of a template and values.

A sentence is an English text. Pages translate its template, and show the facts in it as links, so both are kept.
"""

from typing import Self


def gettext_noop(text: str) -> str:
    """Mark a template for translation, like Django's function of this name, which the calculators may not import."""
    return text


class Sentence(str):
    """The text of `template` with a value in place of each pair of braces."""

    template: str
    values: tuple[object, ...]

    def __new__(cls, template: str, *values: object) -> Self:
        made = super().__new__(cls, template.format(*values))
        made.template, made.values = template, values
        return made


class LogLines(str):
    """The command that prints certain log lines. `url`: the path of the page that shows them."""

    url: str

    def __new__(cls, command: str, url: str) -> Self:
        made = super().__new__(cls, command)
        made.url = url
        return made
