"""Stop the guessing of passwords and API tokens (docs/security.md, "Guessing").

An attempt is counted before the password is checked, so that attempts at the same time exceed a limit by no more than their number, which the
threads of the web server bound. There are three limits, each within LOGIN_LOCK_MINUTES:

- LOGIN_ATTEMPTS failures of one name from one address;
- ADDRESS_ATTEMPTS failures from one address, whatever the names;
- NAME_ATTEMPTS failures of one name from all addresses.

Who logged in from an address within KNOWN_DAYS is held to the first limit only. Otherwise, an attacker with many addresses could lock out the
owner of an account, and an attacker behind the same router everybody there. While a lock lasts, attempts are not counted, and do not prolong it.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import F, Q, Sum
from django.utils.crypto import salted_hmac

from dora_metrics.models import LoginAttempts

logger = logging.getLogger(__name__)

PASSWORD, TOKEN = LoginAttempts.Kind.PASSWORD, LoginAttempts.Kind.TOKEN
ADDRESS_ATTEMPTS = 30
NAME_ATTEMPTS = 100
KNOWN_DAYS = 90
KEPT_AFTER_FAILURE = timedelta(days=1)


def lock_time() -> timedelta:
    return timedelta(minutes=settings.LOGIN_LOCK_MINUTES)


def count_login(typed_name: str, address: str, *, now: datetime) -> bool:
    """Count an attempt to log in, and return whether its password may be checked. If it is right, call `note_login`."""
    name = _account(typed_name)
    recent = LoginAttempts.objects.filter(kind=PASSWORD, failed_at__gt=now - lock_time())
    failures = recent.filter(Q(name=name) | Q(address=address)).aggregate(
        pair=Sum("failures", filter=Q(name=name, address=address), default=0),
        address=Sum("failures", filter=Q(address=address), default=0),
        name=Sum("failures", filter=Q(name=name), default=0),
    )
    is_suspicious = failures["address"] >= ADDRESS_ATTEMPTS or failures["name"] >= NAME_ATTEMPTS
    if failures["pair"] >= settings.LOGIN_ATTEMPTS or (is_suspicious and not _is_known(name, address, now=now)):
        logger.warning("login_refused", extra={"address": address})
        return False
    _count(PASSWORD, name, address, now=now)
    return True


def note_login(name: str, address: str, *, now: datetime) -> None:
    """Store that the owner of an account logged in from the address."""
    LoginAttempts.objects.update_or_create(
        kind=PASSWORD, name=name, address=address, defaults={"failures": 0, "failed_at": None, "succeeded_at": now}
    )


def may_send_token(address: str, *, now: datetime) -> bool:
    """Return whether an unknown token from the address is answered as such.

    It is not after ADDRESS_ATTEMPTS different unknown tokens. A program that sends the same disabled token again and again guesses nothing.
    """
    guessed = LoginAttempts.objects.filter(kind=TOKEN, address=address, failed_at__gt=now - lock_time())
    if not guessed[ADDRESS_ATTEMPTS - 1 : ADDRESS_ATTEMPTS].exists():
        return True
    logger.warning("token_refused", extra={"address": address})
    return False


def count_unknown_token(token_digest: str, address: str, *, now: datetime) -> None:
    _count(TOKEN, token_digest[:16], address, now=now)


def _account(typed: str) -> str:
    """Return the name of the account as it is stored; for a name that no account has, a digest with a blank, which no account's name has."""
    found = get_user_model().objects.filter(username=typed).values_list("username", flat=True).first()
    return found or f"unknown {salted_hmac(__name__, typed.casefold(), algorithm='sha256').hexdigest()[:16]}"


def _is_known(name: str, address: str, *, now: datetime) -> bool:
    return LoginAttempts.objects.filter(kind=PASSWORD, name=name, address=address, succeeded_at__gt=now - timedelta(days=KNOWN_DAYS)).exists()


def _count(kind: str, name: str, address: str, *, now: datetime) -> None:
    of_pair = LoginAttempts.objects.filter(kind=kind, name=name, address=address)
    if of_pair.filter(failed_at__gt=now - lock_time()).update(failures=F("failures") + 1, failed_at=now):
        return
    _row, is_new = LoginAttempts.objects.update_or_create(kind=kind, name=name, address=address, defaults={"failures": 1, "failed_at": now})
    if is_new:
        _delete_old(now=now)


def _delete_old(*, now: datetime) -> None:
    is_calm = Q(failed_at=None) | Q(failed_at__lt=now - KEPT_AFTER_FAILURE)
    is_forgotten = Q(succeeded_at=None) | Q(succeeded_at__lt=now - timedelta(days=KNOWN_DAYS))
    LoginAttempts.objects.filter(is_calm, is_forgotten).delete()
