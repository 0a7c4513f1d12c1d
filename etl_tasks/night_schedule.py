"""When the night is due, by the entry that people edit in the admin (periodic tasks)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django_celery_beat.models import PeriodicTask

NIGHTLY = "etl.nightly"  # the task of the entry that a migration seeds; people may give it another name
DAYS_LOOKED_AT = 32  # a schedule may name one day of a month


class UnusableSchedule(Exception):
    """When the night is due cannot be told from its entry in the admin."""


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
