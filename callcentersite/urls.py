from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from dora_metrics.api.endpoints import api

urlpatterns = [
    path("", include("dashboard.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", RedirectView.as_view(url="/api/v1/docs")),  # the API itself answers 404 there
    path("api/v1/", api.urls),
    path("favicon.ico", RedirectView.as_view(url="/static/dashboard/favicon.svg", permanent=True)),
]
