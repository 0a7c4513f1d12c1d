"""docs/metrics.md as a page: every metric and flag has a place to which numbers can be linked."""

import pytest
from django.conf import settings
from django.utils import translation

from dashboard.definitions.document import FILES, codes_of, definitions_in, headings_of
from dora_metrics.explain import METRICS


@pytest.mark.parametrize("language", FILES)
def test_every_metric_has_its_anchor_in_every_language(language):
    anchors = {heading.anchor for heading in definitions_in(language).headings}
    assert {*METRICS, "incident", "flags", "tiers"} <= anchors
    assert len(anchors) == len(definitions_in(language).headings)


@pytest.mark.parametrize("language", FILES)
def test_the_document_is_html_with_tables_and_no_html_of_its_own(language):
    found = definitions_in(language)
    assert found.title
    assert '<table class="list">' in found.html
    assert '<h2 id="change_fail_rate">' in found.html
    assert "&lt;id" in found.html
    assert "<sha>" not in found.html
    assert "style=" not in found.html
    assert "<h1" not in found.html


@pytest.mark.parametrize("language", sorted(set(FILES) - {"en"}))
def test_a_translation_has_the_same_headings_and_codes(language):
    assert [level for level, _text in headings_of(language)] == [level for level, _text in headings_of("en")]
    assert sorted(codes_of(language)) == sorted(codes_of("en"))


def test_a_language_without_a_translation_gets_the_english_document():
    assert definitions_in("pt-br") == definitions_in("en")


def test_the_files_are_in_the_image():
    listed = (settings.BASE_DIR / ".dockerignore").read_text().splitlines()
    assert {f"!{path.relative_to(settings.BASE_DIR)}" for path in FILES.values()} <= set(listed)


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_page_is_shown_in_the_reader_s_language(admin_client, language):
    answer = admin_client.get("/definitions/", headers={"accept-language": language})
    assert answer.status_code == 200
    with translation.override(language):
        assert definitions_in(language).title in answer.content.decode()
