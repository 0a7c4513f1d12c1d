"""Report whether the runs of last night succeeded, and which problems a person must solve.

A run that is queued, running or postponed needs nobody. Only if the sweeper should have sent it again some time ago, somebody must look.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Q

from etl_tasks import host_watch, night_schedule, overdue_sources
from etl_tasks.models import DeadLetter, ETLRun, Fault, Source

SWEEPER_HAS_TIME = timedelta(minutes=10)  # the sweeper starts missing runs, and sends lost runs again, within this time
NIGHTS_BACK = timedelta(days=31)
LONGEST_REASON = 200
MOST_NAMED = 10


@dataclass(frozen=True)
class Outcome:
    """What became of one source's run of the night. `state`: succeeded, failed, under way, postponed, waiting (too early to tell) or missing."""

    source: Source
    state: str
    run: ETLRun | None


@dataclass(frozen=True)
class NightReport:
    """The report on the last night.

    `due`, `next_due`: when the runs of the last night were due, and when the next ones are; None if no usable schedule gives
    the time. `sentence`: the summary. `needs_a_person`: one sentence for each problem that a person must solve.
    """

    due: datetime | None
    next_due: datetime | None
    sentence: str
    outcomes: list[Outcome]
    needs_a_person: list[str]

    @property
    def succeeded(self) -> int:
        return sum(outcome.state == "succeeded" for outcome in self.outcomes)


def report_last_night(moment: datetime) -> NightReport:
    """Return the report on the latest night before `moment`, or on the last ETL_OVERDUE_HOURS hours if beat does not start the nights."""
    problems = [f"{fault}: failing since {_short(fault.began_at)}: {fault.error}" for fault in Fault.objects.all()]
    try:
        due, next_due = night_schedule.last_night_due_at(moment), night_schedule.next_night_due_at(moment)
    except night_schedule.UnusableSchedule as exc:
        due = next_due = None
        problems += [] if any(str(exc) in sentence for sentence in problems) else [str(exc)]
    is_by_beat = due is not None and ETLRun.objects.filter(logical_date__isnull=False, created_at__gte=due - NIGHTS_BACK).exists()
    outcomes = _outcomes(due, moment) if due else []
    period = f"last night ({_short(due)})" if due else ""
    # If cron starts the runs, it may do so before the hour of beat's schedule. Sources then seem to have no run although they have one.
    if not due or (not is_by_beat and any(outcome.run is None for outcome in outcomes)):
        outcomes = _outcomes(moment - timedelta(hours=settings.ETL_OVERDUE_HOURS), moment)
        period = f"the last {settings.ETL_OVERDUE_HOURS:g} hours"
    return NightReport(due, next_due, _summary(period, outcomes), outcomes, [*problems, *_needs(outcomes, moment, is_by_beat=is_by_beat)])


def _short(when: datetime) -> str:
    """Return the time in ETL_TIME_ZONE, as in "26 Nov, 01:00"."""
    local = when.astimezone(ZoneInfo(settings.ETL_TIME_ZONE))
    return f"{local.day} {local:%b, %H:%M}"


def _outcomes(begin: datetime, moment: datetime) -> list[Outcome]:
    """Return the outcome of each enabled source, from its latest run since `begin`. Runs with `until` (backfills) do not count.

    A source that was added after `begin` is left out if it has no run.
    """
    latest: dict[int, ETLRun] = {}
    for run in ETLRun.objects.filter(created_at__gte=begin, source__is_enabled=True).defer("task_ids").order_by("pk"):
        if "until" not in run.options:
            latest[run.source_id] = run
    outcomes = []
    for source in Source.objects.filter(is_enabled=True).order_by("name"):
        if last := latest.get(source.pk):
            outcomes.append(Outcome(source, _state(last), last))
        elif source.created_at < begin:
            outcomes.append(Outcome(source, "waiting" if moment < begin + SWEEPER_HAS_TIME else "missing", None))
    return outcomes


def _state(run: ETLRun) -> str:
    if run.status in ETLRun.GOOD:
        return "succeeded"
    if run.status == ETLRun.Status.POSTPONED:
        return "postponed"
    return "under way" if run.status in ETLRun.ACTIVE else "failed"


def _summary(period: str, outcomes: list[Outcome]) -> str:
    if not outcomes:
        return f"{period}: no source was to run"
    succeeded = sum(outcome.state == "succeeded" for outcome in outcomes)
    others = [_describe(outcome) for outcome in outcomes if outcome.state != "succeeded"]
    return "; ".join([f"{period}: {succeeded} of {len(outcomes)} sources succeeded", *_shorten(others)])


def _describe(outcome: Outcome) -> str:
    match outcome.run:
        case None:
            return f"{outcome.source} {'has not begun yet' if outcome.state == 'waiting' else 'did not run'}"
        case run if outcome.state == "postponed":
            return f"{outcome.source} is postponed until {_short(run.lease_until)}"
        case run if outcome.state == "failed":
            reason = run.error if len(run.error) <= LONGEST_REASON else run.error[:LONGEST_REASON] + "…"
            return f"{outcome.source} {run.status}: {reason}" if reason else f"{outcome.source} {run.status}"
        case run:
            return f"{outcome.source} is {run.status} ({run.stage})"


def _shorten(sentences: list[str]) -> list[str]:
    more = len(sentences) - MOST_NAMED
    return [*sentences[:MOST_NAMED], f"and {more} more"] if more > 0 else sentences


def _needs(outcomes: Iterable[Outcome], moment: datetime, *, is_by_beat: bool) -> list[str]:
    needs, named = [], set()
    for outcome in outcomes:
        if outcome.state == "failed" and outcome.run:
            needs.append(
                f"{outcome.source}: run {outcome.run.pk} {outcome.run.status} in {outcome.run.stage}: `etl_status --run {outcome.run.pk}` says more"
            )
        elif outcome.state == "missing":
            needs.append(f"{outcome.source}: it did not run: check that beat and a worker run")
        else:
            continue
        named.add(outcome.source.pk)
    lost = ETLRun.objects.filter(status__in=ETLRun.ACTIVE, lease_until__lt=moment - SWEEPER_HAS_TIME)
    if not is_by_beat:  # the next command that cron starts continues a postponed run
        lost = lost.exclude(status=ETLRun.Status.POSTPONED)
    for run in lost.select_related("source").order_by("source__name"):
        stands = f"run {run.pk} has stood at {run.stage} since {_short(run.lease_until)}"
        needs.append(f"{run.source}: {stands}: check that beat and a worker run, or call etl_{run.stage}")
        named.add(run.source_id)
    for source, _, hours in overdue_sources.overdue_sources(moment):
        if source.pk not in named:
            needs.append(f"{source}: no successful run for {hours:g} hours")
    silent = Source.objects.filter(is_enabled=True, host_silent_since__lt=moment - timedelta(seconds=settings.ETL_GRACE_SECONDS))
    for source in silent.order_by("name"):
        needs.append(f"{source}: {host_watch.no_worker_message(source.host)}")
    open_letters = Source.objects.annotate(letters=Count("dead_letters", filter=Q(dead_letters__state=DeadLetter.State.OPEN)))
    for source in open_letters.filter(letters__gt=0).order_by("name"):
        letters = f"{source.letters} open dead letter{'s' if source.letters > 1 else ''}"
        needs.append(f"{source}: {letters}: `dead_letters list --source {source}`")
    return needs
