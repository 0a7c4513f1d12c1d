"""The page of a service with its charts, and the comparison of services."""

from itertools import dropwhile
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dashboard.access import action, audit, page
from dashboard.facts.periods import short_period_label
from dashboard.services.charts import VALUE_KEYS, comparison_charts, report_period, service_charts, span, stage_names, value_url
from dashboard.services.latest_values import counts_of, latest_values
from dashboard.services.period_form import Chosen, chosen
from dashboard.templatetags.display import METRIC_NAMES
from dora_metrics.calculators.periods import period_before, period_of_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import MEANING
from dora_metrics.models import Service
from dora_metrics.selectors import UnknownEnvironment, event_dates, report, reports
from dora_metrics.selectors.report import environments
from etl_tasks.pipeline import BrokerAway, send_recompute
from etl_tasks.selectors import sources_with_runs

MOST_COMPARED = 6
MOST_OFFERED = 2000


@page("dora_metrics.view_service")
def service(request: HttpRequest, name: str) -> HttpResponse:
    """Return the charts of the service's metrics. An invalid choice of period returns status 400 with an explanation."""
    found = _service(name)
    moment = now()
    known = sorted({PRODUCTION, *environments(found)})
    try:
        choice = chosen(request.GET.dict(), today=moment.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date())
        first = period_before(period_of_date(choice.start, choice.by))  # only compared with
        numbers = report(
            found, start=first.start, end=choice.end, by=choice.by, environment=choice.environment, time_zone=settings.ETL_TIME_ZONE, now=moment
        )
    except (ValueError, UnknownEnvironment) as exc:
        return render(request, "400.html", {"problem": str(exc)}, status=400)
    latest_period, latest = latest_values(numbers)
    numbers["periods"] = numbers["periods"][1:]
    if not choice.has_start:
        numbers["periods"] = list(dropwhile(_has_no_number, numbers["periods"]))
    events = event_dates(found, *span(numbers)) if numbers["periods"] and choice.environment == PRODUCTION else {}
    context = {
        "service": found,
        "environments": known,
        "choice": choice,
        "form": request.GET,
        "charts": service_charts(numbers, events),
        "latest_period": latest_period,
        "latest": latest,
        "rows": _rows(numbers),
        "metrics": list(METRIC_NAMES),
        "flags": {flag: _(MEANING[flag]) if flag in MEANING else "" for period in numbers["periods"] for flag in period["quality_flags"]},
        "sources": sources_with_runs().filter(service=found),
        "export_query": _export_query(found, choice),
        "stages": stage_names(),
        "words": words(),
    }
    return render(request, "dashboard/services/service.html", context)


@page("dora_metrics.view_service")
def compare(request: HttpRequest) -> HttpResponse:
    """Return the chart of each metric with up to six services, which the parameters `service` name."""
    names = list(dict.fromkeys(name for name in request.GET.getlist("service") if name))
    offered = list(Service.objects.order_by("name").values_list("name", flat=True)[:MOST_OFFERED])
    context: dict[str, Any] = {"names": names, "offered": offered, "form": request.GET, "most": MOST_COMPARED, "words": words()}
    moment = now()
    try:
        choice = chosen(request.GET.dict(), today=moment.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date())
        if len(names) > MOST_COMPARED:
            raise ValueError(_("A chart shows at most %(most)s services. Remove some.") % {"most": MOST_COMPARED})
        found = {each.name: each for each in Service.objects.filter(name__in=names)}
        if missing := [name for name in names if name not in found]:
            raise ValueError(_("There is no service %(name)s.") % {"name": missing[0]})
        numbers = reports(
            [found[name] for name in names],
            start=choice.start,
            end=choice.end,
            by=choice.by,
            environment=PRODUCTION,
            time_zone=settings.ETL_TIME_ZONE,
            now=moment,
        )
    except ValueError as exc:
        return render(request, "dashboard/services/compare.html", {**context, "problem": str(exc)}, status=400)
    context |= {
        "choice": choice,
        "charts": comparison_charts(numbers) if numbers else [],
        "tables": [(each["service"], _rows(each)) for each in numbers],
    }
    return render(request, "dashboard/services/compare.html", {**context, "metrics": list(METRIC_NAMES)})


@action("dora_metrics.change_service")
def recompute(request: HttpRequest, name: str) -> HttpResponse:
    """Ask a worker to compute all of the service's numbers again from its stored facts."""
    found = _service(name)
    try:
        send_recompute(found)
    except BrokerAway as exc:
        messages.error(request, str(exc))
    else:
        audit(request, found, "recompute requested")
        messages.success(request, _("A worker computes the numbers of %(name)s again.") % {"name": found.name})
    return HttpResponseRedirect(reverse("dashboard:service", args=[found.name]))


def _service(name: str) -> Service:
    found = Service.objects.filter(name=name).first()
    if found is None:
        raise Http404(_("There is no service %(name)s.") % {"name": name})
    return found


def _has_no_number(period: dict[str, Any]) -> bool:
    return all(value is None for metric in METRIC_NAMES for name, value in period[metric].items() if name in ("deployments", "n"))


def _rows(numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the periods, latest first, as the table below the charts shows them."""
    return [
        {
            "label": short_period_label(report_period(period, numbers["by"])),
            "period": period,
            "values": [
                {
                    "metric": metric,
                    "value": period[metric][key],
                    "tier": period[metric].get("tier"),
                    "counts": counts_of(metric, period[metric]),
                    "url": value_url(numbers, metric, period),
                }
                for metric, key in VALUE_KEYS.items()
            ],
            "stages": [{"name": name, **period["change_lead_time"]["stages"][stage]} for stage, name in stage_names().items()],
        }
        for period in reversed(numbers["periods"])
    ]


def _export_query(found: Service, choice: Chosen) -> dict[str, str]:
    return {"service": found.name, "from": choice.start.isoformat(), "to": choice.end.isoformat(), "by": choice.by, "environment": choice.environment}


def words() -> dict[str, str]:
    """Return the texts that the script services.js needs."""
    return {
        "partial": _("partial"),
        "missing": _("not collected"),
        "day": _("d"),
        "hour": _("h"),
        "minute": _("min"),
        "second": _("s"),
        "unknown": _("unknown"),
        "deploy_days": _("Deploy days a week"),
        "per_day": _("a day"),
        "hint": _("Click a period to see the facts behind its value."),
    }
