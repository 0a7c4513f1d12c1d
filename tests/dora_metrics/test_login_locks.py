"""login_locks shows failed logins and unlocks accounts and addresses."""

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils.timezone import now

from dora_metrics import lockout

pytestmark = pytest.mark.django_db


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("login_locks", *words, stdout=out)
    return out.getvalue()


def is_open(name: str, address: str) -> bool:
    return lockout.count_login(name, address, now=now())


@pytest.fixture(autouse=True)
def locked() -> None:
    for name in ("ana", "ben"):
        User.objects.create_user(name)
        for address in ("203.0.113.1", "203.0.113.2"):
            for _ in range(5):
                assert is_open(name, address)


def test_the_list_shows_who_failed_from_where() -> None:
    lines = run("list").splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("ana  from 203.0.113.1  5 failed, last at 20")
    assert [(row["name"], row["address"], row["failures"]) for row in json.loads(run("list", "--json"))][3] == ("ben", "203.0.113.2", 5)


def test_an_account_is_unlocked_everywhere_and_the_others_stay_locked() -> None:
    assert run("unlock", "ana") == "2 rows of failed logins are forgotten\n"
    assert [is_open(name, "203.0.113.1") for name in ("ana", "ben")] == [True, False]


def test_an_address_is_unlocked() -> None:
    run("unlock", "--address", "203.0.113.1")
    assert [is_open("ana", "203.0.113.1"), is_open("ana", "203.0.113.2")] == [True, False]


def test_everything_is_unlocked() -> None:
    assert len(json.loads(run("unlock", "--all", "--json"))) == 4
    assert run("list") == "no login has failed in the last minutes\n"


@pytest.mark.parametrize("words", [["unlock"], ["unlock", "ana", "--all"], ["list", "ana"], ["burn"]])
def test_what_cannot_be_used_is_refused(words: list[str]) -> None:
    with pytest.raises(CommandError) as refused:
        run(*words)
    assert refused.value.returncode == 2
