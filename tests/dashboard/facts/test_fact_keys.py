"""A key of a fact may have any characters, and its address leads back to it."""

import pytest
from django.urls import Resolver404, resolve, reverse
from hypothesis import given
from hypothesis import strategies as st

from dashboard.facts.fact_keys import FactKeyConverter


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_the_address_of_any_key_leads_back_to_it(key):
    path = reverse("dashboard:deployment", args=["billing", key])
    assert path.isascii()
    assert path.count("/") == 5
    assert resolve(path).kwargs == {"name": "billing", "key": key}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("86067824100129", "86067824100129"),
        ("34.2", "34.2"),
        ("issue acme/billing#12", "issue~20acme~2Fbilling~2312"),
        ("..", "~2E~2E"),
        ("a~b", "a~7Eb"),
    ],
)
def test_an_address_stays_readable_and_has_no_part_that_a_server_would_treat_as_a_folder(key, text):
    assert FactKeyConverter().to_url(key) == text


@pytest.mark.parametrize("text", ["~FF", "~C3~28", "a~2", "a b", "~2f", "%2F", ""])
def test_what_is_no_key_is_no_page(text):
    with pytest.raises(Resolver404):
        resolve(f"/services/billing/deployments/{text}/")
