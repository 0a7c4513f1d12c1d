"""Sentences that are made of a template and values.

A sentence is an English text. Pages translate its template, and show the facts in it as links, so both are kept.
"""

from datetime import UTC, datetime
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


class Minute(str):
    """A minute in UTC as text, such as 2026-01-04 12:00 UTC. `moment`: the same as a time, for pages that show it in their own way."""

    moment: datetime

    def __new__(cls, moment: datetime) -> Self:
        made = super().__new__(cls, f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
        made.moment = moment
        return made


class LogLines(str):
    """The command that prints certain log lines. `url`: the path of the page that shows them."""

    url: str

    def __new__(cls, command: str, url: str) -> Self:
        made = super().__new__(cls, command)
        made.url = url
        return made
