"""The log page: search, live tail, one event among its neighbours. Reads the log store, holds no logic of its own."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.timezone import now
from django.views.decorators.http import require_GET

from dashboard.log_chart import Chart, chart, span
from etl_tasks.models import Source
from etl_tasks.sources.registry import log_sources
from log_store.event import LogEvent
from log_store.opening import open_log_store
from log_store.search import LEVEL_CHOICES, query_of
from log_store.store import LogQuery, LogStoreUnavailable, around, event_at, of_position, position

EVENTS_A_PAGE = 100
EVENTS_A_POLL = 200
# How far back the live tail begins where nothing is shown yet: lines take a while from a program to the store.
FIRST_POLL_SPAN = timedelta(hours=1)
LONGEST_CHART = timedelta(days=92)


def _for_staff(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    """Log lines tell of people: whoever reads them logs in, and may."""

    @require_GET
    @staff_member_required
    @permission_required("log_store.view_logeventrow", raise_exception=True)
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except LogStoreUnavailable as exc:
            return render(request, "dashboard/logs.html", {**_frame(request), "problem": str(exc)}, status=503)

    return guarded


@_for_staff
def logs(request: HttpRequest) -> HttpResponse:
    """A page of events, the newest first, under a chart of its period. A question that cannot be is answered with a sentence."""
    context = _frame(request)
    if not context["source"]:
        return render(request, "dashboard/logs.html", context)
    try:
        query = _asked(request)
        after = request.GET.get("after", "")
        if after:
            of_position(after)
    except ValueError as exc:
        return render(request, "dashboard/logs.html", {**context, "problem": str(exc)}, status=400)
    store = open_log_store()
    page = store.read(query, after=after, limit=EVENTS_A_PAGE)
    context |= {
        "rows": [_row(event) for event in page.events],
        "older": _link(request, after=page.following) if page.following else "",
        "newest": position(page.events[0]) if page.events else "",
        "tails": not request.GET.get("to") and not after,
        "chart": _chart(request, query),
        "is_answered": True,
    }
    return render(request, "dashboard/logs.html", context)


@_for_staff
def new_events(request: HttpRequest) -> HttpResponse:
    """What has come behind a position, for the page to put on top: {"html": …, "newest": …}, which is the next position to ask behind."""
    try:
        query = _asked(request)
        newest = request.GET.get("after", "")
        since = of_position(newest)[0] if newest else max(query.start, now() - FIRST_POLL_SPAN)
    except ValueError as exc:
        return JsonResponse({"problem": str(exc)}, status=400)
    coming = LogQuery(query.source, since, now() + timedelta(days=1), query.levels, query.contains)
    page = open_log_store().read(coming, after=newest, limit=EVENTS_A_POLL, oldest_first=True)
    html = render_to_string("dashboard/log_rows.html", {"rows": [_row(event) for event in reversed(page.events)]})
    return JsonResponse({"html": html, "newest": page.following or (position(page.events[-1]) if page.events else newest)})


@_for_staff
def log_event(request: HttpRequest, source: str, place: str) -> HttpResponse:
    """One event with all it says, and its neighbours; its address stays right as long as the store has it."""
    store = open_log_store()
    try:
        event = event_at(store, source, place)
    except ValueError:
        event = None
    if event is None:
        problem = f"{source} has no event at {place}: it may have reached the end of its life"
        return render(request, "dashboard/logs.html", {**_frame(request), "problem": problem}, status=404)
    context = {
        **_frame(request),
        "title": "A log event",
        "event": _row(event),
        "service": event.service or _service_of(source),
        "rows": [_row(one) for one in around(store, event)],
    }
    return render(request, "dashboard/log_event.html", context)


def _frame(request: HttpRequest) -> dict[str, Any]:
    asked = {name: request.GET.get(name, "") for name in ("source", "from", "to", "level", "text")}
    return {
        **admin.site.each_context(request),
        "title": "Logs",
        "is_nav_sidebar_enabled": False,  # lines are long
        "sources": log_sources(),
        "levels": LEVEL_CHOICES,
        "zone": settings.ETL_TIME_ZONE,
        "asked": asked,
        "source": asked["source"],
    }


def _asked(request: HttpRequest) -> LogQuery:
    given = request.GET
    return query_of(
        given.get("source", ""),
        known=log_sources(),
        start=given.get("from", ""),
        end=given.get("to", ""),
        level=given.get("level", ""),
        contains=given.get("text", ""),
        now=now(),
    )


def _chart(request: HttpRequest, query: LogQuery) -> Chart | None:
    if query.end - query.start > LONGEST_CHART:
        return None
    zone = ZoneInfo(settings.ETL_TIME_ZONE)
    counts = open_log_store().counts(query.source, *span(query.start, query.end, zone))

    def link(start: datetime, end: datetime) -> str:
        return _link(request, **{"from": start.isoformat(), "to": end.isoformat(), "after": ""})

    return chart(counts, query.start, query.end, link=link, zone=zone)


def _link(request: HttpRequest, **changed: str) -> str:
    given = {**dict(request.GET.items()), **changed}
    return "?" + urlencode({name: value for name, value in given.items() if value})


def _row(event: LogEvent) -> dict[str, Any]:
    first, _, rest = event.message.partition("\n")
    return {
        "event": event,
        "position": position(event),
        # As text: a template would show it in Django's zone, and has no milliseconds.
        "time": event.time.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        "first_line": first,
        "rest": rest,
    }


def _service_of(source: str) -> str:
    return Source.objects.filter(name=source).values_list("service__name", flat=True).first() or ""
