"""What people do on the operations pages. Each action calls the function that the command calls, writes an audit row, and says what it did.

Actions that send messages ask the broker first, because Celery would try for minutes to reach a broker that is away.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.access import action, audit
from dashboard.operations.forms import RangeForm
from dashboard.operations.source_views import source_or_404
from etl_tasks import dead_letters, ledger, pipeline, replay, replay_tasks
from etl_tasks.fault_isolation import SomeFailed
from etl_tasks.models import DeadLetter, ETLRun, Source

START, REPLAY, CHANGE = "etl_tasks.start_etlrun", "etl_tasks.replay_deadletter", "etl_tasks.change_source"
View = Callable[..., HttpResponse]


def _needs_broker(view: View) -> View:
    """Return a decorator's view that does nothing but say so if the broker cannot be reached."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            pipeline.check_broker()
        except pipeline.BrokerAway:
            messages.error(request, _("Nothing was started: the broker cannot be reached. Check CELERY_BROKER_URL and that Redis runs."))
            return back(request)
        return view(request, *args, **kwargs)

    return checked


def back(request: HttpRequest, default: str = "") -> HttpResponseRedirect:
    """Return a redirect to the page from which the form was sent, which is in its field `next`."""
    target = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(target if is_ours else default or reverse("dashboard:operations"))


# --- runs -----------------------------------------------------------------------------------------------------------


@action(START)
@_needs_broker
def run_all(request: HttpRequest) -> HttpResponse:
    """Start a run of every enabled source that has no active run."""
    try:
        runs = pipeline.run_all(trigger=ETLRun.Trigger.ADMIN)
    except SomeFailed as exc:
        messages.error(request, _("Some runs could not be started: %(reason)s") % {"reason": exc})
        return back(request)
    for run in runs:
        audit(request, run, "started the run, with those of all sources")
    if runs:
        messages.success(request, ngettext("%(count)d run is queued.", "%(count)d runs are queued.", len(runs)) % {"count": len(runs)})
    else:
        messages.warning(request, _("Nothing was started: no source is enabled, or each has a run in progress."))
    return back(request)


@action(START)
@_needs_broker
def run_source(request: HttpRequest, pk: int) -> HttpResponse:
    """Start a run of what is new in the source."""
    return _start(request, source_or_404(pk))


@action(START)
@_needs_broker
def run_range(request: HttpRequest, pk: int) -> HttpResponse:
    """Start a run of a range. Invalid dates return the form with status 400."""
    source = source_or_404(pk)
    form = RangeForm(request.POST)
    if not form.is_valid():
        return render(request, "dashboard/operations/run_range.html", {"source": source, "form": form}, status=400)
    return _start(request, source, **form.options())


def _start(request: HttpRequest, source: Source, **options: Any) -> HttpResponse:
    default = reverse("dashboard:source", args=[source.pk])
    try:
        run = pipeline.run_source(source.name, trigger=ETLRun.Trigger.ADMIN, **options)
    except pipeline.SourceBusy:
        messages.warning(request, _busy(source))
        return back(request, default)
    requested = ", ".join(f"{name} {value}" for name, value in run.options.items())
    audit(request, run, f"started the run ({requested})" if requested else "started the run")
    messages.success(request, _("Run %(run)d of %(source)s is queued.") % {"run": run.pk, "source": source})
    return HttpResponseRedirect(reverse("dashboard:run", args=[run.pk]))


def _busy(source: Source) -> str:
    source.refresh_from_db(fields=["deletion_began_at"])
    if source.deletion_began_at:
        return _("Nothing was started: %(source)s is being deleted.") % {"source": source}
    run = ETLRun.objects.filter(active_for=source).first()
    if run:
        return _("Nothing was started: run %(run)d of %(source)s is in progress.") % {"run": run.pk, "source": source}
    return _("Nothing was started: another run of %(source)s has just ended. Try again.") % {"source": source}


@action(START)
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """End an active run."""
    run = get_object_or_404(ETLRun, pk=pk)
    if ledger.cancel(run.pk, by=request.user.get_username()):
        audit(request, run, "cancelled the run")
        messages.success(request, _("Run %(run)d is cancelled. A worker that is at work on it stops within moments.") % {"run": run.pk})
    elif ETLRun.objects.filter(pk=run.pk, status__in=ETLRun.ACTIVE).exists():
        messages.warning(request, _("Run %(run)d loads log events that have waited for the log store: it cannot be cancelled.") % {"run": run.pk})
    else:
        messages.warning(request, _("Run %(run)d had ended already: nothing was cancelled.") % {"run": run.pk})
    return back(request, reverse("dashboard:run", args=[run.pk]))


@action(REPLAY)
@_needs_broker
def replay_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a failed run continue at the stage that failed."""
    run = get_object_or_404(ETLRun, pk=pk)
    letter = run.dead_letters.select_related("source", "run").filter(kind=DeadLetter.Kind.STAGE, state=DeadLetter.State.OPEN).first()
    if letter:
        _replay(request, letter)
    else:
        messages.warning(
            request, _("Run %(run)d is not waiting for a replay: a later run has read the same data, or its letter was closed.") % {"run": run.pk}
        )
    return HttpResponseRedirect(reverse("dashboard:run", args=[run.pk]))


# --- dead letters ---------------------------------------------------------------------------------------------------


@action(REPLAY)
@_needs_broker
def replay_letter(request: HttpRequest, pk: int) -> HttpResponse:
    """Process the data of a letter again: a stage by a worker, anything else here and now."""
    letter = _letter(pk)
    _replay(request, letter)
    return back(request, reverse("dashboard:run", args=[letter.run_id]))


def _replay(request: HttpRequest, letter: DeadLetter) -> None:
    is_stage = letter.kind == DeadLetter.Kind.STAGE
    try:
        if is_stage:
            replay.resend_stage(letter)
        else:
            replay.replay_letter(letter, by=request.user.get_username())
    except dead_letters.NotOpen as exc:
        messages.error(request, str(exc))
    except replay.ReplayFailed as exc:
        messages.error(request, replay.describe_failure(letter, exc))
    else:
        audit(request, letter, "sent to a worker again" if is_stage else "replayed")
        done = _("Run %(run)d is queued from the stage that failed.") if is_stage else _("Letter %(letter)d is replayed: its data is loaded.")
        messages.success(request, done % {"run": letter.run_id, "letter": letter.pk})


@action(REPLAY)
@_needs_broker
def replay_alike(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a worker replay every open letter with the same cause."""
    letter = _letter(pk)
    if count := dead_letters.alike(letter).count():
        replay_tasks.replay_alike.delay(letter.pk, request.user.get_username())
        audit(request, letter, f"asked for a replay of {count} letters with the same cause")
        text = ngettext("A worker replays %(count)d letter.", "A worker replays %(count)d letters, one after the other.", count)
        messages.success(request, text % {"count": count} + " " + _("Those that fail again stay open."))
    else:
        messages.warning(request, _("No letter with this cause is open any more."))
    return back(request, reverse("dashboard:run", args=[letter.run_id]))


@action(REPLAY)
def discard_letter(request: HttpRequest, pk: int) -> HttpResponse:
    """Close a letter without processing its data."""
    letter = _letter(pk)
    try:
        dead_letters.discard(letter, by=request.user.get_username())
    except dead_letters.NotOpen as exc:
        messages.error(request, str(exc))
    else:
        audit(request, letter, "discarded")
        messages.success(request, _("Letter %(letter)d is discarded.") % {"letter": letter.pk})
    return back(request, reverse("dashboard:run", args=[letter.run_id]))


@action(REPLAY)
def discard_alike(request: HttpRequest, pk: int) -> HttpResponse:
    """Close every open letter with the same cause without processing their data."""
    letter = _letter(pk)
    count = dead_letters.discard_alike(letter, by=request.user.get_username())
    if count:
        audit(request, letter, f"discarded {count} letters with the same cause")
        messages.success(request, ngettext("%(count)d letter is discarded.", "%(count)d letters are discarded.", count) % {"count": count})
    else:
        messages.warning(request, _("No letter with this cause is open any more."))
    return back(request, reverse("dashboard:run", args=[letter.run_id]))


def _letter(pk: int) -> DeadLetter:
    return get_object_or_404(DeadLetter.objects.select_related("source__service", "run", "page"), pk=pk)


# --- sources --------------------------------------------------------------------------------------------------------


@action(CHANGE)
def enable(request: HttpRequest, pk: int) -> HttpResponse:
    """Let the nightly runs collect the source again."""
    return _set_enabled(request, source_or_404(pk), is_enabled=True)


@action(CHANGE)
def disable(request: HttpRequest, pk: int) -> HttpResponse:
    """Leave the source out of the nightly runs."""
    return _set_enabled(request, source_or_404(pk), is_enabled=False)


def _set_enabled(request: HttpRequest, source: Source, *, is_enabled: bool) -> HttpResponse:
    if not source.set_enabled(is_enabled):
        messages.warning(request, _("Nothing was changed: %(source)s is already so, or is being deleted.") % {"source": source})
    elif is_enabled:
        audit(request, source, "enabled the source")
        messages.success(request, _("%(source)s is enabled: the next night collects it.") % {"source": source})
    else:
        audit(request, source, "disabled the source")
        messages.success(request, _("%(source)s is disabled. What was collected stays; a run in progress goes on.") % {"source": source})
    return back(request, reverse("dashboard:source", args=[source.pk]))


@action(CHANGE)
def check_connection(request: HttpRequest, pk: int) -> HttpResponse:
    """Try whether the source can be read. Nothing is stored."""
    source = source_or_404(pk)
    [result] = pipeline.check_sources([source])
    audit(request, source, f"tested the connection: {'it can' if result.can_be_read else 'it cannot'} be read")
    add_message = messages.success if result.can_be_read else messages.error
    for sentence in result.sentences:
        add_message(request, sentence)
    return back(request, reverse("dashboard:source", args=[source.pk]))
