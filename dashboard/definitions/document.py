"""Render docs/metrics.md, and its translations, as HTML.

A translation has the same headings in the same order. The anchors are made from the English headings, so a link to a metric is the same in
every language.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from markdown_it import MarkdownIt
from markdown_it.token import Token

from dora_metrics.explain import METRICS

FOLDER = settings.BASE_DIR / "docs"
ENGLISH = "en"
FILES = {ENGLISH: FOLDER / "metrics.md", "es": FOLDER / "metrics.es.md"}


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Document:
    """The rendered document. `headings`: without its title. `html`: without its title, too."""

    language: str
    title: str
    headings: Sequence[Heading]
    html: SafeString


def anchor_of(heading: str) -> str:
    """Return the anchor of an English heading. That of a metric is the metric's name, such as change_fail_rate."""
    anchor = slugify(heading)
    name = anchor.replace("-", "_")
    return name if name in METRICS else anchor


def definitions_in(language: str) -> Document:
    """Return the document in this language, or in English if there is no translation. It is rendered again only if its file has changed."""
    chosen = language.partition("-")[0]
    if chosen not in FILES or not FILES[chosen].exists():
        chosen = ENGLISH
    return _rendered(chosen, FILES[chosen].stat().st_mtime_ns, FILES[ENGLISH].stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _rendered(language: str, _changed_at: int, _english_changed_at: int) -> Document:
    parser = _parser()
    tokens = parser.parse(_text(language))
    anchors = [anchor_of(text) for _level, text in headings_of(ENGLISH)]
    title, headings = "", []
    for (position, opening), anchor in zip(_opening_headings(tokens), anchors, strict=True):
        text = tokens[position + 1].content
        if opening.tag == "h1":
            title = text
            continue
        opening.attrSet("id", anchor)
        headings.append(Heading(int(opening.tag[1]), text, anchor))
    body = tokens[3:] if title else tokens  # a heading has three tokens
    html = parser.renderer.render(_with_wrapped_tables(body), parser.options, {})
    return Document(language, title, headings, mark_safe(html))  # noqa: S308  the file is a part of the product, and HTML in it is escaped


def headings_of(language: str) -> list[tuple[int, str]]:
    """Return the level and the text of each heading."""
    tokens = _parser().parse(_text(language))
    return [(int(opening.tag[1]), tokens[position + 1].content) for position, opening in _opening_headings(tokens)]


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _text(language: str) -> str:
    path: Path = FILES[language]
    return path.read_text(encoding="utf-8")


def _opening_headings(tokens: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    return ((position, token) for position, token in enumerate(tokens) if token.type == "heading_open")


def _with_wrapped_tables(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens with each table in the container in which a wide table scrolls."""
    found: list[Token] = []
    for token in tokens:
        if token.type == "table_open":
            token.attrSet("class", "list")
            found.append(Token("html_block", "", 0, content='<div class="table-wrap" tabindex="0">\n'))
        found.append(token)
        if token.type == "table_close":
            found.append(Token("html_block", "", 0, content="</div>\n"))
    return found


def codes_of(language: str) -> list[str]:
    """Return every text that the document has between backticks, in order."""
    inline = (child for token in _parser().parse(_text(language)) for child in token.children or ())
    return [child.content for child in inline if child.type == "code_inline"]
