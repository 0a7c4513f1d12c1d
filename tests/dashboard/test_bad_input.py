"""No input of a form, a filter, an address or the API causes a server error, and what a form has stored breaks no page.

The forms are those that a superuser finds on a page of each kind, of the admin too. FUZZ_EXAMPLES=3000 tries so many inputs.
"""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from dashboard.admin.rows import DataAdmin
from dora_metrics.models import Change, Service
from etl_tasks import ledger, pipeline
from etl_tasks.models import DeadLetter, Source
from github_stand_in.server import StandIn
from log_store.event import LogEvent, event_id, file_key
from log_store.opening import open_log_store
from log_store.store import position
from tests.dashboard.admin.every_row import TIME, make_every_row
from tests.dashboard.admin.test_pages import address
from tests.dashboard.forms_of_pages import Form, forms_of, forms_of_api
from tests.dashboard.test_every_address import ALL, OPEN_TO_ALL
from tests.etl_tasks.conftest import sent_messages
from tests.fuzzing import ODD_NUMBERS, ODD_TEXTS, ODD_TIMES, examples

__all__ = ["sent_messages"]
pytestmark = [pytest.mark.django_db, pytest.mark.slow]
ODD_INPUTS = (
    *(*ODD_TEXTS, *ODD_TIMES, *map(str, ODD_NUMBERS)),
    *("2026-W99", "2026-02-30..2026-03-01", "0000-00-00", "1..2..3", "-", "a,b", "on", "all", "json", "csv", "change_fail_rate", "hostile"),
)
INPUTS = st.one_of(st.sampled_from(ODD_INPUTS), st.text(max_size=30))
DAY = {"source": "shop", "from": TIME.date().isoformat(), "to": (TIME.date() + timedelta(days=1)).isoformat()}
EVENT = LogEvent(event_id=event_id(file_key(1, "1:2:0"), 0), source="shop", time=TIME, level="error", message="x", trace_id="t", extra={"a": "b"})
OF_API = {"service": "hostile", "metric": "change_fail_rate", "period": "2026-03", "from": "2026-03-01", "to": "2026-04-01"}
# Opened after a form has stored something.
AFTER_A_CHANGE = ("overview", "operations", "compare", "letters", "setup", "service", "source")


@pytest.fixture
def source(settings: Any) -> Source:
    """Return the source of a service that has a row of every model, with hostile texts. Another service has a log event and an active run."""
    settings.CASSANDRA_CONTACT_POINTS = []  # the tests of Cassandra's store compare it with the SQL store
    source = make_every_row("hostile")
    service = Service.objects.create(name="shop")
    shop = Source.objects.create(name="shop", service=service, kind="logs", path="/var/log/shop.log", log_format="json")
    open_log_store().write([EVENT])
    assert ledger.open_run(shop, trigger="shell")
    Source.objects.create(name="idle", service=service, kind="logs", path="/var/log/idle.log", log_format="json", is_enabled=False)
    return source


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_superuser("lead")


def client_of(person: User) -> Client:
    """Return a new client: a form may have ended the session of the one before."""
    client = Client()
    client.force_login(person)
    return client


# --- where the forms are ----------------------------------------------------------------------------------------------


def pages(source: Source) -> list[tuple[str, str]]:
    """Return the name and address of a page of each kind, and of the admin's lists and forms where something can be changed.

    tests/dashboard/admin/test_pages.py tries odd parameters on every list.
    """
    name, run, shop, idle = source.service.name, source.runs.get(), Source.objects.get(name="shop"), Source.objects.get(name="idle")
    letter, change = DeadLetter.objects.get(key="1"), Change.objects.get(number=12)
    arguments: dict[str, list[list[Any]]] = {
        "run": [[run.pk], [shop.runs.get().pk]],
        "setup_progress": [[run.pk]],
        "letter": [[letter.pk]],
        "letter_group": [[letter.pk]],
        "staged_page": [[letter.page_id]],
        "staged_page_raw": [[letter.page_id]],
        "service": [[name]],
        "delete_service": [[name]],
        "value": [[name, "change_fail_rate", "2026-03"]],
        "deployment": [[name, "55"]],
        "change": [[name, change.repository_id, 12]],
        "incident": [[name, "logs 1"]],
        "log_event": [["shop", position(EVENT)]],
        **{kind: [[source.pk], [shop.pk], [idle.pk]] for kind in ("source", "run_range", "delete_source")},
    }
    found = [
        (kind, reverse(f"dashboard:{kind}", args=given))
        for kind, _, view in ALL
        if kind not in OPEN_TO_ALL and view.access[0] != "action"
        for given in arguments.get(kind, [[]])
    ]
    # The log page links to the chart's bars if the period has events, and to the newest events if it has no end.
    found += [("logs", f"{reverse('dashboard:logs')}?{urlencode(query)}") for query in (DAY, {"source": "shop"})]
    for model, its_admin in admin.site._registry.items():
        if not isinstance(its_admin, DataAdmin):
            row = model._default_manager.first()
            assert row
            found += [("admin", address(model, "changelist")), ("admin", address(model, "change", row.pk))]
    return found


def kind_of(path: str) -> str:
    """Return what the addresses of the same view have in common."""
    return re.sub(r"/\d+/", "/1/", path.replace("/services/hostile/", "/services/x/"))


@pytest.fixture
def forms(source: Source, person: User) -> list[Form]:
    """Return a form of each kind."""
    client, found = client_of(person), dict[Any, Form]()
    for _, path in pages(source):
        answer = client.get(path)
        assert answer.status_code == 200, path
        for form in forms_of(answer.getvalue().decode(errors="replace"), path):
            found[kind_of(form.address), form.method, frozenset(form.names)] = form
    for form in forms_of_api(client.get("/api/v1/openapi.json").json()):
        found[form.address, "get", ()] = form
        form.fields.update({name: OF_API[name] for name in form.names & OF_API.keys()})
    left_out = {reverse("dashboard:logout"), reverse("admin:logout")}
    forms = [form for form in found.values() if form.address not in left_out]
    assert_nothing_is_missing(forms)
    return forms


def assert_nothing_is_missing(forms: list[Form]) -> None:
    posted = {kind_of(form.address) for form in forms if form.method == "post"}
    assert {path for name, path, view in ALL if name not in OPEN_TO_ALL and view.access[0] in ("action", "form")} <= posted
    read = {form.address for form in forms if form.method == "get"}
    for page in ("overview", "overview_csv", "compare", "runs", "letters", "logs", "new_events"):
        assert reverse(f"dashboard:{page}") in read, page
    assert len([path for path in posted if path.startswith("/admin/")]) >= 20
    assert len([path for path in read if path.startswith("/api/")]) >= 6


# --- what is sent -----------------------------------------------------------------------------------------------------


@st.composite
def inputs(draw: st.DrawFn, forms: list[Form]) -> tuple[Form, list[tuple[str, str]]]:
    """Return a form, and its fields with one to three of them replaced, removed, doubled or added."""
    form = draw(st.sampled_from(forms))
    fields = list(form.fields.items())
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(form.names)))
        if not draw(st.booleans()):  # else it is doubled
            fields = [field for field in fields if field[0] != name]
        if draw(st.integers(0, 5)):  # else it is removed
            fields.append((name, draw(INPUTS)))
    return form, fields


def send(client: Client, form: Form, fields: list[tuple[str, str]], **headers: str) -> Any:
    body = urlencode(fields, errors="surrogatepass")
    if form.method == "post":
        return client.post(form.address, body, content_type="application/x-www-form-urlencoded", headers=headers, follow=True)
    return client.get(f"{form.address}?{body}", headers=headers, follow=True)


@examples(60)
@given(data=st.data())
def test_no_input_of_a_form_causes_a_server_error(
    source: Source,
    person: User,
    forms: list[Form],
    github: StandIn,
    sent_messages: Any,
    monkeypatch: pytest.MonkeyPatch,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(pipeline, "CHECK_SECONDS", 0.01)  # no worker answers
    form, fields = data.draw(inputs(forms))
    headers = data.draw(st.sampled_from(({}, {"HX-Request": "true"}, {"Accept-Language": "es"})))
    with transaction.atomic():
        client = client_of(person)
        answer = send(client, form, fields, **headers)
        assert answer.status_code < 500, (form, fields)
        if answer.streaming:
            answer.getvalue()
        if form.method == "post" and answer.redirect_chain:
            name, path = data.draw(st.sampled_from([page for page in pages(source) if page[0] in AFTER_A_CHANGE]))
            assert client_of(person).get(path).status_code in (200, 404), (name, form, fields)
        transaction.set_rollback(True)


@examples(40)
@given(data=st.data())
def test_no_part_of_an_address_causes_a_server_error(source: Source, person: User, data: st.DataObject) -> None:
    parts = data.draw(st.sampled_from([path for _, path, _ in ALL] + [address(model, "change", 1) for model in admin.site._registry])).split("/")
    place = data.draw(st.integers(1, max(len(parts) - 2, 1)))
    parts[place] = quote(data.draw(INPUTS), errors="surrogatepass")
    with transaction.atomic():
        answer = client_of(person).get("/".join(parts))
        assert answer.status_code < 500
        transaction.set_rollback(True)
