"""Every address of the pages is guarded: login, permission, method and CSRF token. A new address is checked without being named here."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

OPEN_TO_ALL = {"login", "logout", "set_language"}  # Django's own views
PART = re.compile(r"<(?:(\w+):)?(\w+)>")
SAMPLES = {"int": "1", "period": "2026-02", "metric": "change_fail_rate"}  # of converters and of names; "x" for every other part


def addresses() -> Iterator[tuple[str, str, Any]]:
    """Yield the name, a sample of the address and the view of each page."""

    def walk(resolver: URLResolver, prefix: str, namespace: str) -> Iterator[tuple[str, str, Any]]:
        for pattern in resolver.url_patterns:
            part = str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern, prefix + part, pattern.namespace or namespace)
            elif isinstance(pattern, URLPattern) and namespace == "dashboard":
                sample = PART.sub(lambda found: SAMPLES.get(found[1]) or SAMPLES.get(found[2]) or "x", prefix + part)
                yield pattern.name or "", f"/{sample}", pattern.callback

    yield from walk(get_resolver(), "", "")


ALL = sorted(addresses(), key=lambda found: found[:2])
GUARDED = [pytest.param(path, view, id=name) for name, path, view in ALL if name not in OPEN_TO_ALL]
ACTIONS = [param for param in GUARDED if getattr(param.values[1], "access", ("", ()))[0] == "action"]


@pytest.fixture
def stranger(db: None) -> Client:
    """Return a client that checks CSRF tokens, logged in as a user without any permission."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_user("stranger"))
    return client


@pytest.mark.parametrize(("path", "view"), GUARDED)
def test_an_address_needs_a_login_and_a_permission(client: Client, stranger: Client, path: str, view: Any) -> None:
    kind, permissions = view.access
    assert permissions
    method = "post" if kind == "action" else "get"
    anonymous = getattr(client, method)(path)
    assert (anonymous.status_code, anonymous["Location"].split("?")[0]) == (302, "/login/")
    stranger.handler.enforce_csrf_checks = False
    assert getattr(stranger, method)(path).status_code == 403


@pytest.mark.parametrize(("path", "view"), ACTIONS)
def test_an_action_refuses_get_and_a_missing_token(admin_client: Client, stranger: Client, path: str, view: Any) -> None:
    assert admin_client.get(path).status_code == 405
    User.objects.filter(username="stranger").update(is_superuser=True)
    answer = stranger.post(path)
    assert answer.status_code == 403
    assert "The form has expired" in answer.content.decode()


@pytest.mark.parametrize(("path", "view"), [param for param in GUARDED if getattr(param.values[1], "access", ("",))[0] == "page"])
def test_a_page_that_only_reads_refuses_post(admin_client: Client, path: str, view: Any) -> None:
    assert admin_client.post(path).status_code == 405


@pytest.mark.parametrize(("path", "view"), [param for param in GUARDED if getattr(param.values[1], "access", ("",))[0] == "form"])
def test_a_form_refuses_a_missing_token(admin_client: Client, stranger: Client, path: str, view: Any) -> None:
    User.objects.filter(username="stranger").update(is_superuser=True)
    assert stranger.post(path).status_code == 403


def test_there_are_pages_and_actions_to_check() -> None:
    assert len(GUARDED) >= 5
    assert ACTIONS
