"""The operations page: last night and what needs a person, and its parts: runs in progress, the grid of nights, and the components.

Each part is also a page of its own, for a browser without JavaScript.
"""

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

from dashboard.access import page
from dashboard.operations import charts, needs
from dashboard.operations.nights import due_nights, grid_rows, legend
from dashboard.operations.parts import POLL_SECONDS, QUIET_POLL_SECONDS, READ, budget_of, is_late, part
from dashboard.templatetags.display import status_word
from etl_tasks import deletion, run_progress
from etl_tasks.component_states import SOURCES, component_states, queue_lengths
from etl_tasks.models import ETLRun
from etl_tasks.night_report import report_last_night
from etl_tasks.selectors import nights as night_selectors
from etl_tasks.selectors import runs as run_selectors

SOURCES_PER_PAGE = 50
NIGHTS_IN_CHART = 30
COMPONENT_NAMES = {
    "database": gettext_lazy("Database"),
    "migrations": gettext_lazy("Migrations"),
    "broker": gettext_lazy("Broker"),
    "log_store": gettext_lazy("Log store"),
    "beat": gettext_lazy("Beat"),
    "workers": gettext_lazy("Workers"),
}


@page(READ)
def operations(request: HttpRequest) -> HttpResponse:
    """Return last night's result and what needs a person. The other parts are requested by the page itself."""
    report = report_last_night(now())
    rows, more = needs.rows_of(report, request.user)
    parts = [
        (reverse("dashboard:live"), _("Runs in progress")),
        (reverse("dashboard:nights"), _("The last 14 nights")),
        (reverse("dashboard:components"), _("Servers and processes")),
        (reverse("dashboard:durations"), _("How long the nights took")),
    ]
    context = {
        "parts": parts,
        "report": report,
        "source_count": len(report.outcomes),
        "needs": rows,
        "more_needs": more,
        "hours": settings.ETL_OVERDUE_HOURS,
    }
    return render(request, "dashboard/operations/operations.html", context)


@page(READ)
def live(request: HttpRequest) -> HttpResponse:
    """Return the runs in progress, those that have just ended, and the oldest open dead letter."""
    moment = now()
    progress, count = run_selectors.in_progress()
    done = {row.run.pk: row for row in run_progress.progress_of([entry.run.pk for entry in progress])}
    budgets = run_selectors.budgets()
    is_busy = any(not entry.run.is_waiting for entry in progress)
    ended = run_selectors.just_ended(moment)
    letter = run_selectors.oldest_open_letter()
    context: dict[str, Any] = {
        "rows": [
            {"progress": entry, "done": done.get(entry.run.pk), "budget": budget_of(entry.run.source, budgets), "is_late": is_late(entry)}
            for entry in progress
        ],
        "count": count,
        "ended": ended,
        "announcement": _announcement(count, ended),
        "letter": letter,
        "letter_age_s": (moment - letter.timestamp).total_seconds() if letter else None,
        "letters_url": needs.letters_url(letter.source) if letter else "",
        "poll_s": POLL_SECONDS if is_busy else QUIET_POLL_SECONDS,
    }
    return part(request, "dashboard/operations/live.html", context)


@page(READ)
def nights(request: HttpRequest) -> HttpResponse:
    """Return the grid of nights and sources, problems first, a page of sources at a time."""
    moment = now()
    shown_nights = due_nights(moment)
    search, shown = request.GET.get("q", "").strip()[:100], request.GET.get("show", "all")
    sources = night_selectors.sources_by_urgency(night_selectors.last_settled_due(shown_nights, moment), search=search, shown=shown)
    sources_page = Paginator(sources, SOURCES_PER_PAGE).get_page(request.GET.get("page"))
    rows = grid_rows(night_selectors.grid(list(sources_page), shown_nights, moment), shown_nights)
    context = {
        "nights": shown_nights,
        "rows": rows,
        "page": sources_page,
        "legend": legend(),
        "q": search,
        "show": shown if shown in night_selectors.SHOWN else "all",
        "choices": (
            ("all", _("all sources")),
            ("problems", _("with problems")),
            ("running", _("running now")),
            ("disabled", pgettext("sources", "disabled")),
        ),
    }
    return part(request, "dashboard/operations/nights.html", context)


@page(READ)
def durations(request: HttpRequest) -> HttpResponse:
    """Return the chart of how long the nights took."""
    shown_nights = due_nights(now(), count=NIGHTS_IN_CHART)
    context = {"chart": charts.of_nights(shown_nights, night_selectors.stage_seconds(shown_nights))}
    return part(request, "dashboard/operations/durations.html", context)


@page(READ)
def components(request: HttpRequest) -> HttpResponse:
    """Return the state of each component, the lengths of the queues, and what is being deleted. A server that hangs delays it by seconds only."""
    states = component_states()
    is_broken = {state.name: not state.is_ok for state in states}
    lengths = None if is_broken["broker"] or is_broken["database"] else queue_lengths()
    context = {
        # Sources without a recent success are listed under what needs a person.
        "states": [(COMPONENT_NAMES.get(state.name, state.name), state) for state in states if state.name != SOURCES],
        "queues": sorted(lengths.items()) if lengths is not None else None,
        "flower_url": settings.FLOWER_URL,
        "deletions": [] if is_broken["database"] or is_broken["migrations"] else deletion.pending(),
        "poll_s": QUIET_POLL_SECONDS,
    }
    return part(request, "dashboard/operations/components.html", context)


def _announcement(count: int, ended: list[ETLRun]) -> str:
    """Return what a screen reader is told when it changes."""
    text = ngettext("%(count)d run in progress.", "%(count)d runs in progress.", count) % {"count": count}
    if ended:
        text += " " + _("%(source)s: %(status)s.") % {"source": ended[0].pipeline, "status": status_word(ended[0].status)}
    return text
