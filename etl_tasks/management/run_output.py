"""Runs and times as the commands print them."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from etl_tasks.models import ETLRun


def local_time(moment: datetime | None) -> str:
    """Return the time in ETL_TIME_ZONE, with the name of the zone; "-" for None."""
    return moment.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).strftime("%Y-%m-%d %H:%M:%S %Z") if moment else "-"


def run_times(run: ETLRun) -> str:
    """Return when the run was queued or, once it has begun, when it began, and when it ended or until when it is postponed."""
    if run.started_at is None:
        return f"queued {local_time(run.created_at)}"
    if run.completed_at:
        return f"began {local_time(run.started_at)}, ended {local_time(run.completed_at)}"
    state = f"postponed until {local_time(run.lease_until)}" if run.status == ETLRun.Status.POSTPONED else "not ended"
    return f"began {local_time(run.started_at)}, {state}"


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
    counts = f"{run.extracted} extracted, {run.loaded} loaded, {run.skipped} unchanged, {run.dead_lettered} dead letters"
    if run.unparsed:
        counts += f", {run.unparsed} lines not of their format kept as they are"
    duration = f", {run.duration_seconds:.1f} s" if run.duration_seconds is not None else ""
    reason = f": {run.error}" if run.error and has_error else ""
    until = f" until {local_time(run.lease_until)}" if run.status == ETLRun.Status.POSTPONED else ""
    return f"run {run.pk} {run.pipeline}: {run.status}{until} ({run.stage}), {counts}{duration}{reason}"
