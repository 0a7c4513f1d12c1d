"""The addresses of all pages. Each room has a `urls.py` of its own."""

from django.conf import settings
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.views.i18n import set_language

from dashboard.login import Login

app_name = "dashboard"
urlpatterns = [
    path("", include("dashboard.overview.urls")),
    path("", include("dashboard.operations.urls")),
    path("", include("dashboard.services.urls")),
    path("", include("dashboard.letters.urls")),
    path("", include("dashboard.setup.urls")),
    path(settings.LOG_PAGE_URL.removeprefix("/"), include("dashboard.logs.urls")),
    path("", include("dashboard.facts.urls")),
    path("definitions/", include("dashboard.definitions.urls")),
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", set_language, name="set_language"),
]
