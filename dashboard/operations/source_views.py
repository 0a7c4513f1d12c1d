"""The page of a source, and the form that requests a run of a range."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.timezone import now

from dashboard.access import page
from dashboard.operations import charts
from dashboard.operations.forms import RangeForm
from dashboard.operations.needs import letters_url
from dashboard.operations.nights import due_nights, grid_rows
from dashboard.operations.parts import READ, cursor_sentence
from etl_tasks import night_schedule, selectors
from etl_tasks.intervals import describe_interval, next_run_due_at, with_last_runs
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.selectors import runs as run_selectors
from etl_tasks.selectors.nights import grid
from etl_tasks.sources.registry import kinds_with_log_events, labels

RUNS_IN_CHART, RUNS_IN_TABLE, MOST_CURSORS = 30, 10, 50


@page(READ)
def source(request: HttpRequest, pk: int) -> HttpResponse:
    """Return a source: its settings, its last nights and runs, its cursors, and what can be done with it."""
    found = source_or_404(pk)
    moment = now()
    nights = due_nights(moment)
    [(_, cells)] = grid_rows(grid([found], nights, moment), nights)
    runs = run_selectors.latest_runs(found, RUNS_IN_CHART)
    context: dict[str, Any] = {
        "source": found,
        "kind_label": labels().get(found.kind, found.kind),
        "nights": list(zip(nights, cells, strict=True)),
        "runs": runs[:RUNS_IN_TABLE],
        "active_run": next((run for run in runs if run.status in ETLRun.ACTIVE), None),
        "cursors": [(cursor, cursor_sentence(cursor.position)) for cursor in found.cursors.order_by("stream")[:MOST_CURSORS]],
        "open_letters": found.dead_letters.filter(state=DeadLetter.State.OPEN).count(),
        "interval": describe_interval(found.every_minutes),
        "next_run_due": next_run_due_at(found, moment, next_night=_next_night(moment)),
        "letters_url": letters_url(found),
        "has_log_events": found.kind in kinds_with_log_events(),
        "given_up": selectors.deployments_given_up(found),
        "chart": charts.of_runs(runs),
    }
    return render(request, "dashboard/operations/source.html", context)


@page("etl_tasks.start_etlrun")
def run_range(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the form that requests a run of a range."""
    return render(request, "dashboard/operations/run_range.html", {"source": source_or_404(pk), "form": RangeForm()})


def source_or_404(pk: int) -> Source:
    source: Source = get_object_or_404(with_last_runs(Source.objects.select_related("service", "facts_repository__service")), pk=pk)
    return source


def _next_night(moment: datetime) -> datetime | None:
    try:
        return night_schedule.next_night_due_at(moment)
    except night_schedule.UnusableSchedule:  # the operations page names the problem
        return None
