"""/healthz, /readyz and /metrics: who may read what, and that a server that hangs does not make a monitor wait."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.timezone import now
from pytest_django import Settings

from callcentersite import health, prometheus
from etl_tasks import component_states, ledger
from etl_tasks.bounded_checks import BoundedCheck
from etl_tasks.component_states import ComponentState
from etl_tasks.models import ETLRun, Source

OUTSIDE = {"X-Forwarded-For": "203.0.113.7"}
TOKEN = {"Authorization": "Bearer scrape-secret"}


@pytest.fixture(autouse=True)
def fresh_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "readiness", health.Readiness())
    monkeypatch.setattr(prometheus, "_collection", BoundedCheck())


@pytest.fixture
def client() -> Client:
    """Return a client on this machine, which no proxy is in front of."""
    return Client(headers={"Host": "localhost:8000"})


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> list[ComponentState]:
    """Return the list of the states that the components have for the rest of the test. All are well at first."""
    found = [ComponentState(name, is_ok=True, seen_at=now()) for name in component_states.NAMES]
    monkeypatch.setattr(health, "component_states", lambda: found)
    return found


@pytest.fixture
def hanging_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let everything that is read from the database wait until the test ends."""
    released = threading.Event()
    monkeypatch.setattr(health, "READY_SECONDS", 0.2)
    monkeypatch.setattr(health, "METRICS_SECONDS", 0.2)
    monkeypatch.setattr(health, "build_report", lambda: released.wait(30))
    monkeypatch.setattr(prometheus, "collect", lambda: released.wait(30))
    yield
    released.set()


def test_alive_needs_no_database_no_host_name_and_no_https(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = client.get("/healthz", headers={"Host": "pod-7.example"})  # without the mark django_db, a query would fail the test
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert client.head("/healthz").status_code == 200
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_ready_says_what_is_wrong(client: Client, states: list[ComponentState], billing: Source) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"], answer.json()["wrong"]) == (200, "ok", [])
    assert answer.json()["last_success"] == {"billing": None}
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.django_db(transaction=True)
def test_not_ready_is_503_with_each_component(client: Client, states: list[ComponentState], billing: Source) -> None:
    run = ledger.open_run(billing, trigger="shell")
    assert run
    ledger.close(run.pk, ETLRun.Status.SUCCESS)
    run.refresh_from_db()
    assert run.completed_at
    states[4] = ComponentState("beat", is_ok=False, sentence="it has sent no task since Monday", seen_at=run.completed_at - timedelta(days=1))
    states[5] = ComponentState("workers", is_ok=None, sentence="unknown")
    answer = client.get("/readyz")
    body = answer.json()
    assert (answer.status_code, body["status"], body["wrong"]) == (503, "failing", ["beat: it has sent no task since Monday"])
    assert body["components"]["workers"]["status"] == "unknown"
    assert body["last_success"] == {"billing": run.completed_at.isoformat()}


@pytest.mark.django_db(transaction=True)
def test_strangers_learn_only_whether_it_is_well(client: Client, states: list[ComponentState], billing: Source) -> None:
    answer = client.get("/readyz", headers=OUTSIDE)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    refused = client.get("/metrics", headers=OUTSIDE)
    assert (refused.status_code, "billing" in refused.content.decode()) == (403, False)
    assert "METRICS_TOKEN" in refused.content.decode()


@pytest.mark.parametrize(
    ("address", "headers", "may"),
    [
        ("127.0.0.1", {"Host": "localhost:8000"}, True),
        ("::1", {"Host": "[::1]:8000"}, True),
        ("10.1.2.3", {"Host": "web:8000"}, True),
        ("::ffff:10.1.2.3", {"Host": "10.1.2.4"}, True),
        ("10.1.2.3", {"Host": "dora.example.com"}, True),
        ("203.0.113.7", {"Host": "web"}, True),  # Python counts the addresses of documentation as private: nobody on the internet has them
        ("8.8.8.8", {"Host": "web"}, False),
        ("2606:4700::1", {"Host": "web"}, False),
        ("", {"Host": "web"}, False),
        ("127.0.0.1", {"Host": "web", "X-Forwarded-For": "8.8.8.8"}, False),
        ("127.0.0.1", {"Host": "web", "X-Forwarded-Proto": "https"}, False),
        ("127.0.0.1", {"Host": "web", "Forwarded": "for=8.8.8.8"}, False),
        ("127.0.0.1", {"Host": "web", "Via": "1.1 proxy"}, False),
        ("10.1.2.3", {"Host": "rebound.example.org"}, False),
    ],
)
def test_without_a_token_only_direct_requests_from_inside_see_the_details(
    rf: Any, settings: Settings, address: str, headers: dict[str, str], may: bool
) -> None:
    settings.ALLOWED_HOSTS = ["dora.example.com", "*"]
    assert health.may_read_details(rf.get("/metrics", REMOTE_ADDR=address, headers=headers)) is may


@pytest.mark.parametrize(
    ("authorization", "may"),
    [("Bearer scrape-secret", True), ("bearer  scrape-secret", True), ("Bearer scrape-secre", False), ("Basic scrape-secret", False), ("", False)],
)
def test_with_a_token_everybody_needs_it(client: Client, settings: Settings, authorization: str, may: bool, rf: Any) -> None:
    settings.METRICS_TOKEN = "scrape-secret"
    request = rf.get("/metrics", headers={**OUTSIDE, **({"Authorization": authorization} if authorization else {})})
    assert health.may_read_details(request) is may
    if not may:
        answer = health.metrics(request)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


def test_a_database_that_hangs_does_not_make_a_monitor_wait(client: Client, hanging_database: None) -> None:
    began = time.monotonic()
    ready, metrics = client.get("/readyz"), client.get("/metrics")
    assert time.monotonic() - began < 3
    assert (ready.status_code, ready.json()["wrong"]) == (503, ["database: it has not answered within 0.2 seconds"])
    assert (metrics.status_code, 'callcentersite_component_up{component="database"} 0.0' in metrics.content.decode()) == (200, True)


def test_an_error_of_the_check_itself_is_503_without_its_message(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ValueError("secret-word")

    monkeypatch.setattr(health, "build_report", fail)
    monkeypatch.setattr(prometheus, "collect", fail)
    answer = client.get("/readyz")
    assert (answer.status_code, "secret-word" in answer.content.decode(), "ValueError" in answer.json()["wrong"][0]) == (503, False, True)
    assert (client.get("/metrics").status_code, "secret-word" in client.get("/metrics").content.decode()) == (500, False)


def test_many_requests_are_one_check(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[int] = []
    monkeypatch.setattr(health, "build_report", lambda: checks.append(1) or {"status": "ok"})
    for _ in range(5):
        assert client.get("/readyz", headers=OUTSIDE).json() == {"status": "ok"}
    assert len(checks) == 1
