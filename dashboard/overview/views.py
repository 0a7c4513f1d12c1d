"""The overview: last night in one line, and the five metrics of every service."""

from datetime import date
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.timezone import now

from dashboard.access import page
from dashboard.definitions.document import anchor_of
from dashboard.overview import choices
from dashboard.overview.cells import flags_of, rows_of
from dashboard.overview.export import csv_of
from dashboard.overview.last_night import line_of
from dora_metrics.calculators.periods import ONE_DAY, local_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.period_input import period_name
from dora_metrics.selectors import overview as selected
from dora_metrics.selectors.overview import BY_NAME
from dora_metrics.selectors.period_values import METRICS
from etl_tasks.night_report import last_night


@page("dora_metrics.view_service")
def overview(request: HttpRequest) -> HttpResponse:
    """Show one page of services. An invalid choice returns status 400 with a sentence."""
    moment = now()
    today = local_date(moment, settings.ETL_TIME_ZONE)
    try:
        choice = choices.chosen(request.GET.dict(), today=today)
    except ValueError as exc:
        return render(request, "400.html", {"problem": str(exc)}, status=400)
    found = selected.overview(choice.query, now=moment)
    # Another environment's values take many queries. Its page leaves last night out, so that it stays below the limit of fifteen.
    is_production = choice.query.environment == PRODUCTION
    context = {
        "choice": choice,
        "query": choice.query,
        "found": found,
        "rows": rows_of(found, choice.query.period, choice.query.environment),
        "flags": flags_of(found),
        "last_night": line_of(last_night(moment), request.user) if is_production else None,
        "columns": _columns(choice),
        "sorts": choices.sorts_offered(choice),
        "name_sort_url": choice.sort_address(BY_NAME),
        **_periods(choice, today),
        **_pages(choice, found),
    }
    return render(request, "dashboard/overview/overview.html", context)


@page("dora_metrics.view_service")
def overview_csv(request: HttpRequest) -> HttpResponseBase:
    """Export the services that the page with the same parameters shows, on all its pages."""
    moment = now()
    try:
        choice = choices.chosen(request.GET.dict(), today=local_date(moment, settings.ETL_TIME_ZONE))
    except ValueError as exc:
        return render(request, "400.html", {"problem": str(exc)}, status=400)
    period, environment = choice.query.period, choice.query.environment
    rows = selected.all_rows(choice.query, now=moment)
    headers = {"Content-Disposition": f'attachment; filename="overview-{period_name(period)}.csv"'}
    return StreamingHttpResponse(csv_of(rows, period, environment), content_type="text/csv; charset=utf-8", headers=headers)


def _columns(choice: choices.Choice) -> list[dict[str, Any]]:
    """Return the columns with the address that sorts by each, and `order`, which is ascending, descending or empty."""
    query = choice.query
    order = "descending" if query.is_descending else "ascending"
    return [
        {
            "metric": metric,
            "sort_url": choice.sort_address(metric) if query.environment == PRODUCTION else "",
            "order": order if query.sort == metric else "",
            "definition_url": f"{reverse('dashboard:definitions')}#{anchor_of(metric)}",
        }
        for metric in METRICS
    ]


def _periods(choice: choices.Choice, today: date) -> dict[str, Any]:
    """Return the periods that can be chosen, each as (address, label or period, whether it is shown now)."""
    days = [(choice.address(period=name), count, choice.name == name) for name, count in choices.PRESETS.items()]
    months = [(choice.address(period=period_name(month)), month, month == choice.query.period) for month in choices.months_offered(today)]
    before, after = choices.neighbours(choice.query.period, today=today)
    return {
        "day_choices": days,
        "month_choices": months,
        "is_range": ".." in choice.name,
        "last_day": choice.query.period.end - ONE_DAY,
        "earlier_url": choice.address(period=period_name(before)) if before else "",
        "later_url": choice.address(period=period_name(after)) if after else "",
    }


def _pages(choice: choices.Choice, found: selected.Overview) -> dict[str, Any]:
    return {
        "previous_url": choice.address(page=found.page - 1) if found.page > 1 else "",
        "next_url": choice.address(page=found.page + 1) if found.page < found.page_count else "",
    }
