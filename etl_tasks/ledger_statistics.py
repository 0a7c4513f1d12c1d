"""Numbers about runs, records, stages and dead letters, for /metrics.

The ledger has a million runs, so each function reads through an index: the active runs, those that ended lately, the open letters.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Min, OuterRef, Q, Subquery, Sum

from etl_tasks import ledger
from etl_tasks.models import DeadLetter, ETLRun, Source

RECORD_COUNTS = ("extracted", "loaded", "skipped", "dead_lettered", "waiting", "unparsed")


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
    columns: dict[str, Any] = {}
    for stage in ledger.STAGES:
        span = ExpressionWrapper(F(f"{stage}_ended_at") - F(f"{stage}_began_at"), output_field=DurationField())
        columns |= {f"{stage}_count": Count(span), f"{stage}_total": Sum(span), f"{stage}_longest": Max(span)}
    statuses = [status for status in ETLRun.Status.values if status not in ETLRun.ACTIVE]
    # No GROUP BY: SQLite would then read all runs through the index on the status.
    columns |= {f"in_{status}": Count("pk", filter=Q(status=status)) for status in statuses}
    columns |= {f"sum_{name}": Sum(name, default=0) for name in RECORD_COUNTS}
    found = ETLRun.objects.filter(completed_at__gte=since).aggregate(**columns)
    return EndedRuns(
        by_status={status: found[f"in_{status}"] for status in statuses},
        records={name: found[f"sum_{name}"] for name in RECORD_COUNTS},
        stages={stage: _durations(found, stage) for stage in ledger.STAGES},
    )


def _durations(found: dict[str, Any], stage: str) -> StageDurations:
    total, longest = found[f"{stage}_total"], found[f"{stage}_longest"]
    return StageDurations(
        count=found[f"{stage}_count"],
        total_seconds=total.total_seconds() if total is not None else 0.0,
        longest_seconds=longest.total_seconds() if longest is not None else 0.0,
    )


def last_successes() -> dict[str, datetime | None]:
    """Return when the latest successful run of each enabled source ended, by the source's name; None for a source without one."""
    success = ETLRun.objects.filter(source=OuterRef("pk"), status__in=ETLRun.GOOD).order_by("-pk").values("completed_at")[:1]
    return dict(Source.objects.filter(is_enabled=True).order_by("name").values_list("name", Subquery(success)))


def open_letters() -> tuple[int, datetime | None]:
    """Return how many dead letters are open, and when the oldest of them was written."""
    found = DeadLetter.objects.filter(state=DeadLetter.State.OPEN).aggregate(count=Count("pk"), oldest=Min("timestamp"))
    return found["count"], found["oldest"]
