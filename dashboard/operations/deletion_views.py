"""Delete a source or a service: a page that says what would be deleted, and the action that begins it. A worker does the rest."""

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _

from dashboard.access import action, audit, page
from dashboard.operations.source_views import source_or_404
from dora_metrics.models import Service
from etl_tasks import deletion, pipeline
from etl_tasks.deletion import Target
from etl_tasks.models import ETLRun, Source
from log_store.store import LogStoreUnavailable

DELETE_SOURCE, DELETE_SERVICE = "etl_tasks.delete_source", "dora_metrics.delete_service"


@page(DELETE_SOURCE)
def source(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, source_or_404(pk))


@page(DELETE_SERVICE)
def service(request: HttpRequest, name: str) -> HttpResponse:
    return _page(request, get_object_or_404(Service, name=name))


@action(DELETE_SOURCE)
def begin_source(request: HttpRequest, pk: int) -> HttpResponse:
    return _begin(request, source_or_404(pk))


@action(DELETE_SERVICE)
def begin_service(request: HttpRequest, name: str) -> HttpResponse:
    return _begin(request, get_object_or_404(Service, name=name))


def _page(request: HttpRequest, target: Target, *, problem: str = "", status: int = 200) -> HttpResponse:
    """Return the page that says what would be deleted, or why nothing can be deleted now."""
    context: dict[str, Any] = {"target": target, "is_service": isinstance(target, Service), "problem": problem, **_addresses(target)}
    context["active_run"] = ETLRun.objects.filter(source__in=deletion.sources_of(target), status__in=ETLRun.ACTIVE).select_related("source").first()
    try:
        context["counts"] = deletion.in_words(deletion.count_contents(target))
    except LogStoreUnavailable as exc:
        context["unavailable"] = str(exc)
    return render(request, "dashboard/operations/delete.html", context, status=status)


def _begin(request: HttpRequest, target: Target) -> HttpResponse:
    if request.POST.get("name", "").strip() != target.name:
        return _page(request, target, problem=_("Nothing was deleted: the name that you typed is not %(name)s.") % {"name": target.name}, status=400)
    try:
        deletion.begin(target)
    except deletion.Refused as exc:
        return _page(request, target, problem=_("Nothing was deleted: %(reason)s.") % {"reason": exc}, status=409)
    audit(request, target, "began the deletion")
    messages.success(
        request, _("%(name)s is being deleted by a worker. It is gone when “Being deleted” below does not list it any more.") % {"name": target.name}
    )
    try:
        pipeline.check_broker()
    except pipeline.BrokerAway:
        messages.warning(request, _("The broker cannot be reached: the deletion begins when the sweep runs again."))
    else:
        transaction.on_commit(pipeline.send_deletion, robust=True)
    return HttpResponseRedirect(reverse("dashboard:operations"))


def _addresses(target: Target) -> dict[str, str]:
    """Return the addresses of the action and of the page to which "Keep it" leads."""
    if isinstance(target, Source):
        return {
            "begin_url": reverse("dashboard:begin_source_deletion", args=[target.pk]),
            "keep_url": reverse("dashboard:source", args=[target.pk]),
        }
    return {
        "begin_url": reverse("dashboard:begin_service_deletion", args=[target.name]),
        "keep_url": reverse("dashboard:service", args=[target.name]),
    }
