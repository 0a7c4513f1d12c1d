"""Make messages agree with the ledger: start a night that is missing, send again what was lost, bury what keeps dying."""

import logging
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F, OuterRef, Q, Subquery
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask

from dora_metrics.alert_rules import SIGNALS, overdue_rules
from dora_metrics.alerts import notify
from dora_metrics.models import AlertRule
from etl_tasks import dead_letters, ledger, pipeline
from etl_tasks.models import ETLRun, Source

logger = logging.getLogger(__name__)

NIGHTLY = "etl nightly"  # names of the entries that a migration seeds
SWEEP = "etl sweep"
MOST_NAMED = 20


def sweep() -> int:
    """Number of runs started or sent again."""
    acted = open_missing_night() + resend_lost()
    alert_overdue()
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
    """When today's night was due by the admin's schedule; None if it is not due yet, disabled, or no crontab."""
    entry = PeriodicTask.objects.select_related("crontab").filter(name=NIGHTLY, enabled=True).first()
    if entry is None or entry.crontab is None:
        return None
    schedule = entry.schedule
    local = moment.astimezone(schedule.tz)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    last, wait, _ = schedule.remaining_delta(midnight - timedelta(seconds=1))
    due = last + wait
    return due if due <= moment else None


def resend_lost() -> int:
    sent = 0
    for run in ETLRun.objects.filter(status__in=ETLRun.ACTIVE, lease_until__lt=now()).order_by("pk"):
        unchanged: dict[str, Any] = {"attempt": run.attempt, "lease_until": run.lease_until}
        if run.resends >= settings.ETL_MAX_RESENDS:
            dead_letters.bury_stage(run.pk, run.stage, f"lost {run.resends} times in {run.stage}: see the worker's log", **unchanged)
            continue
        # The wait doubles, so that a long queue is not filled with copies.
        ours = ETLRun.objects.filter(pk=run.pk, **unchanged).update(
            owner="", status=ETLRun.Status.QUEUED, resends=F("resends") + 1, lease_until=now() + ledger.grace() * 2**run.resends
        )
        if ours:
            logger.warning("run_sent_again", extra={"run": run.pk, "stage": run.stage, "resends": run.resends + 1})
            pipeline.send(run)
            sent += 1
    return sent


def alert_overdue() -> None:
    """Once an episode, a source that has had no successful run for ETL_OVERDUE_HOURS, or for as many as a rule in the admin says."""
    rules, moment = overdue_rules(), now()
    shortest = min([settings.ETL_OVERDUE_HOURS, *(rule.threshold for rule in rules.values())])
    limit = moment - timedelta(hours=shortest)
    last_success = ETLRun.objects.filter(source=OuterRef("pk"), status__in=ETLRun.GOOD).order_by("-id").values("completed_at")[:1]
    silent = Source.objects.filter(is_enabled=True, overdue_alerted_at=None, created_at__lt=limit).annotate(last_success=Subquery(last_success))
    told: dict[tuple[str, float], list[str]] = {}
    for source in silent.filter(Q(last_success=None) | Q(last_success__lt=limit)).order_by("name"):
        rule = rules.get(source.service_id) or rules.get(None)
        level, hours = (rule.level, rule.threshold) if rule else (AlertRule.Level.CRITICAL, settings.ETL_OVERDUE_HOURS)
        if (source.last_success or source.created_at) >= moment - timedelta(hours=hours):
            continue
        if Source.objects.filter(pk=source.pk, overdue_alerted_at=None).update(overdue_alerted_at=moment):
            told.setdefault((level, hours), []).append(source.name)
    # One alert for all: where GitHub is away, or nothing runs at all, it is every source.
    for (level, hours), names in told.items():
        shown = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
        is_told = notify(
            SIGNALS[AlertRule.Level(level)],
            sender=Source,
            message=f"{shown}: no successful run for {hours:g} hours",
            context={"stage": "schedule", "error": "no successful run", "source": shown, "episode": "begun"},
        )
        if not is_told:  # the next sweep tries again
            Source.objects.filter(name__in=names).update(overdue_alerted_at=None)
