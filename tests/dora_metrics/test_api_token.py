"""API tokens: shown once, stored as a digest, disabled by name."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from dora_metrics.models import ApiToken
from dora_metrics.models.api_token import digest

pytestmark = pytest.mark.django_db


def run(*words: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("api_token", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_a_new_token_is_shown_once_and_only_its_digest_is_kept(client: Client) -> None:
    out, err = run("create", "a dashboard")
    token = out.strip()
    assert out == f"{token}\n"
    assert "shown this once" in err
    assert token not in err
    row = ApiToken.objects.get()
    assert (row.name, row.is_enabled, row.digest) == ("a dashboard", True, digest(token))
    assert token not in str(vars(row))
    assert token not in run("list")[0] + run("list")[1]
    assert client.get("/api/v1/services", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_the_list_says_which_are_enabled_and_when_each_was_used(client: Client) -> None:
    assert "no tokens yet" in run("list")[0]
    token = run("create", "used")[0].strip()
    run("create", "unused")
    run("create", "off")
    run("disable", "off")
    client.get("/api/v1/services", headers={"Authorization": f"Bearer {token}"})
    off, unused, used = run("list")[0].splitlines()
    assert off.startswith("off  disabled  ")
    assert unused.endswith("never used")
    assert "last used 20" in used


def test_a_disabled_token_opens_nothing_at_once(client: Client) -> None:
    token = run("create", "a dashboard")[0].strip()
    assert run("disable", "a dashboard")[0] == "a dashboard is disabled\n"
    assert client.get("/api/v1/services", headers={"Authorization": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["create"], "say whose token: api_token create NAME"),
        (["create", " "], "say whose token"),
        (["create", "x" * 101], "cannot be a token's name"),
        (["create", "two\nlines"], "cannot be a token's name"),
        (["create", "taken"], "there is a token 'taken' already"),
        (["disable"], "say whose token: api_token disable NAME"),
        (["disable", "nobody"], "there is no token 'nobody'"),
        (["list", "taken"], "list takes no name"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_status_2(words: list[str], sentence: str) -> None:
    run("create", "taken")
    with pytest.raises(CommandError, match=sentence) as refused:
        run(*words)
    assert refused.value.returncode == 2
    assert ApiToken.objects.count() == 1


def test_the_admin_switches_tokens_off_and_shows_no_digest(admin_client: Client) -> None:
    row, token = ApiToken.create("a dashboard")
    address = reverse("admin:dora_metrics_apitoken_change", args=[row.pk])
    for page in (reverse("admin:dora_metrics_apitoken_changelist"), address):
        content = admin_client.get(page).content.decode()
        assert "a dashboard" in content
        assert row.digest not in content
        assert token not in content
    assert admin_client.post(address, {"name": "a dashboard", "digest": "x"}).status_code == 302
    row.refresh_from_db()
    assert (row.is_enabled, row.digest) == (False, digest(token))
