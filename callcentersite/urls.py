from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from callcentersite.health import health
from dora_metrics.api.endpoints import api

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path(settings.LOG_PAGE_URL.removeprefix("/"), include("dashboard.urls")),
    path("healthz", health, name="health"),
]
admin.site.site_header = admin.site.site_title = "callcentersite ETL"
admin.site.index_title = "Last night, and what to do about it"
