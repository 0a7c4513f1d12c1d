"""Guessing passwords and tokens is stopped. Whoever does not guess can still log in."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from dora_metrics import lockout
from dora_metrics.models import LoginAttempts

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 20, 9, tzinfo=UTC)
HOME, EVIL = "198.51.100.1", "203.0.113.66"


@pytest.fixture(autouse=True)
def ana() -> User:
    return User.objects.create_user("ana")


def attempts(count: int, name: str = "ana", address: str = EVIL, *, now: datetime = NOW) -> list[bool]:
    return [lockout.count_login(name, address, now=now) for _ in range(count)]


def test_the_sixth_password_is_not_checked() -> None:
    assert attempts(7) == [True] * 5 + [False] * 2


def test_a_lock_ends_and_trying_meanwhile_does_not_prolong_it(settings: Settings) -> None:
    attempts(5)
    lock = timedelta(minutes=settings.LOGIN_LOCK_MINUTES)
    assert attempts(3, now=NOW + lock - timedelta(seconds=1)) == [False] * 3
    assert attempts(6, now=NOW + lock) == [True] * 5 + [False]


def test_a_success_ends_the_count() -> None:
    attempts(4)
    lockout.note_login("ana", EVIL, now=NOW)
    assert attempts(6) == [True] * 5 + [False]


def test_the_owner_elsewhere_is_not_locked_out() -> None:
    attempts(50)
    assert attempts(1, address=HOME) == [True]


def test_other_names_at_the_address_are_not_locked_out_by_a_few_mistakes() -> None:
    User.objects.create_user("ben")
    attempts(6)
    assert attempts(1, "ben") == [True]


def test_an_address_that_tries_many_names_is_locked_out() -> None:
    tried = [lockout.count_login(f"user{number}", EVIL, now=NOW) for number in range(lockout.ADDRESS_ATTEMPTS + 5)]
    assert tried == [True] * lockout.ADDRESS_ATTEMPTS + [False] * 5
    assert attempts(1) == [False]
    assert attempts(1, address=HOME) == [True]


def test_somebody_behind_the_same_router_locks_out_nobody_who_has_logged_in_there() -> None:
    lockout.note_login("ana", EVIL, now=NOW - timedelta(days=3))
    for number in range(lockout.ADDRESS_ATTEMPTS):
        attempts(1, f"user{number}")
    assert attempts(6) == [True] * 5 + [False]


def test_many_addresses_cannot_guess_one_password_nor_lock_out_its_owner() -> None:
    lockout.note_login("ana", HOME, now=NOW - timedelta(days=lockout.KNOWN_DAYS - 1))
    tried = [lockout.count_login("ana", f"203.0.113.{number}", now=NOW) for number in range(lockout.NAME_ATTEMPTS + 5)]
    assert tried == [True] * lockout.NAME_ATTEMPTS + [False] * 5
    assert attempts(1, address=HOME) == [True]
    assert attempts(1, address="198.51.100.99") == [False]


def test_a_name_that_no_account_has_is_locked_in_the_same_way_and_not_stored() -> None:
    """Otherwise the lock would tell which accounts exist. And people sometimes type their password in place of the name."""
    assert attempts(6, "hunter2") == [True] * 5 + [False]
    assert attempts(1, "Hunter2") == [False]
    assert "hunter2" not in str(list(LoginAttempts.objects.values())).lower()


def test_thirty_different_unknown_tokens_lock_an_address_and_one_that_is_sent_again_and_again_does_not() -> None:
    for _ in range(100):
        lockout.count_unknown_token("0" * 64, EVIL, now=NOW)
    assert lockout.may_send_token(EVIL, now=NOW)
    for number in range(1, lockout.ADDRESS_ATTEMPTS):
        lockout.count_unknown_token(f"{number:064}"[::-1], EVIL, now=NOW)
    assert not lockout.may_send_token(EVIL, now=NOW)
    assert lockout.may_send_token(HOME, now=NOW)
    assert lockout.may_send_token(EVIL, now=NOW + lockout.lock_time())
    assert attempts(1) == [True]


def test_old_rows_are_deleted_and_known_addresses_are_kept() -> None:
    lockout.note_login("ana", HOME, now=NOW - timedelta(days=lockout.KNOWN_DAYS - 1))
    lockout.note_login("ana", "198.51.100.2", now=NOW - timedelta(days=lockout.KNOWN_DAYS + 1))
    attempts(3, address="203.0.113.1", now=NOW - timedelta(days=2))
    attempts(3, address="203.0.113.2", now=NOW - timedelta(hours=23))
    attempts(1)
    assert set(LoginAttempts.objects.values_list("address", flat=True)) == {HOME, "203.0.113.2", EVIL}
