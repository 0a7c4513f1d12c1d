"""Rules in words, with links from fact to fact. Nothing in them can break out of the page."""

import pytest
from django.utils.translation import override

from dashboard.facts.links import FactLinks, fact_label, linked_sentence, safe_url
from dora_metrics.calculators.sentences import LogLines, Sentence

ONE = FactLinks("billing", {"acme/billing": 3})
TWO = FactLinks("billing", {"acme/billing": 3, "acme/invoices": 5})
STAGING = FactLinks("billing", {"acme/billing": 3}, "stage & more")


@pytest.mark.parametrize(
    ("links", "fact", "url"),
    [
        (ONE, "deployment 55", "/services/billing/deployments/55/"),
        (ONE, "issue 12", "/services/billing/incidents/issue~2012/"),
        (ONE, "logs 2026-01-08T02:00Z", "/services/billing/incidents/logs~202026-01-08T02~3A00Z/"),
        (ONE, "pull request 7", "/services/billing/changes/3/7/"),
        (TWO, "pull request acme/invoices#7", "/services/billing/changes/5/7/"),
        (TWO, "pull request acme/unknown#7", ""),
        (STAGING, "deployment 55", "/services/billing/deployments/55/?environment=stage+%26+more"),
        (FactLinks("billing", {}), "pull request 7", ""),
        (ONE, "pull request seven", ""),
        (ONE, "status", ""),
    ],
)
def test_each_fact_leads_to_its_page(links, fact, url):
    assert links.url(fact) == url


def test_a_sentence_has_a_link_for_each_fact_in_it():
    inner = Sentence("{} is linked to it", "issue 102")
    assert linked_sentence(Sentence("failed: {}", inner), ONE) == (
        'failed: <a href="/services/billing/incidents/issue~20102/">issue 102</a> is linked to it'
    )


def test_log_lines_are_a_link_to_the_log_page_instead_of_a_command():
    lines = LogLines("manage.py log_events --source web", "/logs/?source=web&level=error")
    assert linked_sentence(Sentence("{} errors among {} events: {}", 20, 40, lines), ONE) == (
        '20 errors among 40 events: <a href="/logs/?source=web&amp;level=error">log lines</a>'
    )


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{0.__class__}", "%s"])
def test_whatever_a_sentence_has_in_it_is_shown_as_text(hostile):
    for text in (hostile, Sentence("by a bot ({}): left out", hostile), Sentence("recovered by {}", f"deployment {hostile}")):
        shown = linked_sentence(text, ONE)
        assert "<script" not in shown
        assert "<img" not in shown
    assert hostile.startswith("<") or hostile.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;") in shown


@pytest.mark.parametrize("url", ["https://github.com/acme/billing/pull/7", "http://127.0.0.1:1/x", "/logs/?source=web"])
def test_web_addresses_and_own_paths_may_be_links(url):
    assert safe_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "//evil.example/x",
        "/\\evil.example",
        "file:///etc/passwd",
        "http:",
        "http://[",
        "x",
        "",
    ],
)
def test_no_other_address_is_a_link(url):
    assert safe_url(url) == ""


def test_names_of_facts_are_translated_and_their_keys_are_not():
    with override("es"):
        assert fact_label("deployment 55").endswith(" 55")
    assert fact_label("something else") == "something else"
