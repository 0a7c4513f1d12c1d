"""Every address of the site, Django's own included: who is not logged in reads nothing, and no form is taken without its CSRF token.

tests/dashboard/test_every_address.py checks the permissions of our own pages.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.dashboard.admin.every_row import make_every_row

# What anybody may open: the login pages, which are forms, the language, and what says nothing.
OPEN = {"/login/", "/logout/", "/language/", "/admin/login/", "/admin/logout/", "/admin/jsi18n/", "/favicon.ico", "/api/v1/openapi.json", "/api/v1/"}
GROUP = re.compile(r"\(\?P<\w+>[^()]*\)|<[^<>]+>")
SAMPLES = (("period", "2026-02"), ("metric", "change_fail_rate"), ("path", "1"), ("int", "1"), ("id", "1"))


def sample(part: str) -> str:
    return next((value for word, value in SAMPLES if word in part), "x")


def addresses() -> list[str]:
    def walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
        for pattern in resolver.url_patterns:
            part = prefix + str(pattern.pattern).removeprefix("^")
            if isinstance(pattern, URLResolver):
                yield from walk(pattern, part)
            elif isinstance(pattern, URLPattern):
                yield "/" + GROUP.sub(lambda found: sample(found[0]), part).replace("\\Z", "").replace("$", "").replace("\\", "")

    return sorted(set(walk(get_resolver(), "")))


ADDRESSES = addresses()


def test_there_are_addresses_of_every_part_of_the_site() -> None:
    assert len(ADDRESSES) > 200
    assert set(ADDRESSES) >= OPEN
    for prefix in ("/operations/", "/services/", "/logs/", "/admin/etl_tasks/source/", "/admin/auth/user/", "/api/v1/"):
        assert any(address.startswith(prefix) for address in ADDRESSES), prefix
    assert not [address for address in ADDRESSES if re.search(r"[<>()?*\\^]", address)]


@pytest.mark.django_db
@pytest.mark.slow
@pytest.mark.parametrize("method", ["get", "post"])
def test_who_is_not_logged_in_reads_nothing(client: Client, method: str) -> None:
    make_every_row()
    found = {}
    for address in ADDRESSES:
        if address in OPEN:
            continue
        answer = getattr(client, method)(address)
        is_led_to_login = answer.status_code == 302 and "/login/" in answer["Location"]
        if not is_led_to_login and answer.status_code not in (401, 403, 404, 405):
            found[address] = answer.status_code
    assert found == {}


@pytest.mark.django_db
@pytest.mark.slow
def test_no_form_is_taken_without_its_token() -> None:
    make_every_row()
    superuser = User.objects.create_superuser("root")
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(superuser)
    before = counts()
    found: dict[str, Any] = {}
    for address in ADDRESSES:
        status = client.post(address, {"post": "yes", "name": "x"}).status_code
        if status not in ((403, 404, 405) if address.startswith("/api/") else (403, 405)):
            found[address] = status
    assert found == {}
    assert counts() == before


def counts() -> dict[str, int]:
    return {model._meta.label: model._base_manager.count() for model in apps.get_models() if model._meta.label != "sessions.Session"}
