"""No input of a form, a filter or an address makes a page fail: whoever may use it gets a page or a sentence, never a server error.

The forms are found by following the links of every page and of the admin. FUZZ_EXAMPLES=3000 tries so many inputs.
"""

from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.models import Service
from etl_tasks import pipeline
from github_stand_in.server import StandIn
from tests.dashboard.admin.every_row import make_every_row
from tests.dashboard.forms_of_pages import Form, forms_and_links
from tests.dora_metrics.conftest import service, stored
from tests.etl_tasks.conftest import sent_messages
from tests.fuzzing import ODD_NUMBERS, ODD_TEXTS, ODD_TIMES, examples

__all__ = ["sent_messages", "service", "stored"]
pytestmark = [pytest.mark.django_db, pytest.mark.slow]
FIRST_PAGES = ("/", "/operations/", "/operations/runs/", "/operations/letters/", "/setup/github/", "/setup/logs/", "/logs/", "/compare/", "/admin/")
# A page of each kind is enough: of the pages that differ only in a number or a name, these many are opened.
MOST_OF_A_KIND = 2
ODD_INPUTS = (
    *ODD_TEXTS,
    *ODD_TIMES,
    *(str(number) for number in ODD_NUMBERS),
    "2026-W99",
    "2026-02-30..2026-03-01",
    "0000-00-00",
    "1..2..3",
    "-",
    "a,b",
)
_found: list[Form] = []


@pytest.fixture
def rows(service: Service) -> None:
    """Have a service with a collected night, and a row of every model with hostile texts."""
    make_every_row("hostile")


@pytest.fixture
def forms(rows: None, admin_client: Client) -> list[Form]:
    """Return every kind of form and of link with parameters that a superuser finds."""
    if not _found:
        _found.extend(_crawl(admin_client))
    return _found


def _crawl(client: Client) -> list[Form]:
    found: dict[Any, Form] = {}
    to_open, opened, kinds = list(FIRST_PAGES), set[str](), dict[str, int]()
    while to_open:
        address = to_open.pop(0)
        kind = "/".join("N" if any(letter.isdigit() for letter in part) else part for part in address.split("/"))
        if address in opened or kinds.get(kind, 0) >= MOST_OF_A_KIND or "logout" in address or address.startswith(("/static/", "/api/")):
            continue
        opened.add(address)
        kinds[kind] = kinds.get(kind, 0) + 1
        answer = client.get(address)
        if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
            forms, links = forms_and_links(answer.content.decode(), address)
            to_open += links
            found |= {form.kind: form for form in forms if form.fields and "logout" not in form.address}
    return list(found.values())


def test_forms_of_every_part_are_found(forms: list[Form]) -> None:
    found = {(form.method, form.address) for form in forms}
    expected = [
        ("post", "/setup/github/"),
        ("post", "/setup/logs/"),
        ("get", "/"),
        ("get", "/operations/runs/"),
        ("get", "/logs/"),
        ("get", "/compare/"),
    ]
    assert [form for form in expected if form not in found] == []
    assert len({address for method, address in found if method == "post" and address.startswith("/operations/")}) >= 8
    assert len({address for method, address in found if method == "post" and address.startswith("/admin/")}) >= 20


@examples(150)
@given(data=st.data())
def test_no_input_of_a_form_makes_a_page_fail(
    forms: list[Form], admin_client: Client, github: StandIn, sent_messages: Any, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.setattr(pipeline, "CHECK_SECONDS", 0.01)  # no worker answers
    form = data.draw(st.sampled_from(forms))
    fields = list(form.fields)
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(fields) - 1)) if fields else 0
        match data.draw(st.sampled_from(("replace", "replace", "replace", "remove", "double"))):
            case "remove" if fields:
                del fields[index]
            case "double" if fields:
                fields.append((fields[index][0], data.draw(st.sampled_from(ODD_INPUTS))))
            case _ if fields:
                fields[index] = (fields[index][0], data.draw(st.one_of(st.sampled_from(ODD_INPUTS), st.text(max_size=30))))
    body = urlencode(fields, errors="surrogatepass")
    address, headers = form.address, data.draw(st.sampled_from(({}, {"HX-Request": "true"}, {"Accept-Language": "es"})))
    with transaction.atomic():
        if form.method == "post":
            answer = admin_client.post(address, body, content_type="application/x-www-form-urlencoded", headers=headers)
        else:
            answer = admin_client.get(f"{address}?{body}", headers=headers)
        assert answer.status_code < 500, (form, fields)
        if answer.streaming:
            answer.getvalue()
        transaction.set_rollback(True)


@examples(60)
@given(data=st.data())
def test_no_part_of_an_address_makes_a_page_fail(forms: list[Form], admin_client: Client, data: st.DataObject) -> None:
    parts = data.draw(st.sampled_from(sorted({form.address for form in forms}))).split("/")
    place = data.draw(st.integers(1, max(len(parts) - 2, 1)))
    odd = data.draw(st.sampled_from(ODD_INPUTS))
    parts[place] = urlencode({"": odd}, errors="surrogatepass")[1:].replace("%2F", "/").replace("+", "%20")
    with transaction.atomic():
        assert admin_client.get("/".join(parts)).status_code < 500
        transaction.set_rollback(True)
