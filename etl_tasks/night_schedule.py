"""When the night is due, by the periodic task that people edit in the admin."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django_celery_beat.models import PeriodicTask

NIGHTLY = "etl.nightly"  # the task of the entry; people may rename the entry itself
DAYS_SEARCHED = 32  # a schedule may name one day of a month


class UnusableSchedule(Exception):
    """No entry for the night has a schedule that can be evaluated. The message names one and says where to correct it."""


def night_due_at(moment: datetime) -> datetime | None:
    """Return when today's first night was due, in UTC; None if none was due yet today.

    Only enabled crontab entries count: the other kinds of schedules are evaluated by beat alone. Raises UnusableSchedule if no entry can be used.
    """
    due: list[datetime] = []
    unusable: Exception | None = None
    for entry in PeriodicTask.objects.select_related("crontab").filter(task=NIGHTLY, enabled=True):
        try:
            due += _due_today(entry, moment)
        except Exception as exc:  # noqa: BLE001  Celery refuses some schedules that the admin accepts, with various exceptions
            unusable = unusable or exc
            name = entry.name
    if unusable and not due:
        raise UnusableSchedule(f"the schedule of {name!r} cannot be used ({unusable}): correct it in the admin, under periodic tasks") from unusable
    return min(due, default=None)


def last_night_due_at(moment: datetime) -> datetime | None:
    """Return when the latest night was due; None if there was none within a month. Raises UnusableSchedule."""
    return next((due for end in _ends_of_days(moment, -1) if (due := night_due_at(min(end, moment)))), None)


def next_night_due_at(moment: datetime) -> datetime | None:
    """Return when the next night is due; None if there is none within a month. Raises UnusableSchedule."""
    return next((due for end in _ends_of_days(moment, 1) if (due := night_due_at(end)) and due > moment), None)


def _ends_of_days(moment: datetime, step: int) -> Iterator[datetime]:
    """Yield the last second of the local day of `moment`, then of the following days (`step` 1) or the preceding ones (-1)."""
    midnight = moment.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(DAYS_SEARCHED):
        yield (midnight + timedelta(days=step * days + 1)).astimezone(UTC) - timedelta(seconds=1)


def _due_today(entry: PeriodicTask, moment: datetime) -> list[datetime]:
    """Return the first time of the day at which the entry was due, if it has passed. Raises any exception of Celery's schedules."""
    schedule = entry.schedule
    if entry.crontab is None or (entry.expires and entry.expires <= moment):
        return []
    local = moment.astimezone(schedule.tz)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    last, wait, _ = schedule.remaining_delta(midnight - timedelta(seconds=1))
    due = last + wait
    return [due] if due <= moment and not (entry.start_time and due < entry.start_time) else []
