"""Make messages agree with the ledger: start a night that is missing, send again what was lost, bury what keeps dying."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F, OuterRef, Q, Subquery
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask

from dora_metrics.alerts import notify
from dora_metrics.alerts.rules import SIGNALS, overdue_rules
from dora_metrics.models import AlertRule
from etl_tasks import dead_letters, deletion, hosts, ledger, pipeline
from etl_tasks.faults import contained, each
from etl_tasks.models import ETLRun, Source

logger = logging.getLogger(__name__)

NIGHTLY = "etl.nightly"  # the task of the entry that a migration seeds; people may give it another name
MOST_NAMED = 20
DAYS_LOOKED_AT = 32  # a schedule may name one day of a month


class UnusableSchedule(Exception):
    """When the night is due cannot be told from its entry in the admin."""


def sweep() -> int:
    """Number of runs started or sent again. Each step is taken, whatever becomes of the others; the one that may take long is the last."""
    acted = 0
    for name, step in STEPS:
        with contained(name):
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


def night_due_at(moment: datetime) -> datetime | None:
    """When today's first night was due by the admin's schedule; None if it is not due yet, disabled, or no crontab.

    An interval, the sun and a single time are beat's alone. Raises UnusableSchedule if no entry can be used.
    """
    due: list[datetime] = []
    unusable: Exception | None = None
    for entry in PeriodicTask.objects.select_related("crontab").filter(task=NIGHTLY, enabled=True):
        try:
            due += _due_today(entry, moment)
        except Exception as exc:  # noqa: BLE001  of what people may store, Celery refuses some, each kind in its own way
            unusable = unusable or exc
            name = entry.name
    if unusable and not due:
        raise UnusableSchedule(f"the schedule of {name!r} cannot be used ({unusable}): correct it in the admin, under periodic tasks") from unusable
    return min(due, default=None)


def last_night_due_at(moment: datetime) -> datetime | None:
    """When the latest night was due by the admin's schedule; None if none was within a month. Raises UnusableSchedule."""
    return next((due for end in _ends_of_days(moment, -1) if (due := night_due_at(min(end, moment)))), None)


def next_night_due_at(moment: datetime) -> datetime | None:
    """When the next night is due; None if none is within a month. Raises UnusableSchedule."""
    return next((due for end in _ends_of_days(moment, 1) if (due := night_due_at(end)) and due > moment), None)


def _ends_of_days(moment: datetime, step: int) -> Iterator[datetime]:
    """Of this local day and of those before or after it."""
    midnight = moment.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(DAYS_LOOKED_AT):
        yield (midnight + timedelta(days=step * days + 1)).astimezone(UTC) - timedelta(seconds=1)


def _due_today(entry: PeriodicTask, moment: datetime) -> list[datetime]:
    """None or one. Raises whatever Celery makes of the entry."""
    schedule = entry.schedule
    if entry.crontab is None or (entry.expires and entry.expires <= moment):
        return []
    local = moment.astimezone(schedule.tz)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    last, wait, _ = schedule.remaining_delta(midnight - timedelta(seconds=1))
    due = last + wait
    return [due] if due <= moment and not (entry.start_time and due < entry.start_time) else []


def resend_lost() -> int:
    """Raises SomeFailed once the other runs have been seen to."""
    again: list[ETLRun] = []

    def see_to(run: ETLRun) -> None:
        unchanged: dict[str, Any] = {"attempt": run.attempt, "lease_until": run.lease_until}
        if run.resends >= settings.ETL_MAX_RESENDS:
            is_elsewhere = run.stage == ETLRun.Stage.EXTRACT and run.source.host_silent_since
            reason = hosts.no_worker(run.source.host) if is_elsewhere else f"lost {run.resends} times in {run.stage}: see the worker's log"
            dead_letters.bury_stage(run.pk, run.stage, reason, **unchanged)
            return
        # The wait doubles, so that a long queue is not filled with copies.
        ours = ETLRun.objects.filter(pk=run.pk, **unchanged).update(
            owner="", status=ETLRun.Status.QUEUED, resends=F("resends") + 1, lease_until=now() + ledger.grace() * 2**run.resends
        )
        if ours:
            logger.warning("run_sent_again", extra={"run": run.pk, "stage": run.stage, "resends": run.resends + 1})
            again.append(run)

    try:
        each(ETLRun.objects.filter(status__in=ETLRun.ACTIVE, lease_until__lt=now()).select_related("source").order_by("pk"), see_to)
    finally:
        pipeline.send_all(again)
    return len(again)


def alert_overdue() -> None:
    """Once an episode."""
    moment = now()
    told: dict[tuple[str, float], list[str]] = {}
    for source, level, hours in overdue_sources(moment, overdue_alerted_at=None):
        if Source.objects.filter(pk=source.pk, overdue_alerted_at=None).update(overdue_alerted_at=moment):
            told.setdefault((level, hours), []).append(source.name)
    each(told.items(), _tell_overdue)


def overdue_sources(moment: datetime, **chosen: object) -> Iterator[tuple[Source, str, float]]:
    """Those that have had no successful run for ETL_OVERDUE_HOURS, or for as many as a rule in the admin says; the rule's level, and the hours."""
    rules = overdue_rules()
    shortest = min([settings.ETL_OVERDUE_HOURS, *(rule.threshold for rule in rules.values())])
    limit = moment - timedelta(hours=shortest)
    last_success = ETLRun.objects.filter(source=OuterRef("pk"), status__in=ETLRun.GOOD).order_by("-id").values("completed_at")[:1]
    silent = Source.objects.filter(is_enabled=True, created_at__lt=limit, **chosen).annotate(last_success=Subquery(last_success))
    for source in silent.filter(Q(last_success=None) | Q(last_success__lt=limit)).order_by("name"):
        rule = rules.get(source.service_id) or rules.get(None)
        level, hours = (rule.level, rule.threshold) if rule else (AlertRule.Level.CRITICAL, settings.ETL_OVERDUE_HOURS)
        if (source.last_success or source.created_at) < moment - timedelta(hours=hours):
            yield source, level, hours


def _tell_overdue(silent: tuple[tuple[str, float], list[str]]) -> None:
    """One alert for all: where GitHub is away, or nothing runs at all, it is every source."""
    (level, hours), names = silent
    is_told = False
    try:
        shown = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
        is_told = notify(
            SIGNALS[AlertRule.Level(level)],
            sender=Source,
            message=f"{shown}: no successful run for {hours:g} hours",
            context={"stage": "schedule", "error": "no successful run", "source": shown, "episode": "begun"},
        )
    finally:
        if not is_told:  # the next sweep tries again
            Source.objects.filter(name__in=names).update(overdue_alerted_at=None)


def go_on_deleting() -> None:
    if deletion.under_way():
        pipeline.send_deletion()


STEPS: tuple[tuple[str, Callable[[], int | None]], ...] = (
    ("sending lost runs again", resend_lost),
    ("the search for overdue sources", alert_overdue),
    ("the look for workers of the log files' hosts", hosts.watch),
    ("what is being deleted", go_on_deleting),
    ("the start of a missing night", open_missing_night),
)
