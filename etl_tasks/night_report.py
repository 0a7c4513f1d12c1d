"""Did last night work, and what needs a person? What waits by itself (queued, running, postponed) needs nobody."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Q

from etl_tasks import host_watch, night_schedule, overdue
from etl_tasks.models import DeadLetter, ETLRun, Fault, Source

BEGINS_WITHIN = timedelta(minutes=10)  # the sweeper starts what is missing, and sends again what is lost, within a few
NIGHTS_BACK = timedelta(days=31)
LONGEST_REASON = 200
MOST_NAMED = 10


@dataclass(frozen=True)
class Outcome:
    """What became of one source. `state`: succeeded, failed, under way, postponed, waiting or missing."""

    source: Source
    state: str
    run: ETLRun | None


@dataclass(frozen=True)
class NightReport:
    due: datetime | None  # None where no schedule says when
    next_due: datetime | None
    sentence: str
    outcomes: list[Outcome]
    needs_a_person: list[str]

    @property
    def succeeded(self) -> int:
        return sum(one.state == "succeeded" for one in self.outcomes)


def report_last_night(moment: datetime) -> NightReport:
    trouble = [f"{fault}: failing since {_short(fault.began_at)}: {fault.error}" for fault in Fault.objects.all()]
    try:
        due, next_due = night_schedule.last_night_due_at(moment), night_schedule.next_night_due_at(moment)
    except night_schedule.UnusableSchedule as exc:
        due = next_due = None
        trouble += [] if any(str(exc) in sentence for sentence in trouble) else [str(exc)]
    is_by_beat = due is not None and ETLRun.objects.filter(logical_date__isnull=False, created_at__gte=due - NIGHTS_BACK).exists()
    outcomes = _outcomes(due, moment) if due else []
    called = f"last night ({_short(due)})" if due else ""
    # Cron may start the runs at another hour than beat's schedule has: what is missing since then may have run before.
    if not due or (not is_by_beat and any(one.run is None for one in outcomes)):
        outcomes = _outcomes(moment - timedelta(hours=settings.ETL_OVERDUE_HOURS), moment)
        called = f"the last {settings.ETL_OVERDUE_HOURS:g} hours"
    return NightReport(due, next_due, _sentence(called, outcomes), outcomes, [*trouble, *_needs(outcomes, moment, is_by_beat=is_by_beat)])


def _short(when: datetime) -> str:
    """In the business's zone."""
    there = when.astimezone(ZoneInfo(settings.ETL_TIME_ZONE))
    return f"{there.day} {there:%b, %H:%M}"


def _outcomes(begin: datetime, moment: datetime) -> list[Outcome]:
    """By the latest run of each enabled source since then; a backfill is no night. A source that is newer waits for its first one."""
    latest: dict[int, ETLRun] = {}
    for run in ETLRun.objects.filter(created_at__gte=begin, source__is_enabled=True).defer("task_ids").order_by("pk"):
        if "until" not in run.options:
            latest[run.source_id] = run
    outcomes = []
    for source in Source.objects.filter(is_enabled=True).order_by("name"):
        if last := latest.get(source.pk):
            outcomes.append(Outcome(source, _state(last), last))
        elif source.created_at < begin:
            outcomes.append(Outcome(source, "waiting" if moment < begin + BEGINS_WITHIN else "missing", None))
    return outcomes


def _state(run: ETLRun) -> str:
    if run.status in ETLRun.GOOD:
        return "succeeded"
    if run.status == ETLRun.Status.POSTPONED:
        return "postponed"
    return "under way" if run.status in ETLRun.ACTIVE else "failed"


def _sentence(called: str, outcomes: list[Outcome]) -> str:
    if not outcomes:
        return f"{called}: no source was to run"
    succeeded = sum(one.state == "succeeded" for one in outcomes)
    others = [_told(one) for one in outcomes if one.state != "succeeded"]
    return "; ".join([f"{called}: {succeeded} of {len(outcomes)} sources succeeded", *_most(others)])


def _told(one: Outcome) -> str:
    match one.run:
        case None:
            return f"{one.source} {'has not begun yet' if one.state == 'waiting' else 'did not run'}"
        case run if one.state == "postponed":
            return f"{one.source} is postponed until {_short(run.lease_until)}"
        case run if one.state == "failed":
            reason = run.error if len(run.error) <= LONGEST_REASON else run.error[:LONGEST_REASON] + "…"
            return f"{one.source} {run.status}: {reason}" if reason else f"{one.source} {run.status}"
        case run:
            return f"{one.source} is {run.status} ({run.stage})"


def _most(sentences: list[str]) -> list[str]:
    more = len(sentences) - MOST_NAMED
    return [*sentences[:MOST_NAMED], f"and {more} more"] if more > 0 else sentences


def _needs(outcomes: Iterable[Outcome], moment: datetime, *, is_by_beat: bool) -> list[str]:
    needs, named = [], set()
    for one in outcomes:
        if one.state == "failed" and one.run:
            needs.append(f"{one.source}: run {one.run.pk} {one.run.status} in {one.run.stage}: `etl_status --run {one.run.pk}` says more")
        elif one.state == "missing":
            needs.append(f"{one.source}: it did not run: check that beat and a worker run")
        else:
            continue
        named.add(one.source.pk)
    lost = ETLRun.objects.filter(status__in=ETLRun.ACTIVE, lease_until__lt=moment - BEGINS_WITHIN)
    if not is_by_beat:  # cron's next call goes on with it
        lost = lost.exclude(status=ETLRun.Status.POSTPONED)
    for run in lost.select_related("source").order_by("source__name"):
        stands = f"run {run.pk} has stood at {run.stage} since {_short(run.lease_until)}"
        needs.append(f"{run.source}: {stands}: check that beat and a worker run, or call etl_{run.stage}")
        named.add(run.source_id)
    for source, _, hours in overdue.overdue_sources(moment):
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
