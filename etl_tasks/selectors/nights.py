"""What became of the runs of the last nights: one cell for each night and source."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, F, IntegerField, Max, OuterRef, Q, QuerySet, Subquery, Sum, Value, When

from etl_tasks.models import DeadLetter, ETLRun, Source

NIGHTS_SHOWN = 14
MISSING, WAITING, NONE = "missing", "waiting", "none"
SWEEPER_HAS_TIME = timedelta(minutes=10)  # as in night_report.py: earlier, a run that is missing may still begin
FAR_FUTURE = datetime(9999, 1, 1, tzinfo=UTC)
# How urgently a source needs a person, the most urgent first. Sources up to PARTIAL have a problem.
FAILED, NO_RUN, SILENT, POSTPONED, PARTIAL, ACTIVE, GOOD, DISABLED = range(8)
SHOWN = {"problems": Q(urgency__lte=PARTIAL), "running": Q(active_run__isnull=False), "disabled": Q(is_enabled=False), "all": Q()}


@dataclass(frozen=True)
class Night:
    """A night and the day after it.

    Its runs are those with the date `day`, and runs without a date that were created from `begins` until `ends`. `is_due`: False if the
    schedule starts no runs on this day; then no source is missing.
    """

    day: date
    begins: datetime
    ends: datetime
    is_due: bool


@dataclass(frozen=True)
class Cell:
    """The latest run of a source that belongs to a night. `state`: the run's status, or missing, waiting or none if there is no run."""

    state: str
    run_id: int | None = None
    run_count: int = 0


def nights_until(moment: datetime, dues: Iterable[datetime], time_zone: str, *, count: int = NIGHTS_SHOWN) -> list[Night]:
    """Return the last `count` nights, the latest first. `dues`: when the nightly runs were due until `moment`, the latest first."""
    zone = ZoneInfo(time_zone)
    due_on = {due.astimezone(zone).date(): due for due in dues}
    latest = max(due_on, default=moment.astimezone(zone).date())
    days = [latest - timedelta(days=back) for back in range(count)]
    begins = [due_on.get(day) or datetime.combine(day, time(), zone).astimezone(UTC) for day in days]
    ends = [FAR_FUTURE, *begins]
    return [Night(day, begin, end, day in due_on) for day, begin, end in zip(days, begins, ends, strict=False)]


def last_settled_due(nights: Sequence[Night], moment: datetime) -> datetime | None:
    """Return when the latest night was due whose runs must have begun by now; None if none of the nights was due."""
    return next((night.begins for night in nights if night.is_due and night.begins + SWEEPER_HAS_TIME <= moment), None)


def runs_of_nights(nights: Sequence[Night]) -> QuerySet[Any]:  # Any: mypy does not know the annotated column
    """Return the runs of the nights, each with `night`, the index of its night.

    As in night_report.py, backfills, which have `until`, belong to no night, and a run between two nights only if it succeeded.
    """
    dated = [When(logical_date=night.day, then=Value(index)) for index, night in enumerate(nights)]
    others = [When(of_night(night), then=Value(index)) for index, night in enumerate(nights)]
    # A run with a date is created at or after the hour of its night, so the index on created_at can be used.
    counted = ~Q(trigger=ETLRun.Trigger.INTERVAL) | Q(status__in=ETLRun.GOOD)
    runs = ETLRun.objects.filter(counted, created_at__gte=nights[-1].begins).exclude(options__has_key="until")
    return runs.annotate(night=Case(*dated, *others, default=None, output_field=IntegerField())).filter(night__isnull=False)


def of_night(night: Night) -> Q:
    """Return the condition for the runs of a night."""
    return Q(logical_date=night.day) | Q(logical_date=None, created_at__gte=night.begins, created_at__lt=night.ends)


def sources_by_urgency(last_due: datetime | None, *, search: str = "", shown: str = "all") -> QuerySet[Source]:
    """Return the sources, those with problems first, each with `urgency` and `has_open_letters`.

    `last_due`: when the runs of the last night were due. `search`: a part of the name of the source or service. `shown`: a key of SHOWN.
    """
    latest = ETLRun.objects.filter(source=OuterRef("pk")).exclude(options__has_key="until").order_by("-pk")
    with_letters = DeadLetter.objects.filter(state=DeadLetter.State.OPEN).values("source_id")
    did_not_run = Q(created_at__lt=last_due) & (Q(last_created_at=None) | Q(last_created_at__lt=last_due)) if last_due else Q(pk__in=())
    urgency = Case(
        When(Q(is_enabled=False) | Q(deletion_began_at__isnull=False), then=DISABLED),
        When(last_status__in=(ETLRun.Status.FAILED, ETLRun.Status.CANCELLED), then=FAILED),
        When(did_not_run, then=NO_RUN),
        When(Q(host_silent_since__isnull=False) | Q(overdue_alerted_at__isnull=False), then=SILENT),
        When(last_status=ETLRun.Status.POSTPONED, then=POSTPONED),
        When(Q(last_status=ETLRun.Status.PARTIAL) | Q(has_open_letters=True), then=PARTIAL),
        When(last_status__in=ETLRun.ACTIVE, then=ACTIVE),
        default=GOOD,
        output_field=IntegerField(),
    )
    sources = Source.objects.annotate(
        last_status=Subquery(latest.values("status")[:1]),
        last_created_at=Subquery(latest.values("created_at")[:1]),
        has_open_letters=Case(When(pk__in=with_letters, then=True), default=False),
    ).annotate(urgency=urgency)
    if search:
        sources = sources.filter(Q(name__icontains=search) | Q(service__name__icontains=search))
    return sources.filter(SHOWN.get(shown, Q())).select_related("service").order_by("urgency", "name")


def grid(sources: Sequence[Source], nights: Sequence[Night], moment: datetime) -> list[tuple[Source, list[Cell]]]:
    """Return for each source its cells, in the order of the nights."""
    runs = runs_of_nights(nights).filter(source__in=sources)
    latest = {
        (row["source_id"], row["night"]): row for row in runs.values("source_id", "night").annotate(latest=Max("pk"), runs=Count("pk")).order_by()
    }
    statuses = dict(ETLRun.objects.filter(pk__in=[row["latest"] for row in latest.values()]).values_list("pk", "status"))

    def cell(source: Source, index: int) -> Cell:
        if row := latest.get((source.pk, index)):
            return Cell(statuses.get(row["latest"], NONE), row["latest"], row["runs"])
        night = nights[index]
        if not (night.is_due and source.is_enabled and source.created_at < night.begins):
            return Cell(NONE)
        return Cell(WAITING if moment < night.begins + SWEEPER_HAS_TIME else MISSING)

    return [(source, [cell(source, index) for index in range(len(nights))]) for source in sources]


def stage_seconds(nights: Sequence[Night]) -> list[dict[str, float]]:
    """Return for each night how long its runs were in each stage, all sources together, in seconds."""
    sums = {stage: Sum(F(f"{stage}_ended_at") - F(f"{stage}_began_at")) for stage in ETLRun.Stage.values}
    found = {row["night"]: row for row in runs_of_nights(nights).values("night").annotate(**sums).order_by()}
    return [
        {stage: spent.total_seconds() if (spent := found.get(index, {}).get(stage)) else 0.0 for stage in ETLRun.Stage.values}
        for index in range(len(nights))
    ]
