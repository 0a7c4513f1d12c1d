"""Sources that have had no successful run for too long."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import OuterRef, Q, Subquery
from django.utils.timezone import now

from dora_metrics.alerts import notify
from dora_metrics.alerts.rules import SIGNALS, overdue_rules
from dora_metrics.models import AlertRule
from etl_tasks.fault_isolation import for_each
from etl_tasks.models import ETLRun, Source

MOST_NAMED = 20


def alert_overdue() -> None:
    """Once an episode."""
    moment = now()
    told: dict[tuple[str, float], list[str]] = {}
    for source, level, hours in overdue_sources(moment, overdue_alerted_at=None):
        if Source.objects.filter(pk=source.pk, overdue_alerted_at=None).update(overdue_alerted_at=moment):
            told.setdefault((level, hours), []).append(source.name)
    for_each(told.items(), _tell_overdue)


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
