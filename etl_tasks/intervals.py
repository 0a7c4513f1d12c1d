"""When a source's next run between two nights is due. `Source.every_minutes` has the interval; without it, only the nights collect the source.

The next run is due one interval after the last run of the source began, whoever started that. Nothing is stored for this: however long
beat was down, one run is due and not one for each interval that passed.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_celery_beat.models import PeriodicTask

from etl_tasks.models import ETLRun, Source
from etl_tasks.night_schedule import UnusableSchedule, night_due_at


def due_sources(moment: datetime) -> list[Source]:
    """Return the sources whose run between two nights is due: enabled ones that have no active run and do not wait for the run of a night.

    A run is due a little early if it would otherwise wait nearly a whole sweep longer.
    """
    often = Source.objects.filter(is_enabled=True, deletion_began_at=None).exclude(every_minutes=None)
    half_a_sweep = timedelta(seconds=settings.ETL_SWEEP_SECONDS / 2)
    sources = _waiting_sources(with_last_runs(often).select_related("service").order_by("name"), moment)
    return [source for source in sources if next_due_at(source, moment) - min(half_a_sweep, interval(source) / 2) <= moment]


def late_sources(
    sources: Iterable[Any], moment: datetime, *, by: timedelta, entries: Sequence[PeriodicTask] | None = None
) -> list[tuple[Source, datetime]]:
    """Return the sources whose run between two nights was due longer ago than `by` but has not begun, and when it was due.

    `sources`: rows of `with_last_runs`, of enabled sources. `entries`: as for `night_due_at`.
    """
    waiting = _waiting_sources((source for source in sources if source.every_minutes), moment, entries)
    return [(source, due) for source in waiting if (due := next_due_at(source, moment)) < moment - by]


def next_due_at(source: Any, moment: datetime) -> datetime:
    """Return when the next run between two nights is due. `source`: a row of `with_last_runs` that has an interval.

    While the runs of a source fail, the time between them grows: the next one is due after as long as the source has been failing. If the
    last run seems to lie in the future, because a clock was set back, a run is due now.
    """
    if source.last_began_at is None:
        return source.created_at + interval(source)
    wait = interval(source)
    if source.last_status == ETLRun.Status.FAILED:
        wait = max(wait, source.last_began_at - (source.last_good_began_at or source.created_at))
    return moment if source.last_began_at > moment + wait else source.last_began_at + wait


def next_run_due_at(source: Any, moment: datetime, *, next_night: datetime | None) -> datetime | None:
    """Return when the next run of the source is due, at night or in between; None while a run is active, and if no run is due.

    `source`: a row of `with_last_runs`. `next_night`: when the next night is due, if the schedule has one.
    """
    if not source.is_enabled or source.has_active_run:
        return None
    between = [next_due_at(source, moment)] if source.every_minutes else []
    return min([*between, *([next_night] if next_night else [])], default=None)


def with_last_runs(sources: QuerySet[Source]) -> QuerySet[Any]:
    """Annotate each source with what these functions need of its runs.

    `last_began_at` and `last_status` are those of its last run, `last_good_began_at` is that of its last successful one, and `last_night` is
    the date of its last nightly run. All are None if there is no such run. `has_active_run`: whether a run is active.
    """
    last = ETLRun.objects.filter(source=OuterRef("pk")).order_by("-pk")
    last_good = last.filter(status__in=ETLRun.GOOD)
    nights = last.filter(logical_date__isnull=False)
    return sources.annotate(
        last_began_at=Subquery(last.values("created_at")[:1]),
        last_status=Subquery(last.values("status")[:1]),
        last_good_began_at=Subquery(last_good.values("created_at")[:1]),
        last_night=Subquery(nights.values("logical_date")[:1]),
        has_active_run=Exists(ETLRun.objects.filter(active_for=OuterRef("pk"))),
    )


def interval(source: Source) -> timedelta:
    return timedelta(minutes=source.every_minutes or 0)


def describe_interval(minutes: int | None) -> str:
    """Return the interval in words, as in "every 15 minutes"."""
    if not minutes:
        return _("every night")
    if minutes % 60 == 0:
        return ngettext("every hour", "every %(count)d hours", minutes // 60) % {"count": minutes // 60}
    return ngettext("every minute", "every %(count)d minutes", minutes) % {"count": minutes}


def _waiting_sources(sources: Iterable[Any], moment: datetime, entries: Sequence[PeriodicTask] | None = None) -> list[Any]:
    """Return those of the sources that have no active run and do not wait for the run of a night: the night goes first."""
    try:
        night_due = night_due_at(moment, entries)
    except UnusableSchedule:  # the sweep reports it, in its step for the nights
        night_due = None
    night = night_due.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date() if night_due else date.min

    def waits_for_night(source: Any) -> bool:
        return night_due is not None and source.created_at < night_due and (source.last_night or date.min) < night

    return [source for source in sources if not source.has_active_run and not waits_for_night(source)]
