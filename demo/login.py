"""The demo's login: a random address that logs its first visitor in. Only the demo's settings have this page."""

import secrets
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

USER = "demo"
LOOPBACK = ("127.0.0.1", "::1")
TOKEN_FILE = "login-token"


def new_token(folder: Path) -> str:
    """Store a new token for the web process, and return it. Former tokens are no longer valid."""
    token = secrets.token_urlsafe(24)
    path = folder / TOKEN_FILE
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(token)
    return token


@never_cache
@require_GET
def log_in(request: HttpRequest, token: str) -> HttpResponse:
    """Log the visitor in as the demo's user and lead to the overview. A token that was used leads to the login page."""
    if request.META.get("REMOTE_ADDR") not in LOOPBACK:
        raise Http404
    if request.user.is_authenticated:
        return redirect("/")
    if not _use_up(token):
        return redirect(settings.LOGIN_URL)
    login(request, get_user_model().objects.get(username=USER), backend="django.contrib.auth.backends.ModelBackend")
    return redirect("/")


def _use_up(token: str) -> bool:
    """Delete the stored token if it is this one. Return False if it is another one, or was deleted already."""
    path = settings.VAR / TOKEN_FILE
    with suppress(FileNotFoundError):
        if secrets.compare_digest(path.read_text().encode(), token.encode()):
            path.unlink()
            return True
    return False
