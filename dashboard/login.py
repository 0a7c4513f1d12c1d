"""The login pages, of the pages and of the admin: who guesses passwords is locked out for a while (dora_metrics/lockout.py)."""

from typing import Any

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.timezone import now
from django.utils.translation import ngettext

from dora_metrics import lockout
from dora_metrics.client_address import client_address


class LoginForm(AuthenticationForm):
    """A login form that refuses to check a password after too many failures."""

    is_locked = False

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if not name or not password or self.request is None:
            return super().clean()
        address = client_address(self.request)
        if not lockout.count_login(name, address, now=now()):
            self.is_locked = True
            raise ValidationError(locked_sentence(), code="locked")
        cleaned = super().clean()
        lockout.note_login(self.get_user().get_username(), address, now=now())
        return cleaned


class AdminLoginForm(LoginForm, AdminAuthenticationForm):
    """The admin's form, which lets in staff only."""


def locked_sentence() -> str:
    return ngettext(
        "Too many attempts have failed. Try again in %(minutes)d minute, or ask an administrator to unlock your login.",
        "Too many attempts have failed. Try again in %(minutes)d minutes, or ask an administrator to unlock your login.",
        settings.LOGIN_LOCK_MINUTES,
    ) % {"minutes": settings.LOGIN_LOCK_MINUTES}


def with_status(response: HttpResponse) -> HttpResponse:
    """Set the status of a login page that refuses to check a password: 429, Too Many Requests."""
    form = (getattr(response, "context_data", None) or {}).get("form")
    if getattr(form, "is_locked", False):
        response.status_code = 429
        response["Retry-After"] = str(int(lockout.lock_time().total_seconds()))
    return response


class Login(LoginView):
    """Log in, and go on to the page that was asked for, otherwise to the overview."""

    template_name = "dashboard/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "is_login_page": True}

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        return with_status(super().form_invalid(form))
