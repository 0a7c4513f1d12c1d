"""Who may read the API: people who are logged in and may view services, and programs with a token."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.timezone import now
from ninja.errors import AuthenticationError
from ninja.security import APIKeyCookie
from ninja.security.base import AuthBase

from dora_metrics import lockout
from dora_metrics.client_address import client_address
from dora_metrics.models import ApiToken
from dora_metrics.models.api_token import digest

HOW_TO = "send `Authorization: Bearer TOKEN`, with a token that `manage.py api_token create NAME` prints, or log in to the pages"
LAST_USE_PRECISION = timedelta(hours=1)


class TooManyTokens(Exception):
    """Too many unknown tokens came from the client's address."""


class UserSession(APIKeyCookie):
    """Access by the session cookie of the pages. No CSRF token is required, because the API changes nothing."""

    param_name = settings.SESSION_COOKIE_NAME

    def __init__(self) -> None:
        super().__init__(csrf=False)

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        return request.user.get_username() if may_read(request) else None


def may_read(request: HttpRequest) -> bool:
    """Return whether the user who is logged in may read the API: staff, and whoever may view services."""
    return request.user.is_active and (request.user.is_staff or request.user.has_perm("dora_metrics.view_service"))


class BearerToken(AuthBase):
    """Access by a token in the Authorization header. It is tried after UserSession, so its error explains both kinds of access.

    ninja's HttpBearer is not used, because in debug mode it logs an Authorization header of any other scheme, with the secret in
    it.
    """

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationError(message=f"this is read by people who are logged in and by programs with a token: {HOW_TO}")
        address, moment = client_address(request), now()
        name = name_of_token(token.strip(), moment=moment)
        if name is None:  # programs with a token go on, even where somebody guesses
            if not lockout.may_send_token(address, now=moment):
                raise TooManyTokens
            lockout.count_unknown_token(digest(token.strip()), address, now=moment)
            raise AuthenticationError(message=f"this token is unknown or disabled: {HOW_TO}")
        return name


def name_of_token(token: str, *, moment: datetime) -> str | None:
    """Return the name of the token; None if it is unknown or disabled.

    The time of its use is stored, at most once an hour.
    """
    token_digest = digest(token)
    row = ApiToken.objects.filter(digest=token_digest, is_enabled=True).first()
    # The digests are compared again here, because a database may compare them without regard to case.
    if row is None or not constant_time_compare(row.digest, token_digest):
        return None
    if row.last_used_at is None or row.last_used_at <= moment - LAST_USE_PRECISION:
        is_due = Q(last_used_at=None) | Q(last_used_at__lte=moment - LAST_USE_PRECISION)
        ApiToken.objects.filter(is_due, pk=row.pk).update(last_used_at=moment)
    return row.name
