"""Who may read the API: a staff member who is logged in, or a program with a token."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.timezone import now
from ninja.errors import AuthenticationError
from ninja.security import APIKeyCookie
from ninja.security.base import AuthBase

from dora_metrics.models import ApiToken
from dora_metrics.models.access import digest

HOW_TO = "send `Authorization: Bearer TOKEN`, with a token that `manage.py api_token create NAME` prints, or log in to the admin as staff"
USE_NOTED_EVERY = timedelta(hours=1)


class StaffSession(APIKeyCookie):
    """The cookie of the admin. It needs no CSRF token: nothing can be changed here."""

    param_name = settings.SESSION_COOKIE_NAME

    def __init__(self) -> None:
        super().__init__(csrf=False)

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        return request.user.get_username() if request.user.is_active and request.user.is_staff else None


class BearerToken(AuthBase):
    """The last one asked, so it says what was missing.

    Not ninja's HttpBearer: that one logs, in debug mode, a header of another scheme as it came, token and all.
    """

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise AuthenticationError(message=f"this is read by staff and by programs with a token: {HOW_TO}")
        name = name_of(token.strip(), moment=now())
        if name is None:
            raise AuthenticationError(message=f"this token is unknown or disabled: {HOW_TO}")
        return name


def name_of(token: str, *, moment: datetime) -> str | None:
    """The name of an enabled token; that it was used is noted, to the hour."""
    asked = digest(token)
    row = ApiToken.objects.filter(digest=asked, is_enabled=True).first()
    # The database's comparison may take letters for equal that are not.
    if row is None or not constant_time_compare(row.digest, asked):
        return None
    if row.last_used_at is None or row.last_used_at <= moment - USE_NOTED_EVERY:
        is_due = Q(last_used_at=None) | Q(last_used_at__lte=moment - USE_NOTED_EVERY)
        ApiToken.objects.filter(is_due, pk=row.pk).update(last_used_at=moment)
    return row.name
