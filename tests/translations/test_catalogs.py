"""Every text that a person reads is translated: the catalogs are complete, and templates have no text outside of a translation."""

import re
from pathlib import Path

import pytest
from django.template.base import Lexer, TokenType
from django.utils.translation import gettext, override

from translations.catalogs import LANGUAGES, PACKAGES, ROOT, problems

TEMPLATES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("templates/**/*.html"))
WITHOUT_LANGUAGE = {"500.html"}  # shown if the server itself fails, when nothing may be looked up
# Names, which are the same in every language.
NAMES = re.compile(r"\b(callcentersite|GitHub|UTC|DORA|CSV|JSON|API|Flower|HTTP|URL|MB|KiB|utf-8|p50|p75|p90|sha|sha256|SHA|ms|colM)\b")
MARKUP = re.compile(r"<!--.*?-->|<(script|style|code)\b.*?</\1>|<[^>]*>?|^[^<]*>|&\w+;|&#\d+;", re.DOTALL)
READ_ATTRIBUTE = re.compile(r'\b(?:aria-label|title|placeholder|alt)="([^"{]*[A-Za-z]{2}[^"{]*)"')
WORD = re.compile(r"[A-Za-zÀ-ÿ]{2,}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_and_the_compiled_catalog_is_up_to_date(language: str) -> None:
    assert problems(language) == []


def test_a_translated_text_is_used() -> None:
    with override("es"):
        assert gettext("Overview") == "Resumen"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_text_outside_of_a_translation(path: Path) -> None:
    if path.name not in WITHOUT_LANGUAGE:
        assert untranslated(path.read_text()) == []


def untranslated(source: str) -> list[str]:
    """Return the words of the template that stand outside of tags, markup and translations."""
    outside: list[str] = []
    is_inside = False
    for token in Lexer(source).tokenize():
        if token.token_type == TokenType.BLOCK:
            tag = token.contents.split()[0]
            is_inside = tag in ("blocktranslate", "blocktrans", "comment") or (is_inside and not tag.startswith("end"))
            outside.append("\x00")
        elif token.token_type == TokenType.TEXT and not is_inside:
            outside.append(token.contents)
        else:
            outside.append("\x00")
    text = "".join(outside)
    attributes = [found for found in READ_ATTRIBUTE.findall(text) if WORD.search(NAMES.sub("", found))]
    plain = NAMES.sub("", MARKUP.sub(" ", text.replace("\x00", "")))
    return attributes + WORD.findall(plain)


def test_the_check_of_templates_finds_text_and_attributes() -> None:
    assert untranslated('<p class="big">{% translate "Good" %} bad {{ value }}</p>') == ["bad"]
    assert untranslated('<a title="Not good">{% blocktranslate %}fine{% endblocktranslate %}</a>') == ["Not good"]
    assert untranslated('<a href="{% url "x" %}" data-x="fine">{# note #}{{ y }} GitHub</a>') == []
