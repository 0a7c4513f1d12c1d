"""The first visit: add a service with a repository or a log, test it, start its first collection, and watch it until the first number."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dashboard.access import audit, form_page, page
from dashboard.services.charts import VALUE_KEYS
from dashboard.services.latest_values import counts_of
from dashboard.setup.forms import GithubForm, LogForm, credential_choices, default_production, production_pattern, service_names
from dashboard.templatetags.display import METRIC_NAMES
from dora_metrics.calculators.periods import RANGE, local_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.models import Service
from dora_metrics.period_input import report_range
from dora_metrics.selectors import report
from etl_tasks import pipeline
from etl_tasks.models import ETLRun, Source
from etl_tasks.service_sources import NameTaken, save_github_source
from etl_tasks.sources.github import source_check
from etl_tasks.sources.registry import check

ADDS = ("etl_tasks.add_source", "dora_metrics.add_service")


@page(*ADDS)
def setup(request: HttpRequest) -> HttpResponse:
    """Return the two ways to add something."""
    return render(request, "dashboard/setup/setup.html", {"has_services": Service.objects.exists(), "has_credential": bool(credential_choices())})


@form_page(*ADDS)
def github(request: HttpRequest) -> HttpResponse:
    """Add a service with its repository. The button "test" stores nothing; "add" stores the service and starts its first collection."""
    if request.method != "POST":
        return _github_page(request, GithubForm())
    environments = request.POST.getlist("environment")
    form = GithubForm(request.POST, environments=environments)
    if not form.is_valid():
        return _github_page(request, form, environments=environments, status=400)
    if "add" in request.POST:
        return _add_github(request, form, environments)
    source = Source(
        name="test", service=Service(name=form.cleaned_data["service"]), kind=Source.Kind.GITHUB, repository=form.cleaned_data["repository"]
    )
    source.credential = form.source_settings()["credential"]
    result = check(source)
    found = source_check.environments(source) if result.can_be_read else []
    filled = {**form.cleaned_data, "production": default_production(found)}
    return _github_page(request, GithubForm(initial=filled, environments=found), environments=found, result=result)


def _github_page(request: HttpRequest, form: Form, *, status: int = 200, **context: Any) -> HttpResponse:
    return render(request, "dashboard/setup/github.html", {"form": form, "has_credential": bool(credential_choices()), **context}, status=status)


def _add_github(request: HttpRequest, form: GithubForm, environments: list[str]) -> HttpResponse:
    values = form.cleaned_data
    try:
        with transaction.atomic():
            service = Service.objects.filter(name=values["service"]).first() or Service(name=values["service"])
            if service.pk is None:
                service.production = production_pattern(values.get("production", ()), environments)
            service.full_clean()
            service.save()
            source = save_github_source(service, values["repository"], named=[values["repository"]], settings=form.source_settings())
    except (ValidationError, NameTaken) as exc:
        _add_errors(form, exc)
        return _github_page(request, form, environments=environments, status=400)
    return _start(request, source)


@form_page(*ADDS)
def logs(request: HttpRequest) -> HttpResponse:
    """Add a log source. The button "preview" stores nothing; "add" stores the source and starts its first collection."""
    if request.method != "POST":
        return _logs_page(request, LogForm(initial={"service": request.GET.get("service", "")}))
    form = LogForm(request.POST)
    if not form.is_valid():
        return _logs_page(request, form, status=400)
    if "add" in request.POST:
        return _add_logs(request, form)
    preview = pipeline.preview_logs(form.source(Service(name=form.cleaned_data["service"])))
    filled = {**form.cleaned_data}
    if not preview["problem"]:
        filled |= {"log_format": preview["format"], "log_pattern": preview["pattern"]}
        preview["format_label"] = Source.LogFormat(preview["format"]).label
    return _logs_page(request, LogForm(initial=filled), preview=preview)


def _logs_page(request: HttpRequest, form: Form, *, status: int = 200, **context: Any) -> HttpResponse:
    shown = {"form": form, "services": service_names(), "roots": settings.LOG_ROOTS, "host": settings.ETL_HOST, **context}
    return render(request, "dashboard/setup/logs.html", shown, status=status)


def _add_logs(request: HttpRequest, form: LogForm) -> HttpResponse:
    try:
        with transaction.atomic():
            service, _is_new = Service.objects.get_or_create(name=form.cleaned_data["service"])
            source = form.source(service)
            if not source.log_format:
                raise ValidationError({"log_format": _("Press “Preview” first, which guesses the format, or choose one.")})
            source.full_clean(exclude=["service"])
            source.save()
    except ValidationError as exc:
        _add_errors(form, exc)
        return _logs_page(request, form, status=400)
    return _start(request, source)


def _add_errors(form: Form, exc: ValidationError | NameTaken) -> None:
    """Show each error at its field, or above the form if the form has no such field."""
    if isinstance(exc, NameTaken) or not hasattr(exc, "error_dict"):
        form.add_error(None, exc if isinstance(exc, ValidationError) else str(exc))
        return
    for field, errors in exc.error_dict.items():
        form.add_error(field if field in form.fields else None, errors)


def _start(request: HttpRequest, source: Source) -> HttpResponse:
    """Start the first collection of a source that was just added, and lead to its progress. Without a broker the next night starts it."""
    audit(request, source, "added")
    try:
        pipeline.check_broker()
        run = pipeline.run_source(source.name, trigger=ETLRun.Trigger.ADMIN)
    except (pipeline.BrokerAway, pipeline.SourceBusy) as exc:
        messages.warning(request, _("%(source)s was added, but its collection was not started: %(reason)s") % {"source": source, "reason": exc})
        return HttpResponseRedirect(reverse("dashboard:service", args=[source.service.name]))
    return HttpResponseRedirect(reverse("dashboard:setup_progress", args=[run.pk]))


@page("etl_tasks.view_etlrun")
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """Return how far the first collection is, and the first numbers when it has ended. HTMX requests the changing part again."""
    run = ETLRun.objects.select_related("source__service").filter(pk=pk).first()
    if run is None:
        raise Http404(_("There is no run %(number)s.") % {"number": pk})
    is_active = run.status in ETLRun.ACTIVE
    stages = [(stage, _stage_state(run, stage)) for stage in ETLRun.Stage.values]
    is_good = run.status in ETLRun.GOOD
    context = {
        "run": run,
        "is_active": is_active,
        "is_good": is_good,
        "stages": stages,
        "numbers": _first_numbers(run.source.service) if is_good else [],
        "is_log": run.source.kind == Source.Kind.LOGS,
        "page_count": run.pages.count(),
    }
    template = "dashboard/setup/progress_part.html" if "HX-Request" in request.headers else "dashboard/setup/progress.html"
    return render(request, template, context)


def _stage_state(run: ETLRun, stage: str) -> str:
    """Return whether the stage of the run is done, running, failed or still to come."""
    order = ETLRun.Stage.values
    if run.status in ETLRun.GOOD or order.index(stage) < order.index(run.stage):
        return "done"
    if stage != run.stage:
        return "to come"
    return "running" if run.status in ETLRun.ACTIVE else "failed"


def _first_numbers(service: Service) -> list[dict[str, Any]]:
    """Return the metrics of the last 30 days, with the counts behind them."""
    moment = now()
    start, end = report_range(None, None, by=RANGE, today=local_date(moment, settings.ETL_TIME_ZONE))
    found = report(service, start=start, end=end, by=RANGE, environment=PRODUCTION, time_zone=settings.ETL_TIME_ZONE, now=moment)
    [period] = found["periods"]
    return [
        {
            "metric": metric,
            "value": period[metric][VALUE_KEYS[metric]],
            "tier": period[metric].get("tier"),
            "counts": counts_of(metric, period[metric]),
        }
        for metric in METRIC_NAMES
    ]
