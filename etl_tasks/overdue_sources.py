"""Sources that have had no successful run for too long."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils.timezone import now

from dora_metrics.alerts import notify, warning_alert
from dora_metrics.alerts.rules import SIGNALS, overdue_rules
from dora_metrics.models import AlertRule
from etl_tasks.fault_isolation import for_each
from etl_tasks.models import ETLRun, Source

MOST_NAMED = 20


def alert_overdue() -> None:
    """Alert about the sources that have become overdue: one alert for all sources with the same level and time limit.

    Raises SomeFailed after all alerts were tried.
    """
    moment = now()
    groups: dict[tuple[str, float], list[str]] = {}
    for source, level, hours in overdue_sources(moment, overdue_alerted_at=None):
        groups.setdefault((level, hours), []).append(source.name)
    for_each(groups.items(), partial(_alert, moment))


def overdue_sources(moment: datetime, **conditions: object) -> Iterator[tuple[Source, str, float]]:
    """Yield each enabled source that has had no successful run for too long, with the alert's level and the limit in hours.

    Level and limit come from an alert rule in the admin. Without a rule, the level is critical and the limit is ETL_OVERDUE_HOURS.
    `conditions`: column values that the source must have.
    """
    rules = overdue_rules()
    shortest = min([settings.ETL_OVERDUE_HOURS, *(rule.threshold for rule in rules.values())])
    limit = moment - timedelta(hours=shortest)
    last_success = ETLRun.objects.filter(source=OuterRef("pk"), status__in=ETLRun.GOOD).order_by("-id").values("completed_at")[:1]
    # A run that loads the log events which waited for the log store had ended well, and counts as active only for a while.
    candidates = Source.objects.filter(is_enabled=True, created_at__lt=limit, **conditions).exclude(active_run__waiting__gt=0)
    candidates = candidates.annotate(last_success=Subquery(last_success))
    for source in candidates.filter(Q(last_success=None) | Q(last_success__lt=limit)).order_by("name"):
        rule = rules.get(source.service_id) or rules.get(None)
        level, hours = (rule.level, rule.threshold) if rule else (AlertRule.Level.CRITICAL, settings.ETL_OVERDUE_HOURS)
        if (moment - (source.last_success or source.created_at)).total_seconds() > hours * 3600:  # a timedelta refuses a very long limit
            yield source, level, hours


def no_success_for(hours: float) -> str:
    return f"no successful run for {hours:g} hour{'' if hours == 1 else 's'}"


def end_episode(run: ETLRun) -> bool:
    """If an alert was sent that the run's source is overdue, send another, after the commit, that a run has succeeded.

    Return whether the source was overdue.
    """
    if not Source.objects.filter(pk=run.source_id, overdue_alerted_at__isnull=False).update(overdue_alerted_at=None):
        return False
    message = f"{run.pipeline}: over: a run has succeeded again"
    context = {"stage": "schedule", "error": "", "source": run.pipeline, "run": run.pk, "episode": "ended"}
    transaction.on_commit(partial(notify, warning_alert, sender=Source, message=message, context=context))
    return True


def _alert(moment: datetime, group: tuple[tuple[str, float], list[str]]) -> None:
    """Send one alert for all sources of the group, because every source is overdue while GitHub or the workers are down.

    `group`: level and limit in hours, and the names of the sources. A source about which another sweep alerts is left out.
    """
    (level, hours), candidates = group
    names: list[str] = []
    is_sent = False
    try:
        for name in candidates:
            if Source.objects.filter(name=name, overdue_alerted_at=None).update(overdue_alerted_at=moment):
                names.append(name)
        if not names:
            return
        shown = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
        is_sent = notify(
            SIGNALS[AlertRule.Level(level)],
            sender=Source,
            message=f"{shown}: {no_success_for(hours)}",
            context={"stage": "schedule", "error": "no successful run", "source": shown, "episode": "begun"},
        )
    finally:
        if not is_sent:  # the next sweep tries again
            Source.objects.filter(name__in=names).update(overdue_alerted_at=None)
