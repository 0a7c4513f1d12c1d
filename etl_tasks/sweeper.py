"""Repair what lost messages left undone: start a missing night, send lost runs again, and fail runs that are lost too often.
Start the runs that are due between two nights.

What has to be done is found in the ledger of runs.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils.timezone import now

from etl_tasks import dead_letters, deletion, heartbeats, host_watch, intervals, ledger, night_ping, pipeline, quiet_runs, waiting_events
from etl_tasks.crash_points import crash_points
from etl_tasks.fault_isolation import for_each, isolated
from etl_tasks.models import ETLRun
from etl_tasks.night_schedule import night_due_at
from etl_tasks.overdue_sources import alert_overdue
from log_store.store import LogStoreUnavailable

logger = logging.getLogger(__name__)

BEAT_HAS_TIME = timedelta(minutes=2)  # a night that beat has not started within this time is started by the sweeper


def sweep() -> int:
    """Take every step, even if another fails, and return how many runs were started or sent again."""
    acted = 0
    for name, step in STEPS:
        with isolated(name):
            acted += step() or 0
    return acted


def open_missing_night() -> int:
    """Start the runs of a night that is due but was not started; return how many.

    If beat was down at that hour, it sends the task much later, and the task's message may be lost.
    """
    due = night_due_at(now())
    if due is None or now() < due + BEAT_HAS_TIME:
        return 0
    night = due.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date()
    # A source that was added after the night was due waits for the next night.
    return len(pipeline.open_night(night, created_before=due))


def resend_lost() -> int:
    """Send again every active run whose lease has ended, and return how many. A run that was already sent again ETL_MAX_RESENDS times fails instead.

    Raises SomeFailed after all runs were tried.
    """
    return _resend(_active_runs().filter(lease_until__lt=now()))


def resend_lost_messages() -> int:
    """Send again the runs that were sent again more than a grace period ago and whose queue is empty; return how many. No worker will take them.

    Without this, a run whose messages were lost several times would wait for hours although everything works again. Raises SomeFailed.
    """
    sent_again = _active_runs().filter(lease_until__gte=now(), status=ETLRun.Status.QUEUED, owner="", resends__gt=1)
    waiting = [run for run in sent_again if run.lease_until - ledger.grace_period() * (2 ** (run.resends - 1) - 1) < now()]
    if not waiting:
        return 0
    try:
        lengths = pipeline.queue_lengths({pipeline.queue_of(run) for run in waiting})
    except pipeline.BrokerAway:
        return 0
    return _resend([run for run in waiting if not lengths[pipeline.queue_of(run)]])


def _active_runs() -> QuerySet[ETLRun]:
    return ETLRun.objects.filter(status__in=ETLRun.ACTIVE).select_related("source").order_by("pk")


def _resend(runs: Iterable[ETLRun]) -> int:
    resent: list[ETLRun] = []

    def resend(run: ETLRun) -> None:
        unchanged: dict[str, Any] = {"attempt": run.attempt, "lease_until": run.lease_until}
        if run.resends >= settings.ETL_MAX_RESENDS:
            is_host_silent = run.stage == ETLRun.Stage.EXTRACT and run.source.host_silent_since
            lost = f"lost {run.resends} times in {run.stage}: see the worker's log"
            dead_letters.bury_stage(run.pk, run.stage, host_watch.no_worker_message(run.source.host) if is_host_silent else lost, **unchanged)
            return
        # The time until the next sending doubles each time, so that a long queue does not fill with copies of the message. If the queue is
        # empty, `resend_lost_messages` ends the wait.
        with crash_points("sweeper.resend"):
            is_ours = ETLRun.objects.filter(pk=run.pk, **unchanged).update(
                owner="", status=ETLRun.Status.QUEUED, resends=F("resends") + 1, lease_until=now() + ledger.grace_period() * 2**run.resends
            )
        if is_ours:
            logger.warning("run_sent_again", extra={"run": run.pk, "stage": run.stage, "resends": run.resends + 1})
            resent.append(run)

    try:
        for_each(runs, resend)
    finally:
        pipeline.send_all(resent)
    return len(resent)


def load_waiting_events() -> int:
    """Send the runs again whose log events wait for the log store, if it answers; return how many. While it does not, an alert is open."""
    try:
        runs = waiting_events.resume_runs()
    except LogStoreUnavailable:
        return 0
    pipeline.send_all(runs)
    return len(runs)


def open_runs_between_nights() -> int:
    """Start the runs that are due between two nights; return how many."""
    return len(pipeline.open_between_nights(intervals.due_sources(now())))


def resume_deletions() -> None:
    if deletion.pending():
        pipeline.send_deletion()


def mark_sweep() -> None:
    heartbeats.mark_seen([heartbeats.SWEEP], now())


def has_just_begun() -> bool:
    """Return whether a sweep began less than half of the sweep's interval ago."""
    moment = now()
    return heartbeats.is_seen_between(heartbeats.SWEEP, moment - timedelta(seconds=settings.ETL_SWEEP_SECONDS / 2), moment)


# The name of a step is shown to people when the step fails. The two that start runs may take longest, because they survey GitHub.
STEPS: tuple[tuple[str, Callable[[], int | None]], ...] = (
    ("storing that the sweep runs", mark_sweep),
    ("sending lost runs again", resend_lost),
    ("sending runs again whose message is lost", resend_lost_messages),
    ("the search for overdue sources", alert_overdue),
    ("the look for workers", host_watch.watch),
    ("what is being deleted", resume_deletions),
    ("the deletion of quiet runs", quiet_runs.delete_superseded),
    ("the report of the night to HEARTBEAT_URL", night_ping.ping),
    ("the start of a missing night", open_missing_night),
    ("the start of runs between two nights", open_runs_between_nights),
    # Last, so that runs that are due begin first. A source has only one active run: while the log store answers and stores nothing, runs that
    # are resumed again and again would keep its files from being read.
    ("sending runs whose log events wait for the log store", load_waiting_events),
)
