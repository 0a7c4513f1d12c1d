"""Numbers about runs, records, stages and dead letters, for /metrics.

The ledger has a million runs, so each function reads through an index: the active runs, those that ended lately, the open letters.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Min, OuterRef, Subquery, Sum

from etl_tasks import ledger
from etl_tasks.models import DeadLetter, ETLRun, Source

RECORD_COUNTS = ("extracted", "loaded", "skipped", "dead_lettered", "unparsed")


@dataclass(frozen=True)
class StageDurations:
    """How long one stage took in the runs that have ended it: their number, and the sum and the longest of their durations."""

    count: int
    total_seconds: float
    longest_seconds: float


@dataclass(frozen=True)
class EndedRuns:
    """The runs that ended in some span of time.

    `by_status`: how many ended in each status. `records`: the sum of each of RECORD_COUNTS. `stages`: the durations of each stage.
    """

    by_status: dict[str, int]
    records: dict[str, int]
    stages: dict[str, StageDurations]


def active_runs() -> dict[tuple[str, str], int]:
    """Return how many runs are active, by status and stage."""
    counted = ETLRun.objects.filter(status__in=ETLRun.ACTIVE).values_list("status", "stage").annotate(Count("pk")).order_by()
    return {(status, stage): count for status, stage, count in counted}


def ended_runs(since: datetime) -> EndedRuns:
    """Return the numbers of the runs that ended at `since` or later."""
    spans: dict[str, Any] = {}
    for stage in ledger.STAGES:
        span = ExpressionWrapper(F(f"{stage}_ended_at") - F(f"{stage}_began_at"), output_field=DurationField())
        spans |= {f"{stage}_count": Count(span), f"{stage}_total": Sum(span), f"{stage}_longest": Max(span)}
    sums = {f"sum_{name}": Sum(name) for name in RECORD_COUNTS}
    rows: list[Any] = list(ETLRun.objects.filter(completed_at__gte=since).values("status").annotate(runs=Count("pk"), **sums, **spans).order_by())
    return EndedRuns(
        by_status={row["status"]: row["runs"] for row in rows},
        records={name: sum(row[f"sum_{name}"] or 0 for row in rows) for name in RECORD_COUNTS},
        stages={stage: _durations(rows, stage) for stage in ledger.STAGES},
    )


def _durations(rows: list[Any], stage: str) -> StageDurations:
    ended = [row for row in rows if row[f"{stage}_count"]]
    return StageDurations(
        count=sum(row[f"{stage}_count"] for row in ended),
        total_seconds=sum(row[f"{stage}_total"].total_seconds() for row in ended),
        longest_seconds=max((row[f"{stage}_longest"].total_seconds() for row in ended), default=0.0),
    )


def last_successes() -> dict[str, datetime | None]:
    """Return when the latest successful run of each enabled source ended, by the source's name; None for a source without one."""
    success = ETLRun.objects.filter(source=OuterRef("pk"), status__in=ETLRun.GOOD).order_by("-pk").values("completed_at")[:1]
    return dict(Source.objects.filter(is_enabled=True).order_by("name").values_list("name", Subquery(success)))


def open_letters() -> tuple[int, datetime | None]:
    """Return how many dead letters are open, and when the oldest of them was written."""
    found = DeadLetter.objects.filter(state=DeadLetter.State.OPEN).aggregate(count=Count("pk"), oldest=Min("timestamp"))
    return found["count"], found["oldest"]
