"""Make messages agree with the ledger: start a night that is missing, send again what was lost, bury what keeps dying."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F
from django.utils.timezone import now

from etl_tasks import dead_letters, deletion, host_watch, ledger, pipeline
from etl_tasks.fault_isolation import for_each, isolated
from etl_tasks.models import ETLRun
from etl_tasks.night_schedule import night_due_at
from etl_tasks.overdue import alert_overdue

logger = logging.getLogger(__name__)


def sweep() -> int:
    """Number of runs started or sent again. Each step is taken, whatever becomes of the others; the one that may take long is the last."""
    acted = 0
    for name, step in STEPS:
        with isolated(name):
            acted += step() or 0
    return acted


def open_missing_night() -> int:
    """Beat that was down over the hour fires much later, and a message may be lost: the night is started from here."""
    due = night_due_at(now())
    if due is None or now() < due + timedelta(minutes=2):
        return 0
    night = due.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date()
    # A source added at noon waits for its first night.
    return len(pipeline.open_night(night, created_before=due))


def resend_lost() -> int:
    """Raises SomeFailed once the other runs have been seen to."""
    again: list[ETLRun] = []

    def see_to(run: ETLRun) -> None:
        unchanged: dict[str, Any] = {"attempt": run.attempt, "lease_until": run.lease_until}
        if run.resends >= settings.ETL_MAX_RESENDS:
            is_elsewhere = run.stage == ETLRun.Stage.EXTRACT and run.source.host_silent_since
            reason = (
                host_watch.no_worker_message(run.source.host) if is_elsewhere else f"lost {run.resends} times in {run.stage}: see the worker's log"
            )
            dead_letters.bury_stage(run.pk, run.stage, reason, **unchanged)
            return
        # The wait doubles, so that a long queue is not filled with copies.
        ours = ETLRun.objects.filter(pk=run.pk, **unchanged).update(
            owner="", status=ETLRun.Status.QUEUED, resends=F("resends") + 1, lease_until=now() + ledger.grace_period() * 2**run.resends
        )
        if ours:
            logger.warning("run_sent_again", extra={"run": run.pk, "stage": run.stage, "resends": run.resends + 1})
            again.append(run)

    try:
        for_each(ETLRun.objects.filter(status__in=ETLRun.ACTIVE, lease_until__lt=now()).select_related("source").order_by("pk"), see_to)
    finally:
        pipeline.send_all(again)
    return len(again)


def resume_deletions() -> None:
    if deletion.pending():
        pipeline.send_deletion()


STEPS: tuple[tuple[str, Callable[[], int | None]], ...] = (
    ("sending lost runs again", resend_lost),
    ("the search for overdue sources", alert_overdue),
    ("the look for workers of the log files' hosts", host_watch.watch),
    ("what is being deleted", resume_deletions),
    ("the start of a missing night", open_missing_night),
)
