"""Report whether the runs of last night succeeded, and which problems a person must solve.

A run that is queued, running or postponed needs nobody. Only if the sweeper should have sent it again some time ago, somebody must look.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, OuterRef, Q, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_celery_beat.models import PeriodicTask

from dora_metrics.display import minute_text
from etl_tasks import heartbeats, host_watch, intervals, night_schedule, overdue_sources
from etl_tasks.models import DeadLetter, ETLRun, Fault, Source

SWEEPER_HAS_TIME = timedelta(minutes=10)  # the sweeper starts missing runs, and sends lost runs again, within this time
NIGHTS_BACK = timedelta(days=31)
LONGEST_REASON = 200
MOST_NAMED = 10
# With a thousand sources, reading all columns, and making an instance of ETLRun for each run, would take most of the time.
SOURCE_COLUMNS = ("name", "kind", "created_at", "is_enabled", "every_minutes", "host", "host_silent_since")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source's run of the night. `state`: succeeded, failed, under way, postponed, waiting (too early to tell) or missing.

    `run`: the run, unless it succeeded or there is none. The rest belongs to the run, also if it succeeded. `logical_date`: the night for
    which it was started; None if a person started it.
    """

    source: Source
    state: str
    run: ETLRun | None = None
    run_id: int | None = None
    logical_date: date | None = None
    completed_at: datetime | None = None


class NeedKind(StrEnum):
    """The kinds of problems that a person must solve."""

    FAULT = "fault"  # something outside of runs has failed since `since`
    SCHEDULE = "schedule"  # the schedule of the nightly runs cannot be used
    FAILED = "failed"  # the run of the night has failed or was cancelled
    MISSING = "missing"  # the source has no run of the night
    LOST = "lost"  # the run should have been sent again at `since`
    LATE = "late"  # a run between two nights was due at `since` but has not begun
    OVERDUE = "overdue"  # no run has succeeded for `hours`
    SILENT = "silent"  # no worker has taken the queue of the source's host since `since`
    LETTERS = "letters"  # the source has `count` open dead letters


@dataclass(frozen=True)
class Need:
    """One problem that a person must solve. `sentence` is for the command line. Pages build their own from the other fields."""

    kind: NeedKind
    sentence: str
    source: Source | None = None
    run: ETLRun | None = None
    since: datetime | None = None
    hours: float = 0
    count: int = 0
    detail: str = ""  # the error of a fault, or what is wrong with the schedule


@dataclass(frozen=True)
class NightReport:
    """The report on the last night.

    `due`, `next_due`: when the runs of the last night were due, and when the next ones are; None if no usable schedule gives
    the time. `is_night`: False if the outcomes are those of the last ETL_OVERDUE_HOURS hours. `sentence`: the summary. `needs`: the
    problems that a person must solve.
    """

    due: datetime | None
    next_due: datetime | None
    is_night: bool
    sentence: str
    outcomes: list[Outcome]
    needs: list[Need]

    @property
    def needs_a_person(self) -> list[str]:
        return [need.sentence for need in self.needs]

    @property
    def succeeded(self) -> int:
        return sum(outcome.state == "succeeded" for outcome in self.outcomes)


class RunRow(NamedTuple):
    """What is read of the latest run of each source."""

    pk: int
    source_id: int
    status: str
    logical_date: date | None
    created_at: datetime
    completed_at: datetime | None


class LatestRuns:
    """The enabled sources, and the latest run of each. Backfills do not count.

    A run between two nights counts only if it succeeded: it makes up for a night that failed, but its failure is not one of the night. For a
    source without such a run, its active run is returned, whenever that began: it keeps the night's run waiting.
    """

    def __init__(self, begin: datetime) -> None:
        """Read the sources, and their runs since `begin`. One more query reads active runs and those that have not succeeded, if necessary."""
        self._runs = ETLRun.objects.exclude(options__has_key="until")
        counted = self._runs.filter(~Q(trigger=ETLRun.Trigger.INTERVAL) | Q(status__in=ETLRun.GOOD), source=OuterRef("pk"), created_at__gte=begin)
        latest = Subquery(counted.order_by("-pk").values("pk")[:1])
        enabled = Source.objects.filter(is_enabled=True).only(*SOURCE_COLUMNS)
        self.sources = list(enabled.order_by("name").annotate(latest_run=latest))
        found = self._runs.filter(pk__in=[source.latest_run for source in self.sources if source.latest_run])
        self._counted = {run.source_id: run for run in map(RunRow._make, found.values_list(*RunRow._fields))}

    @cached_property
    def _others(self) -> dict[int, ETLRun]:
        """The active runs, and the counted ones that have not succeeded, by their ids."""
        failed = [run.pk for run in self._counted.values() if run.status not in ETLRun.GOOD]
        # SQLite would read the whole table for "is not null".
        return {run.pk: run for run in self._runs.filter(Q(pk__in=failed) | Q(active_for__gt=0))}

    @cached_property
    def _active(self) -> dict[int, RunRow]:
        active = [run for run in self._others.values() if run.active_for_id is not None]
        return {run.source_id: RunRow(*(getattr(run, column) for column in RunRow._fields)) for run in active}

    def since(self, begin: datetime, source: Source) -> RunRow | None:
        """Return the source's latest run since `begin`, which is not earlier than the time for which the runs were read."""
        counted = self._counted.get(source.pk)
        return counted if counted and counted.created_at >= begin else self._active.get(source.pk)

    def whole(self, run: RunRow) -> ETLRun | None:
        """Return the run itself; None if it has succeeded, or was deleted meanwhile."""
        return None if run.status in ETLRun.GOOD else self._others.get(run.pk)


@dataclass(frozen=True)
class LastNight:
    """What became of each source in the last night. `due`, `is_night`: as in NightReport."""

    due: datetime | None
    is_night: bool
    outcomes: list[Outcome]


def last_night(moment: datetime) -> LastNight:
    """Return only the outcomes, which takes few queries, for a page that shows one line about them."""
    try:
        due = night_schedule.last_night_due_at(moment)
    except night_schedule.UnusableSchedule:
        due = None
    return _last_night(_runs_of_last_night(due, moment), due, moment)


def report_last_night(moment: datetime) -> NightReport:
    """Return the report on the latest night before `moment`, or on the last ETL_OVERDUE_HOURS hours if beat does not start the nights."""
    problems = [_fault(fault) for fault in Fault.objects.all()]
    entries = night_schedule.nightly_entries()
    try:
        due, next_due = night_schedule.last_night_due_at(moment, entries), night_schedule.next_night_due_at(moment, entries)
    except night_schedule.UnusableSchedule as exc:
        due = next_due = None
        if not any(str(exc) in problem.sentence for problem in problems):
            problems.append(Need(NeedKind.SCHEDULE, str(exc), detail=str(exc)))
    runs = _runs_of_last_night(due, moment)
    sources, night = runs.sources, _last_night(runs, due, moment)
    if night.is_night:
        period = _("last night (%(time)s)") % {"time": minute_text(due)}
    else:
        period = _("the last %(hours)s hours") % {"hours": f"{settings.ETL_OVERDUE_HOURS:g}"}
    is_by_beat = due is not None and _is_by_beat(due, night.outcomes)
    late = _late_sources(sources, moment, entries)
    if late and heartbeats.is_seen_since(heartbeats.SWEEP, moment - SWEEPER_HAS_TIME):
        late = []  # the next sweep starts them: their intervals were set, or the sources enabled, since the last one
    needs = [*problems, *_needs(sources, night.outcomes, moment, late, is_by_beat=is_by_beat)]
    return NightReport(due, next_due, night.is_night, _summary(period, night.outcomes), night.outcomes, needs)


def _late_sources(sources: Sequence[Source], moment: datetime, entries: Sequence[PeriodicTask]) -> list[tuple[Source, datetime]]:
    """Return the sources whose run between two nights is late. One query if any source has an interval, otherwise none."""
    with_interval = [source.pk for source in sources if source.every_minutes]
    known = intervals.with_last_runs(Source.objects.filter(pk__in=with_interval).order_by("name"))
    return intervals.late_sources(known, moment, by=SWEEPER_HAS_TIME, entries=entries)


def _runs_of_last_night(due: datetime | None, moment: datetime) -> LatestRuns:
    recently = _recently(moment)
    return LatestRuns(min(due, recently) if due else recently)


def _recently(moment: datetime) -> datetime:
    return moment - timedelta(hours=settings.ETL_OVERDUE_HOURS)


def _last_night(runs: LatestRuns, due: datetime | None, moment: datetime) -> LastNight:
    """Return the outcomes since `due`. If beat does not start the nights, return those of the last ETL_OVERDUE_HOURS hours.

    If cron starts the runs, it may do so before the hour of beat's schedule. Sources then seem to have no run although they have one.
    """
    if due:
        outcomes = _outcomes(runs, due, moment)
        if all(outcome.run_id for outcome in outcomes) or _is_by_beat(due, outcomes):
            return LastNight(due, True, outcomes)
    return LastNight(due, False, _outcomes(runs, _recently(moment), moment))


def _is_by_beat(due: datetime, outcomes: Iterable[Outcome]) -> bool:
    """Return whether beat has started the runs of a night in the last month. The outcomes may show it; otherwise a query does."""
    if any(outcome.logical_date for outcome in outcomes):
        return True
    return ETLRun.objects.filter(logical_date__isnull=False, created_at__gte=due - NIGHTS_BACK).exists()


def _outcomes(runs: LatestRuns, begin: datetime, moment: datetime) -> list[Outcome]:
    """Return the outcome of each source, from its latest run since `begin`.

    A source that was added after `begin` is left out if it has no run.
    """
    outcomes = []
    for source in runs.sources:
        if last := runs.since(begin, source):
            outcomes.append(Outcome(source, _state(last), runs.whole(last), last.pk, last.logical_date, last.completed_at))
        elif source.created_at < begin:
            outcomes.append(Outcome(source, "waiting" if moment < begin + SWEEPER_HAS_TIME else "missing"))
    return outcomes


def _state(run: RunRow) -> str:
    if run.status in ETLRun.GOOD:
        return "succeeded"
    if run.status == ETLRun.Status.POSTPONED:
        return "postponed"
    return "under way" if run.status in ETLRun.ACTIVE else "failed"


def _summary(period: str, outcomes: list[Outcome]) -> str:
    if not outcomes:
        return _("%(period)s: no source was to run") % {"period": period}
    succeeded = sum(outcome.state == "succeeded" for outcome in outcomes)
    others = [_describe(outcome) for outcome in outcomes if outcome.state != "succeeded"]
    counted = ngettext(
        "%(period)s: %(succeeded)s of %(count)s sources succeeded", "%(period)s: %(succeeded)s of %(count)s sources succeeded", len(outcomes)
    ) % {"period": period, "succeeded": succeeded, "count": len(outcomes)}
    return "; ".join([counted, *_shorten(others)])


def _describe(outcome: Outcome) -> str:
    match outcome.run:
        case None:
            sentence = _("%(source)s has not begun yet") if outcome.state == "waiting" else _("%(source)s did not run")
            return sentence % {"source": outcome.source}
        case run if outcome.state == "postponed":
            return _("%(source)s is postponed until %(time)s") % {"source": outcome.source, "time": minute_text(run.lease_until)}
        case run if outcome.state == "failed":
            reason = run.error if len(run.error) <= LONGEST_REASON else run.error[:LONGEST_REASON] + "…"
            status = f"{outcome.source} {_status(run)}"
            return f"{status}: {reason}" if reason else status
        case run:
            return _("%(source)s is %(status)s (%(stage)s)") % {"source": outcome.source, "status": _status(run), "stage": _stage(run)}


def _status(run: ETLRun) -> str:
    return str(run.get_status_display()).lower()


def _stage(run: ETLRun) -> str:
    return str(run.get_stage_display()).lower()


def _shorten(sentences: list[str]) -> list[str]:
    more = len(sentences) - MOST_NAMED
    return [*sentences[:MOST_NAMED], _("and %(count)s more") % {"count": more}] if more > 0 else sentences


def _fault(fault: Fault) -> Need:
    sentence = _("%(what)s: failing since %(time)s: %(error)s") % {"what": fault, "time": minute_text(fault.began_at), "error": fault.error}
    return Need(NeedKind.FAULT, sentence, since=fault.began_at, detail=f"{fault}: {fault.error}")


def _needs(
    sources: Sequence[Source], outcomes: Iterable[Outcome], moment: datetime, late: Iterable[tuple[Source, datetime]], *, is_by_beat: bool
) -> list[Need]:
    """Return what a person must solve. `late`: the sources whose run between two nights has not begun, and when it was due."""
    needs = [need for outcome in outcomes if (need := _need_of(outcome))]
    lost = ETLRun.objects.filter(active_for__gt=0, lease_until__lt=moment - SWEEPER_HAS_TIME)
    if not is_by_beat:  # the next command that cron starts continues a postponed run
        lost = lost.exclude(status=ETLRun.Status.POSTPONED)
    # Sorted in Python: to sort by the source's name, SQLite would read all sources first, and look for the runs of each.
    for run in sorted(lost.select_related("source").order_by(), key=lambda run: run.source.name):
        stands = _("run %(run)s has stood at %(stage)s since %(time)s: check that beat and a worker run, or call etl_%(stage)s")
        sentence = f"{run.source}: {stands % {'run': run.pk, 'stage': run.stage, 'time': minute_text(run.lease_until)}}"
        needs.append(Need(NeedKind.LOST, sentence, run.source, run, since=run.lease_until))
    named = {need.source.pk for need in needs if need.source}
    for source, _level, hours in overdue_sources.overdue_sources(moment):
        if source.pk not in named:
            overdue = ngettext("no successful run for %(hours)s hour", "no successful run for %(hours)s hours", 1 if hours == 1 else 2)
            needs.append(Need(NeedKind.OVERDUE, f"{source}: {overdue % {'hours': f'{hours:g}'}}", source, hours=hours))
    for source, due in late:
        if source.pk not in named:
            sentence = _("%(source)s: its run of %(time)s has not begun: check that beat and a worker run") % {
                "source": source,
                "time": minute_text(due),
            }
            needs.append(Need(NeedKind.LATE, sentence, source, since=due))
    silent_limit = moment - timedelta(seconds=settings.ETL_GRACE_SECONDS)
    for source in sources:
        if source.host_silent_since and source.host_silent_since < silent_limit:
            sentence = f"{source}: {host_watch.no_worker_sentence(source.host)}"
            needs.append(Need(NeedKind.SILENT, sentence, source, since=source.host_silent_since))
    return [*needs, *_letters(sources)]


def _letters(enabled: Iterable[Source]) -> Iterator[Need]:
    """Yield a need for each source, also a disabled one, that has open dead letters."""
    open_letters = DeadLetter.objects.filter(state=DeadLetter.State.OPEN).order_by()
    counts = dict(open_letters.values_list("source_id").annotate(Count("pk")))
    sources = {source.pk: source for source in enabled}
    if disabled := counts.keys() - sources.keys():
        sources |= Source.objects.in_bulk(disabled)
    for source in sorted((sources[pk] for pk in counts if pk in sources), key=lambda source: source.name):
        count = counts[source.pk]
        letters = ngettext("%(count)s open dead letter", "%(count)s open dead letters", count) % {"count": count}
        yield Need(NeedKind.LETTERS, f"{source}: {letters}: `dead_letters list --source {source}`", source, count=count)


def _need_of(outcome: Outcome) -> Need | None:
    source, run = outcome.source, outcome.run
    if outcome.state == "failed" and run:
        values = {"source": source, "run": run.pk, "status": _status(run), "stage": _stage(run)}
        sentence = _("%(source)s: run %(run)s %(status)s in %(stage)s: `etl_status --run %(run)s` says more") % values
        return Need(NeedKind.FAILED, sentence, source, run)
    if outcome.state == "missing":
        sentence = _("%(source)s: it did not run: check that beat and a worker run") % {"source": source}
        return Need(NeedKind.MISSING, sentence, source)
    return None
