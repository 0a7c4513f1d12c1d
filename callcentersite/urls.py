from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from dora_metrics.api.endpoints import api

urlpatterns = [
    path("", include("dashboard.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    path("favicon.ico", RedirectView.as_view(url="/static/dashboard/favicon.svg", permanent=True)),
]
admin.site.site_header = admin.site.site_title = "callcentersite ETL"
admin.site.index_title = "Last night, and what to do about it"
