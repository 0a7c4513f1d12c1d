"""When the nightly runs of all sources are due. The time comes from an entry of the admin's periodic tasks, which people can edit."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _
from django_celery_beat.models import PeriodicTask

NIGHTLY = "etl.nightly"  # the task of the entry, which is found by its task because people may rename the entry
DAYS_SEARCHED = 32  # a schedule may name a single day of the month


class UnusableSchedule(Exception):
    """The schedule of an entry cannot be evaluated, and no other entry was due. The message names the entry and says where to correct it."""


def nightly_entries() -> list[PeriodicTask]:
    """Return the enabled entries that start the nightly runs. Read them once to ask the functions below about several times."""
    return list(PeriodicTask.objects.select_related("crontab").filter(task=NIGHTLY, enabled=True))


def night_due_at(moment: datetime, entries: Sequence[PeriodicTask] | None = None) -> datetime | None:
    """Return the first time on the day of `moment` at which the nightly runs were due; None if they were not due by `moment`.

    Only enabled crontab entries count, because only beat can evaluate the other kinds of schedules. Raises UnusableSchedule if the
    schedule of an entry cannot be evaluated and no other entry was due.
    """
    due: list[datetime] = []
    unusable: Exception | None = None
    for entry in nightly_entries() if entries is None else entries:
        try:
            due += _due_today(entry, moment)
        except Exception as exc:  # noqa: BLE001  Celery refuses some schedules that the admin accepts, with various exceptions
            unusable = unusable or exc
            name = entry.name
    if unusable and not due:
        sentence = _("the schedule of %(name)r cannot be used (%(error)s): correct it in the admin, under periodic tasks")
        raise UnusableSchedule(sentence % {"name": name, "error": unusable}) from unusable
    return min(due, default=None)


def last_night_due_at(moment: datetime, entries: Sequence[PeriodicTask] | None = None) -> datetime | None:
    """Return when nightly runs were due last; None if none were due in the past month. Raises UnusableSchedule."""
    return next(nights_due_before(moment, nightly_entries() if entries is None else entries), None)


def next_night_due_at(moment: datetime, entries: Sequence[PeriodicTask] | None = None) -> datetime | None:
    """Return when nightly runs are due next; None if none are due within a month. Raises UnusableSchedule."""
    entries = nightly_entries() if entries is None else entries
    return next((due for end in _ends_of_days(moment, 1) if (due := night_due_at(end, entries)) and due > moment), None)


def nights_due_before(moment: datetime, entries: Sequence[PeriodicTask]) -> Iterator[datetime]:
    """Yield when the nightly runs of the past month were due, the latest first. Raises UnusableSchedule."""
    for end in _ends_of_days(moment, -1):
        if due := night_due_at(min(end, moment), entries):
            yield due


def _ends_of_days(moment: datetime, step: int) -> Iterator[datetime]:
    """Yield the last second of the local day of `moment`, then of the following days (`step` 1) or the preceding ones (-1)."""
    midnight = moment.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(DAYS_SEARCHED):
        yield (midnight + timedelta(days=step * days + 1)).astimezone(UTC) - timedelta(seconds=1)


def _due_today(entry: PeriodicTask, moment: datetime) -> list[datetime]:
    """Return a list with the first time of the day at which the entry was due.

    The list is empty if that time is still to come, if the entry is no crontab, or if it was not valid then. Raises any exception of
    Celery's schedules.
    """
    schedule = entry.schedule
    if entry.crontab is None or (entry.expires and entry.expires <= moment):
        return []
    local = moment.astimezone(schedule.tz)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    last, wait, _ = schedule.remaining_delta(midnight - timedelta(seconds=1))
    due = last + wait
    return [due] if due <= moment and not (entry.start_time and due < entry.start_time) else []
