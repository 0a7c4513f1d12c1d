"""Both login pages refuse to check passwords after too many failures, and say so."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from dora_metrics.models import LoginAttempts

pytestmark = pytest.mark.django_db
PAGES = ("/login/", "/admin/login/")
RIGHT, WRONG = "a long password", "a guess"


@pytest.fixture(autouse=True)
def ana(settings: Settings) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the default one takes half a second on purpose
    return User.objects.create_superuser("ana", password=RIGHT)


def log_in(client: Client, page: str, password: str, *, name: str = "ana", **headers: str) -> int:
    return client.post(page, {"username": name, "password": password}, headers=headers).status_code


@pytest.mark.parametrize("page", PAGES)
def test_after_five_wrong_passwords_the_right_one_is_refused_too(client: Client, page: str) -> None:
    assert [log_in(client, page, WRONG) for _ in range(5)] == [200] * 5
    answer = client.post(page, {"username": "ana", "password": RIGHT})
    assert (answer.status_code, answer["Retry-After"]) == (429, "900")
    assert "Too many attempts have failed. Try again in 15 minutes, or ask an administrator" in answer.content.decode()
    assert "_auth_user_id" not in client.session
    assert client.get(page).status_code == 200


def test_the_sentence_is_translated(client: Client) -> None:
    for _ in range(5):
        log_in(client, "/login/", WRONG)
    answer = client.post("/login/", {"username": "ana", "password": RIGHT}, headers={"Accept-Language": "es"})
    assert "Demasiados intentos fallidos" in answer.content.decode()


def test_both_pages_count_together(client: Client) -> None:
    for page in (*PAGES, *PAGES, "/login/"):
        log_in(client, page, WRONG)
    assert [log_in(client, page, RIGHT) for page in PAGES] == [429, 429]


def test_a_header_of_the_client_is_no_other_address(client: Client) -> None:
    remote = Client(REMOTE_ADDR="203.0.113.7")
    for number in range(5):
        log_in(
            remote, "/login/", WRONG, **{"X-Forwarded-For": f"10.0.0.{number}", "X-Real-IP": f"10.0.0.{number}", "Forwarded": f"for=10.0.0.{number}"}
        )
    assert log_in(remote, "/login/", RIGHT, **{"X-Forwarded-For": "10.0.0.9"}) == 429
    assert log_in(client, "/login/", RIGHT) == 302


def test_a_login_is_stored_with_its_address_and_without_failures(client: Client) -> None:
    for password in (WRONG, WRONG, RIGHT):
        log_in(client, "/login/", password)
    row = LoginAttempts.objects.get()
    assert (row.kind, row.name, row.address, row.failures, row.failed_at) == ("password", "ana", "127.0.0.1", 0, None)
    assert row.succeeded_at


def test_an_incomplete_form_is_no_attempt(client: Client) -> None:
    assert log_in(client, "/login/", "") == 200
    assert log_in(client, "/login/", RIGHT, name="") == 200
    assert not LoginAttempts.objects.exists()


def test_an_administrator_unlocks_in_the_admin(client: Client, admin_client: Client) -> None:
    for _ in range(5):
        log_in(client, "/login/", WRONG)
    row = LoginAttempts.objects.get(name="ana")
    listed = reverse("admin:dora_metrics_loginattempts_changelist")
    assert "ana" in admin_client.get(listed).content.decode()
    done = admin_client.post(listed, {"action": "unlock", "_selected_action": row.pk}, follow=True)
    assert "1 row is unlocked" in done.content.decode()
    assert log_in(client, "/login/", RIGHT) == 302


def test_a_viewer_or_an_operator_does_not_see_who_logs_in_from_where() -> None:
    held = Permission.objects.filter(content_type__model="loginattempts", group__isnull=False)
    assert Permission.objects.filter(content_type__model="loginattempts").exists()
    assert not held.exists()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "https:evil.example"])
def test_a_login_leads_to_no_other_host(client: Client, page: str, target: str) -> None:
    answer = client.post(f"{page}?next={target}", {"username": "ana", "password": RIGHT, "next": target})
    assert (answer.status_code, answer["Location"]) == (302, {"/login/": "/", "/admin/login/": "/"}[page])


def test_changing_the_language_leads_to_no_other_host(client: Client) -> None:
    answer = client.post(
        reverse("dashboard:set_language"), {"language": "es", "next": "https://evil.example/"}, headers={"Referer": "https://evil.example/"}
    )
    assert (answer.status_code, answer["Location"]) == (302, "/")
