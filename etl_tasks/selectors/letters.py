"""Select dead letters by cause: letters of one source, stage and kind with the same error have one cause."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, IntegerField, Max, Min, QuerySet, When

from etl_tasks.models import DeadLetter, ETLRun

CAUSE = ("source__name", "stage", "kind", "error")
MOST_GROUPS = 200
MOST_OF_RUN = 25


@dataclass(frozen=True)
class LetterGroup:
    """The letters with one cause. `first`: the id of the oldest one; it stands for the group in addresses. `attempts`: of the most tried one.

    Only the groups of a run have `state`, which their letters share, and `alike`: how many open letters of any run have this cause.
    """

    source: str
    stage: str
    kind: str
    error: str
    count: int
    first: int
    oldest: datetime
    latest: datetime
    attempts: int
    state: str = ""
    alike: int = 0


def letter_groups(state: str, *, source: str = "") -> list[LetterGroup]:
    """Return the groups of the letters of a state, or of all if it is "", the largest first, at most MOST_GROUPS. One query.

    `source`: only letters of the source with this name.
    """
    letters = DeadLetter.objects.filter(state=state) if state else DeadLetter.objects.all()
    rows = _by_cause(letters.filter(source__name=source) if source else letters).order_by("-count", "first")
    return [LetterGroup(*row) for row in rows[:MOST_GROUPS]]


def letter_groups_of(run: ETLRun) -> list[LetterGroup]:
    """Return the groups of the run's letters, the open and the largest first, at most MOST_OF_RUN. Two queries."""
    is_closed = Case(When(state=DeadLetter.State.OPEN, then=0), default=1, output_field=IntegerField())
    rows = _by_cause(run.dead_letters.all(), "state").order_by(is_closed, "-count", "first")
    groups = [LetterGroup(*row) for row in rows[:MOST_OF_RUN]]
    errors = {group.error for group in groups if group.state == DeadLetter.State.OPEN}
    if not errors:
        return groups
    of_source = _by_cause(DeadLetter.objects.filter(source=run.source_id, state=DeadLetter.State.OPEN, error__in=errors))
    alike = {(group.stage, group.kind, group.error): group.count for group in (LetterGroup(*row) for row in of_source)}
    return [replace(group, alike=alike.get((group.stage, group.kind, group.error), 0)) for group in groups]


def _by_cause(letters: QuerySet[DeadLetter], *also: str) -> QuerySet[Any, Any]:
    """Return a row for each cause, with the fields of LetterGroup. `also`: columns by which each cause is divided, the last ones of the row."""
    grouped = letters.order_by().values(*CAUSE, *also)
    grouped = grouped.annotate(count=Count("pk"), first=Min("pk"), oldest=Min("timestamp"), latest=Max("timestamp"), most_attempts=Max("attempts"))
    return grouped.values_list(*CAUSE, "count", "first", "oldest", "latest", "most_attempts", *also)
