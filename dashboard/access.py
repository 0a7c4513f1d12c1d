"""Who may open a page or act, and the audit row of each action.

Every view of the pages is wrapped by `page`, or by `action` if it changes something. Programs read /api/v1/ instead.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

View = Callable[..., HttpResponseBase]


def page(*permissions: str) -> Callable[[View], View]:
    """Return a decorator for a view that only reads. It allows GET and HEAD, and requires a login and all of the permissions."""
    return lambda view: _marked(never_cache(require_safe(_guarded(view, permissions))), "page", permissions)


def action(*permissions: str) -> Callable[[View], View]:
    """Return a decorator for a view that changes something. It allows POST only, and requires a login and all of the permissions."""
    return lambda view: _marked(require_POST(_guarded(view, permissions)), "action", permissions)


def form_page(*permissions: str) -> Callable[[View], View]:
    """Return a decorator for a view that shows a form by GET and changes something by POST only."""
    return lambda view: _marked(never_cache(_guarded(view, permissions)), "form", permissions)


def audit(request: HttpRequest, subject: Model, sentence: str) -> None:
    """Store in Django's audit log that the user has done what the sentence says to the subject. The sentence is stored in English."""
    LogEntry.objects.create(
        user=cast(User, request.user),
        content_type=ContentType.objects.get_for_model(subject),
        object_id=str(subject.pk),
        object_repr=str(subject)[:200],
        action_flag=CHANGE,
        change_message=sentence,
    )


def _guarded(view: View, permissions: tuple[str, ...]) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _login(request)
        if not request.user.has_perms(permissions):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


def _marked(view: View, kind: str, permissions: tuple[str, ...]) -> View:
    """Write on the view how it is guarded, so that a test can check every address."""
    view.access = (kind, permissions)  # type: ignore[attr-defined]
    return view


def _login(request: HttpRequest) -> HttpResponseBase:
    """Return a redirect to the login page. HTMX would put that page into a part of the page, so it is told to load the page itself."""
    if "HX-Request" in request.headers:
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    next_url = request.get_full_path() if request.method in ("GET", "HEAD") else "/"
    return redirect_to_login(next_url, resolve_url("dashboard:login"))
