"""The views of the log page: search, live tail, and one event with its neighbours."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.timezone import now

from dashboard.access import page
from dashboard.logs.chart import Chart, chart, chart_span
from etl_tasks.models import Source
from etl_tasks.sources.registry import log_sources
from log_store.event import LogEvent
from log_store.opening import open_log_store
from log_store.search import LEVEL_CHOICES, query_of
from log_store.store import LogQuery, LogStoreUnavailable, around, event_at, of_position, position

EVENTS_PER_PAGE = 100
EVENTS_PER_POLL = 200
# How far back the live tail begins if no event is shown yet. It does not begin now, because a line reaches the store some time after it was
# written.
FIRST_POLL_SPAN = timedelta(hours=1)
LONGEST_CHART = timedelta(days=92)  # a longer period has no chart


def _for_readers(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    """Require the permission to view log events, because log lines contain personal data.

    If the log store does not answer, the view returns status 503 and the page with the reason.
    """

    @page("log_store.view_logeventrow")
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except LogStoreUnavailable as exc:
            return render(request, "dashboard/logs/logs.html", {**_page_context(request), "problem": str(exc)}, status=503)

    return guarded


@_for_readers
def logs(request: HttpRequest) -> HttpResponse:
    """Return the search form with a page of events, newest first, below a chart of their period.

    An invalid query returns status 400 with an explanation.
    """
    context = _page_context(request)
    if not context["source"]:
        return render(request, "dashboard/logs/logs.html", context)
    try:
        query = _query(request)
        after = request.GET.get("after", "")
        if after:
            of_position(after)
    except ValueError as exc:
        return render(request, "dashboard/logs/logs.html", {**context, "problem": str(exc)}, status=400)
    store = open_log_store()
    found = store.read(query, after=after, limit=EVENTS_PER_PAGE)
    context |= {
        "rows": [_row(event) for event in found.events],
        "older": _link(request, after=found.following) if found.following else "",
        "newest": position(found.events[0]) if found.events else "",
        "has_live_tail": not request.GET.get("to") and not after,
        "chart": _chart(request, query),
        "has_results": True,
    }
    return render(request, "dashboard/logs/logs.html", context)


@_for_readers
def new_events(request: HttpRequest) -> HttpResponse:
    """Return the events after the one at position `after`, for the live tail, as {"html": table rows, "newest": the next `after`}.

    An invalid query returns status 400 with {"problem": an explanation}.
    """
    try:
        query = _query(request)
        newest = request.GET.get("after", "")
        since = of_position(newest)[0] if newest else max(query.start, now() - FIRST_POLL_SPAN)
    except ValueError as exc:
        return JsonResponse({"problem": str(exc)}, status=400)
    new = LogQuery(query.source, since, now() + timedelta(days=1), query.levels, query.contains)
    found = open_log_store().read(new, after=newest, limit=EVENTS_PER_POLL, oldest_first=True)
    html = render_to_string("dashboard/logs/rows.html", {"rows": [_row(event) for event in reversed(found.events)]})
    return JsonResponse({"html": html, "newest": found.following or (position(found.events[-1]) if found.events else newest)})


@_for_readers
def log_event(request: HttpRequest, source: str, event_position: str) -> HttpResponse:
    """Return one event with all its fields, and its neighbours. The URL stays valid as long as the store has the event."""
    store = open_log_store()
    try:
        event = event_at(store, source, event_position)
    except ValueError:
        event = None
    if event is None:
        problem = f"{source} has no event at {event_position}: it may have reached the end of its life"
        return render(request, "dashboard/logs/logs.html", {**_page_context(request), "problem": problem}, status=404)
    context = {
        **_page_context(request),
        "event": _row(event),
        "service": event.service or _service_of(source),
        "rows": [_row(neighbour) for neighbour in around(store, event)],
    }
    return render(request, "dashboard/logs/event.html", context)


def _page_context(request: HttpRequest) -> dict[str, Any]:
    """Return what every log page shows: the search form as the user filled it in."""
    form = {name: request.GET.get(name, "") for name in ("source", "from", "to", "level", "text")}
    return {
        "sources": log_sources(),
        "levels": LEVEL_CHOICES,
        "zone": settings.ETL_TIME_ZONE,
        "form": form,
        "source": form["source"],
    }


def _query(request: HttpRequest) -> LogQuery:
    """Return the query of the search form. Raises ValueError with an explanation."""
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
    counts = open_log_store().counts(query.source, *chart_span(query.start, query.end, zone))

    def link(start: datetime, end: datetime) -> str:
        return _link(request, **{"from": start.isoformat(), "to": end.isoformat(), "after": ""})

    return chart(counts, query.start, query.end, link=link, zone=zone)


def _link(request: HttpRequest, **changed: str) -> str:
    """Return a link to the same search with some parameters changed; an empty value removes one."""
    given = {**dict(request.GET.items()), **changed}
    return "?" + urlencode({name: value for name, value in given.items() if value})


def _row(event: LogEvent) -> dict[str, Any]:
    """Return an event as the templates show it."""
    first, _, rest = event.message.partition("\n")
    return {
        "event": event,
        "position": position(event),
        # Formatted here because a template would use Django's time zone and cannot show milliseconds.
        "time": event.time.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        "first_line": first,
        "rest": rest,
    }


def _service_of(source: str) -> str:
    return Source.objects.filter(name=source).values_list("service__name", flat=True).first() or ""
