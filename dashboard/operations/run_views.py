"""The list of runs, and the page of a run."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dashboard.access import page
from dashboard.operations.forms import RunFilter
from dashboard.operations.nights import due_nights
from dashboard.operations.parts import POLL_SECONDS, QUIET_POLL_SECONDS, READ, budget_of, cursor_sentence, is_late, part
from dashboard.operations.timeline import STAGE_NAMES, timeline
from dashboard.templatetags.display import instant_text, status_word
from dora_metrics.calculators.periods import start_of
from etl_tasks.models import DeadLetter, ETLRun
from etl_tasks.selectors import run_details
from etl_tasks.selectors import runs as run_selectors
from etl_tasks.selectors.letters import letter_groups_of
from etl_tasks.selectors.nights import Night

NIGHTS_WITH_HOUR = 14


@page(READ)
def runs(request: HttpRequest) -> HttpResponse:
    """Return a page of the list of runs. An invalid filter returns status 400 with an explanation."""
    form = RunFilter(request.GET)
    context: dict[str, Any] = {"form": form, "sources": run_selectors.names_of_sources()}
    if not form.is_valid():
        return render(request, "dashboard/operations/runs.html", context, status=400)
    given = form.cleaned_data
    matching = run_selectors.matching_runs(
        source=given["source"], status=given["status"], night=_night(given["night"]) if given["night"] else None, trigger=given["trigger"]
    )
    query = request.GET.copy()
    for name in ("before", "after"):
        query.pop(name, None)
    context |= {
        "page": run_selectors.page_of_runs(matching, before=given["before"], after=given["after"]),
        "query": query.urlencode(),
        "is_filtered": any(given[name] for name in ("source", "status", "night", "trigger")),
    }
    return render(request, "dashboard/operations/runs.html", context)


@page(READ)
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """Return everything about one run."""
    found = run_details.run_with_counts(pk)
    if found is None:
        raise Http404(_("There is no run %(run)d. The runs of a deleted source are deleted, too.") % {"run": pk})
    return part(request, "dashboard/operations/run.html", _context(request, found))


def _night(day: date) -> Night:
    """Return the night of the day. If it is long ago, its hour is not known any more: then it begins at midnight."""
    found = (night for night in due_nights(now(), count=NIGHTS_WITH_HOUR) if night.day == day)
    midnight = start_of(day, settings.ETL_TIME_ZONE)
    return next(found, Night(day, midnight, midnight + timedelta(days=1), is_due=False))


def _context(request: HttpRequest, found: Any) -> dict[str, Any]:
    """Return what the page shows. `found`: a row of run_details.run_with_counts."""
    user = request.user
    may_read_letters = user.has_perm("etl_tasks.view_deadletter")
    groups = letter_groups_of(found) if may_read_letters else []
    letters = run_details.notable_letters(found) if may_read_letters else []
    letter_ids = sorted({*(letter.pk for letter in letters), *(group.first for group in groups)})
    tasks = run_details.task_results(found) if user.has_perm("django_celery_results.view_taskresult") else []
    pages = run_details.pages(found) if user.has_perm("log_store.view_logeventrow") else []
    is_active = found.status in ETLRun.ACTIVE
    progress = run_selectors.progress_of(found) if is_active else None
    state = {"run": found.pk, "status": status_word(found.status), "stage": found.get_stage_display()}
    return {
        "run": found,
        "is_active": is_active,
        "progress": progress,
        "is_late": bool(progress and is_late(progress)),
        "budget": budget_of(found.source, run_selectors.budgets()) if is_active else [],
        "balance": run_details.balance_of(found),
        "streams": [(stream, cursor_sentence(stream.cursor)) for stream in run_details.streams(found)],
        "events": timeline(found, tasks=tasks, audit_rows=run_details.audit_rows(found, letter_ids), letters=letters),
        "letter_rows": [(group, _kind_name(group.kind)) for group in groups],
        "can_be_replayed": found.status == ETLRun.Status.FAILED and any(_is_open_stage(letter) for letter in letters),
        "pages": pages,
        "stages": [(time, STAGE_NAMES[time.stage]) for time in found.stage_times],
        "is_settled": found.was_settled,
        "requested": _requested(found),
        "revisions": run_details.revisions(found),
        "poll_s": POLL_SECONDS if is_active and not found.is_waiting else QUIET_POLL_SECONDS,
        "announcement": (_("Run %(run)d: %(status)s, %(stage)s.") if is_active else _("Run %(run)d: %(status)s.")) % state,
    }


def _requested(run: ETLRun) -> list[tuple[str, str]]:
    """Return what a person requested with the run: names, each with its value in the time zone of the pages."""
    zone = ZoneInfo(settings.ETL_TIME_ZONE)
    names = {"since": _("from"), "until": _("until")}
    given = [(name, datetime.fromisoformat(run.options[key]).astimezone(zone)) for key, name in names.items() if key in run.options]
    everything = [(_("everything again"), "")] if run.options.get("full") else []
    return [*((name, instant_text(moment)) for name, moment in given), *everything]


def _kind_name(kind: str) -> str:
    """Return the kind of a dead letter in words."""
    names = {"stage": _("the whole stage"), "page": _("a page or file"), "record": _("a record"), "lost": _("a record that GitHub did not return")}
    return names.get(kind, kind)


def _is_open_stage(letter: DeadLetter) -> bool:
    return letter.kind == DeadLetter.Kind.STAGE and letter.state == DeadLetter.State.OPEN
