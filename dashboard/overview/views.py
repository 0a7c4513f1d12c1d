"""The overview: last night in one line, and the services."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dashboard.access import page
from dora_metrics.models import Service


@page("dora_metrics.view_service")
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard/overview/overview.html", {"services": Service.objects.order_by("name")[:50]})
