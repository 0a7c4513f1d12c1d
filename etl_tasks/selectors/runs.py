"""Runs: those in progress, the list of all, and how long runs usually take."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from etl_tasks.models import DeadLetter, ETLRun, GitHubBudget, Source
from etl_tasks.selectors.nights import Night, of_night

RUNS_COMPARED = 10  # so many earlier runs say how long a run will take
REQUESTED = ("since", "until", "full")  # options of runs that do not take as long as a nightly run
RUNS_PER_PAGE = 50
MOST_PROGRESS_SHOWN = 50
JUST_ENDED = timedelta(minutes=15)
MOST_JUST_ENDED = 10


@dataclass(frozen=True)
class Progress:
    """A run in progress. `expected_seconds`: how long earlier runs of the source took; None if there is none to compare with."""

    run: ETLRun
    expected_seconds: float | None

    @property
    def expected_end(self) -> datetime | None:
        """When the run will probably end; None if unknown, or if the run has not begun."""
        if self.expected_seconds is None or self.run.started_at is None:
            return None
        return self.run.started_at + timedelta(seconds=self.expected_seconds)


def in_progress() -> tuple[list[Progress], int]:
    """Return the active runs, those that a worker holds first, and how many there are. At most MOST_PROGRESS_SHOWN are returned."""
    active = ETLRun.objects.filter(status__in=ETLRun.ACTIVE)
    # Sorted in Python by what a person wants to see first: the statuses have no useful order in SQL, and thousands of runs are small rows.
    order = {ETLRun.Status.RUNNING: 0, ETLRun.Status.QUEUED: 1, ETLRun.Status.POSTPONED: 2}
    keys = sorted(active.values_list("status", "pk"), key=lambda row: (order[ETLRun.Status(row[0])], row[1]))
    shown = [pk for _, pk in keys[:MOST_PROGRESS_SHOWN]]
    found = ETLRun.objects.select_related("source__service").defer("error").in_bulk(shown)
    runs = [found[pk] for pk in shown if pk in found]
    seconds = expected_seconds([run.source_id for run in runs if not _is_requested(run)])
    return [Progress(run, None if _is_requested(run) else seconds.get(run.source_id)) for run in runs], len(keys)


def progress_of(run: ETLRun) -> Progress:
    """Return the progress of one run."""
    earlier = ETLRun.objects.filter(source=run.source_id, status__in=ETLRun.GOOD, duration_seconds__isnull=False).order_by("-pk")
    compared = earlier.values_list("duration_seconds", "options")[:RUNS_COMPARED]
    durations = [seconds for seconds, options in compared if seconds is not None and _is_plain(options)]
    seconds = None if _is_requested(run) or not durations else median(durations)
    return Progress(run, seconds)


def just_ended(moment: datetime) -> list[ETLRun]:
    """Return the runs that ended in the last minutes, the latest first."""
    ended = ETLRun.objects.filter(completed_at__gte=moment - JUST_ENDED).order_by("-completed_at")
    return list(ended[:MOST_JUST_ENDED])


def expected_seconds(source_ids: Collection[int]) -> dict[int, float]:
    """Return, by source, the median duration of its latest good runs that nobody requested a range for."""
    good = ETLRun.objects.filter(source=OuterRef("pk"), status__in=ETLRun.GOOD).order_by("-pk").values("pk")
    bounds = Source.objects.filter(pk__in=source_ids).annotate(newest=Subquery(good[:1]), oldest=Subquery(good[RUNS_COMPARED - 1 : RUNS_COMPARED]))
    # One range of ids for each source, so that the index on source and id finds only the latest runs.
    ranges = [Q(source=pk, pk__gte=oldest or 0) for pk, newest, oldest in bounds.values_list("pk", "newest", "oldest") if newest]
    if not ranges:
        return {}
    compared = ETLRun.objects.filter(Q(*ranges, _connector=Q.OR), status__in=ETLRun.GOOD, duration_seconds__isnull=False)
    durations: dict[int, list[float]] = {}
    for source_id, seconds, options in compared.values_list("source_id", "duration_seconds", "options"):
        if seconds is not None and _is_plain(options):
            durations.setdefault(source_id, []).append(seconds)
    return {source_id: median(found) for source_id, found in durations.items()}


def _is_plain(options: Mapping[str, Any]) -> bool:
    return not any(name in options for name in REQUESTED)


def _is_requested(run: ETLRun) -> bool:
    return not _is_plain(run.options)


def budgets() -> dict[str, list[GitHubBudget]]:
    """Return what was left of GitHub's limits when it last answered, by the name of the credential."""
    found: dict[str, list[GitHubBudget]] = {}
    for budget in GitHubBudget.objects.all():
        found.setdefault(budget.credential, []).append(budget)
    return found


def oldest_open_letter() -> DeadLetter | None:
    return DeadLetter.objects.filter(state=DeadLetter.State.OPEN).select_related("source").defer("data").order_by("timestamp").first()


# --- the list of runs -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunPage:
    """A page of the list of runs, the latest first. `older`, `newer`: the id with which the next page begins; None if there is none."""

    runs: list[ETLRun]
    older: int | None
    newer: int | None


def matching_runs(*, source: str = "", status: str = "", night: Night | None = None, trigger: str = "") -> QuerySet[ETLRun]:
    """Return the runs that match, without an order. `source`: its exact name, which takes one more query. `status`: a status, or "active"."""
    # Not joined with the source, whose name is in `pipeline`: MariaDB would begin with the sources and sort all runs.
    runs = ETLRun.objects.all()
    if source:
        runs = runs.filter(source=Source.objects.filter(name=source).first())
    if status:
        runs = runs.filter(status__in=ETLRun.ACTIVE if status == "active" else (status,))
    if night:
        # A run with a date was created at the hour of its night or later that day, so the index on created_at can be used.
        runs = runs.filter(of_night(night), created_at__gte=night.begins - timedelta(days=1))
    if trigger:
        runs = runs.filter(trigger=trigger)
    return runs


def page_of_runs(runs: QuerySet[ETLRun], *, before: int | None = None, after: int | None = None, limit: int = RUNS_PER_PAGE) -> RunPage:
    """Return the page of runs with ids below `before`, or of those above `after`; by default the latest page."""
    if after is not None:
        found = list(runs.filter(pk__gt=after).order_by("pk")[: limit + 1])
        has_newer, shown = len(found) > limit, found[:limit][::-1]
        has_older = True  # the page from which the reader came
    else:
        found = list((runs.filter(pk__lt=before) if before is not None else runs).order_by("-pk")[: limit + 1])
        has_older, shown = len(found) > limit, found[:limit]
        has_newer = before is not None
    return RunPage(shown, shown[-1].pk if shown and has_older else None, shown[0].pk if shown and has_newer else None)


def latest_runs(source: Source, limit: int) -> list[ETLRun]:
    """Return the latest runs of the source, the latest first."""
    return list(ETLRun.objects.filter(source=source).order_by("-pk")[:limit])


def stage_seconds_of(runs: Iterable[ETLRun]) -> list[Mapping[str, float]]:
    """Return for each run how long it was in each stage, in seconds."""
    return [{time.stage: time.seconds or 0.0 for time in run.stage_times} for run in runs]


def names_of_sources() -> Sequence[str]:
    return list(Source.objects.order_by("name").values_list("name", flat=True))
