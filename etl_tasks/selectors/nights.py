"""What became of the runs of the last nights: one cell for each night and source."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, F, FloatField, Func, IntegerField, Max, OuterRef, Q, QuerySet, Subquery, Sum, Value, When

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


class Seconds(Func):
    """The seconds between two columns with times. Django's own subtraction calls Python for each row on SQLite, which takes ten times as long."""

    output_field = FloatField()

    def __init__(self, end: str, begin: str) -> None:
        super().__init__(F(begin), F(end))

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(julianday(%(expressions)s) * 86400)", arg_joiner=") * -86400 + julianday(", **context)

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(TIMESTAMPDIFF(MICROSECOND, %(expressions)s) / 1000000)", **context)


def runs_of_nights(nights: Sequence[Night]) -> QuerySet[Any]:  # Any: mypy does not know the annotated column
    """Return the runs of the nights. Those without a date have `night`, the index of the night in which they were created.

    As in night_report.py, backfills, which have `until`, belong to no night, and a run between two nights only if it succeeded.
    """
    counted = ~Q(trigger=ETLRun.Trigger.INTERVAL) | Q(status__in=ETLRun.GOOD)
    # A run with a date is created at or after the hour of its night, so the index on created_at can be used.
    runs = ETLRun.objects.filter(counted, created_at__gte=nights[-1].begins).exclude(options__has_key="until")
    spans = [When(created_at__gte=night.begins, then=Value(index)) for index, night in enumerate(nights)]  # the latest first
    return runs.annotate(night=Case(When(logical_date__isnull=False, then=Value(None)), *spans, output_field=IntegerField()))


def index_of_night(row: Mapping[str, Any], nights: Sequence[Night]) -> int | None:
    """Return the index of the night of a row of `runs_of_nights` that has `logical_date` and `night`; None if it is none of these nights."""
    if row["logical_date"] is None:
        return row["night"]
    index = (nights[0].day - row["logical_date"]).days  # the nights are consecutive days
    return index if 0 <= index < len(nights) else None


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
    # With a condition on the id, the index on source and id finds only the runs of these nights. Ids grow with the time of creation, except
    # for runs that are created within moments of each other, so the lowest of the first hundred is the lowest. Not MIN: SQLite would read all.
    first = ETLRun.objects.filter(created_at__gte=nights[-1].begins).order_by("created_at").values_list("pk", flat=True)[:100]
    runs = runs_of_nights(nights).filter(source__in=sources, pk__gte=min(first, default=0))
    latest: dict[tuple[int, int | None], int] = {}
    counts: Counter[tuple[int, int | None]] = Counter()
    for row in runs.values("source_id", "logical_date", "night").annotate(latest=Max("pk"), runs=Count("pk")).order_by():
        key = row["source_id"], index_of_night(row, nights)
        latest[key] = max(latest.get(key, 0), row["latest"])
        counts[key] += row["runs"]
    statuses = dict(ETLRun.objects.filter(pk__in=latest.values()).values_list("pk", "status"))

    def cell(source: Source, index: int) -> Cell:
        if run_id := latest.get((source.pk, index)):
            return Cell(statuses.get(run_id, NONE), run_id, counts[source.pk, index])
        night = nights[index]
        if not (night.is_due and source.is_enabled and source.created_at < night.begins):
            return Cell(NONE)
        return Cell(WAITING if moment < night.begins + SWEEPER_HAS_TIME else MISSING)

    return [(source, [cell(source, index) for index in range(len(nights))]) for source in sources]


def stage_seconds(nights: Sequence[Night]) -> list[dict[str, float]]:
    """Return for each night how long its runs were in each stage, all sources together, in seconds."""
    sums = {stage: Sum(Seconds(f"{stage}_ended_at", f"{stage}_began_at")) for stage in ETLRun.Stage.values}
    totals = [dict.fromkeys(ETLRun.Stage.values, 0.0) for _ in nights]
    for row in runs_of_nights(nights).values("logical_date", "night").annotate(**sums).order_by():
        if (index := index_of_night(row, nights)) is not None:
            for stage in ETLRun.Stage.values:
                totals[index][stage] += row[stage] or 0.0
    return totals
