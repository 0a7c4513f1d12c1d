"""Runs as the commands print them."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dora_metrics.display import duration_text, instant_text
from etl_tasks.models import ETLRun


def run_times(run: ETLRun) -> str:
    """Return when the run was queued or, once it has begun, when it began, and when it ended or until when it is postponed."""
    if run.started_at is None:
        return _("queued %(time)s") % {"time": instant_text(run.created_at)}
    began = instant_text(run.started_at)
    if run.completed_at:
        return _("began %(began)s, ended %(ended)s") % {"began": began, "ended": instant_text(run.completed_at)}
    if run.status == ETLRun.Status.POSTPONED:
        return _("began %(began)s, postponed until %(until)s") % {"began": began, "until": instant_text(run.lease_until)}
    return _("began %(began)s, not ended") % {"began": began}


def status_text(run: ETLRun) -> str:
    return str(run.get_status_display()).lower()


def stage_text(run: ETLRun) -> str:
    return str(run.get_stage_display()).lower()


def run_row(run: ETLRun) -> dict[str, Any]:
    """Return the run as the JSON object that `--json` prints."""
    return {
        "run": run.pk,
        "source": run.pipeline,
        "status": run.status,
        "stage": run.stage,
        "trigger": run.trigger,
        "logical_date": run.logical_date.isoformat() if run.logical_date else None,
        "extracted": run.extracted,
        "loaded": run.loaded,
        "skipped": run.skipped,
        "dead_lettered": run.dead_lettered,
        "waiting": run.waiting,
        "unparsed": run.unparsed,
        "records_processed": run.records_processed,
        "attempt": run.attempt,
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "completed_at": run.completed_at.isoformat() if run.completed_at else None,
        "duration_seconds": run.duration_seconds,
        "postponed_until": run.lease_until.isoformat() if run.status == ETLRun.Status.POSTPONED else None,
        "error": run.error,
    }


def run_line(run: ETLRun, *, has_error: bool = True) -> str:
    """Return the run in one line. `has_error`: False if the command prints the error elsewhere."""
    counts = _("%(extracted)s extracted, %(loaded)s loaded, %(skipped)s unchanged") % {
        "extracted": run.extracted,
        "loaded": run.loaded,
        "skipped": run.skipped,
    }
    counts += ", " + letters_text(run.dead_lettered)
    if run.waiting:
        counts += ", " + ngettext("%(count)s log event waits for the log store", "%(count)s log events wait for the log store", run.waiting) % {
            "count": run.waiting
        }
    if run.unparsed:
        counts += ", " + ngettext(
            "%(count)s line not of its format kept as it is", "%(count)s lines not of their format kept as they are", run.unparsed
        ) % {"count": run.unparsed}
    duration = f", {duration_text(run.duration_seconds)}" if run.duration_seconds is not None else ""
    reason = f": {run.error}" if run.error and has_error else ""
    status = status_text(run)
    if run.status == ETLRun.Status.POSTPONED:
        status = _("postponed until %(time)s") % {"time": instant_text(run.lease_until)}
    values = {"run": run.pk, "source": run.pipeline, "status": status, "stage": stage_text(run), "counts": f"{counts}{duration}{reason}"}
    return _("run %(run)s %(source)s: %(status)s (%(stage)s), %(counts)s") % values


def letters_text(count: int) -> str:
    return ngettext("%(count)s dead letter", "%(count)s dead letters", count) % {"count": count}


def pages_text(count: int) -> str:
    return ngettext("%(count)s page", "%(count)s pages", count) % {"count": count}


def records_text(count: int) -> str:
    return ngettext("%(count)s record", "%(count)s records", count) % {"count": count}
