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
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dashboard.access import page
from dashboard.logs.chart import Chart, chart
from dashboard.logs.counting import Counts, counts_of_page, counts_of_search
from dashboard.logs.search_form import Search
from dora_metrics.models import Service
from etl_tasks.models import Source
from etl_tasks.selectors.log_sources import latest_log_source
from etl_tasks.sources.registry import kinds_with_log_events, log_sources
from log_store.counts import HOUR, hour_of
from log_store.event import EPOCH, LogEvent
from log_store.opening import open_log_store
from log_store.store import LogPage, LogQuery, LogStore, LogStoreUnavailable, around, event_at, of_position, position

EVENTS_PER_PAGE = 100
# The first page reads more events than it shows. If these are all, the chart counts them, and so it follows the text as well.
EVENTS_READ = 999
EVENTS_PER_POLL = 200
# How far back the live tail begins if no event is shown yet. It does not begin now, because a line reaches the store some time after it was
# written.
FIRST_POLL_SPAN = timedelta(hours=1)
LONGEST_CHART = timedelta(days=92)  # a longer period has no chart
TRACE_SPAN = timedelta(hours=1)  # how far before and after an event the link of its trace id searches


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
            return _problem(request, str(exc), status=503)

    return guarded


@_for_readers
def logs(request: HttpRequest) -> HttpResponse:
    """Return the search form with a page of events, newest first, below a chart of their period.

    Without a source, it shows the one that was collected last. An invalid query returns status 400 with an explanation.
    """
    known, moment = log_sources(), now()
    search = _search(request)
    context = {"sources": known, **search.context(_zone())}
    if not known:
        return render(request, "dashboard/logs/logs.html", context)
    after = request.GET.get("after", "")
    try:
        query = search.query(known=known, now=moment, zone=_zone())
        if after:
            of_position(after)
    except ValueError as exc:
        return render(request, "dashboard/logs/logs.html", {**context, "problem": str(exc)}, status=400)
    store = open_log_store()
    found = _read(store, query, after)
    newest = None if found.events or after else _newest_event(store, query.source, max(query.end, moment))
    is_older_period = newest is not None and search.is_default_period and not search.level and not search.text
    if newest is not None:
        older_period = _period_up_to(newest, query)
        context["last_events"] = search.link(**{"from": older_period.start.isoformat(), "to": older_period.end.isoformat()})
        if is_older_period:
            query, found = older_period, _read(store, older_period, after)
    is_all = not found.following and not after
    counts = None if query.end - query.start > LONGEST_CHART else counts_of_page(found) if is_all else counts_of_search(store, query, now=moment)
    shown, following = found.events[:EVENTS_PER_PAGE], found.following
    if len(found.events) > EVENTS_PER_PAGE:
        following = position(shown[-1])
    fixed_period = {"from": query.start.isoformat(), "to": query.end.isoformat()} if is_older_period else {}
    context |= {
        "query": query,
        "newest_event": newest,
        "is_older_period": is_older_period,
        "ends_now": query.end > moment,
        "rows": [_row(event) for event in shown],
        "older": search.link(after=following, **fixed_period) if following else "",
        "is_first_page": not after,
        "newest_link": search.link(),
        "without_filter": search.link(level="", text=""),
        "newest": position(shown[0]) if shown else "",
        "tail_url": "" if search.end or after else _tail_url(query, search),
        "counts": counts,
        "chart": _chart(counts, query, search) if counts else None,
        "has_results": True,
    }
    return render(request, "dashboard/logs/logs.html", context)


@_for_readers
def new_events(request: HttpRequest) -> HttpResponse:
    """Return the events after the one at position `after`, for the live tail.

    As {"html": table rows, "events": their number, "newest": the next `after`}. An invalid query returns status 400 with {"problem": an explanation}.
    """
    newest = request.GET.get("after", "")
    try:
        query = _search(request).query(known=log_sources(), now=now(), zone=_zone())
        since = of_position(newest)[0] if newest else max(query.start, now() - FIRST_POLL_SPAN)
    except ValueError as exc:
        return JsonResponse({"problem": str(exc)}, status=400)
    new = LogQuery(query.source, since, now() + timedelta(days=1), query.levels, query.contains)
    found = open_log_store().read(new, after=newest, limit=EVENTS_PER_POLL, oldest_first=True)
    html = render_to_string("dashboard/logs/rows.html", {"rows": [_row(event) for event in reversed(found.events)]}, request)
    newest = found.following or (position(found.events[-1]) if found.events else newest)
    return JsonResponse({"html": html, "events": len(found.events), "newest": newest})


@_for_readers
def log_event(request: HttpRequest, source: str, event_position: str) -> HttpResponse:
    """Return one event with all its fields, and its neighbours. The URL stays valid as long as the store has the event."""
    store = open_log_store()
    try:
        event = event_at(store, source, event_position)
    except ValueError:
        event = None
    if event is None:
        return _problem(request, _("%(source)s has no such event. It may have expired.") % {"source": source}, status=404)
    neighbours = around(store, event)
    place = neighbours.index(event)
    found = Source.objects.select_related("service").filter(name=source).first()
    service = event.service or (found.service.name if found else "")
    context = {
        "event": _row(event),
        "source": found,
        "service": service,
        "has_service": found is not None and (service == found.service.name or Service.objects.filter(name=service).exists()),
        "rows": [_row(neighbour) for neighbour in neighbours],
        "previous_event": _event_url(neighbours[place - 1]) if place else "",
        "next_event": _event_url(neighbours[place + 1]) if place + 1 < len(neighbours) else "",
        "trace_search": _trace_search(event) if event.trace_id else "",
    }
    return render(request, "dashboard/logs/event.html", context)


def _problem(request: HttpRequest, problem: str, *, status: int) -> HttpResponse:
    """Return the log page with an explanation instead of events."""
    context = {"sources": log_sources(), **_search(request).context(_zone()), "problem": problem}
    return render(request, "dashboard/logs/logs.html", context, status=status)


def _search(request: HttpRequest) -> Search:
    default_source = "" if request.GET.get("source") else latest_log_source(kinds_with_log_events())
    return Search.of(request.GET, default_source=default_source)


def _zone() -> ZoneInfo:
    return ZoneInfo(settings.ETL_TIME_ZONE)


def _read(store: LogStore, query: LogQuery, after: str) -> LogPage:
    return store.read(query, after=after, limit=EVENTS_PER_PAGE if after else EVENTS_READ)


def _newest_event(store: LogStore, source: str, end: datetime) -> LogEvent | None:
    """Return the newest event of the source before `end`, whatever its level and text."""
    return next(iter(store.read(LogQuery(source, EPOCH, end), limit=1).events), None)


def _period_up_to(event: LogEvent, query: LogQuery) -> LogQuery:
    """Return the query for the day that ends with the hour of an event."""
    end = hour_of(event.time) + HOUR
    return LogQuery(query.source, max(end - timedelta(days=1), EPOCH), end, query.levels, query.contains)


def _chart(counts: Counts, query: LogQuery, search: Search) -> Chart:
    return chart(
        counts, query.start, query.end, link=lambda start, end: search.link(**{"from": start.isoformat(), "to": end.isoformat()}), zone=_zone()
    )


def _tail_url(query: LogQuery, search: Search) -> str:
    given = {"source": search.source, "from": query.start.isoformat(), "level": search.level, "text": search.text}
    return reverse("dashboard:new_events") + "?" + urlencode({name: value for name, value in given.items() if value})


def _trace_search(event: LogEvent) -> str:
    period = {"from": max(event.time - TRACE_SPAN, EPOCH).isoformat(), "to": (event.time + TRACE_SPAN).isoformat()}
    return reverse("dashboard:logs") + "?" + urlencode({"source": event.source, "text": event.trace_id, **period})


def _event_url(event: LogEvent) -> str:
    return reverse("dashboard:log_event", args=[event.source, position(event)])


def _row(event: LogEvent) -> dict[str, Any]:
    """Return an event as the templates show it."""
    first, _newline, rest = event.message.partition("\n")
    return {"event": event, "position": position(event), "first_line": first, "rest": rest}
