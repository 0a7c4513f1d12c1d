"""Select dead letters by cause: letters of one source, stage and kind with the same error have one cause."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, QuerySet

from etl_tasks.models import DeadLetter

CAUSE = ("source_id", "source__name", "stage", "kind", "error")
MOST_GROUPS = 200


@dataclass(frozen=True)
class LetterGroup:
    """The letters with one cause. `first`: the id of the oldest one; it stands for the group in addresses. `attempts`: of the most tried one."""

    source: str
    stage: str
    kind: str
    error: str
    count: int
    first: int
    oldest: datetime
    latest: datetime
    attempts: int


def letters_in(state: str, *, source: str = "") -> QuerySet[DeadLetter]:
    """Select the letters of a state, or of all states if it is "", and of one source if it is given."""
    letters = DeadLetter.objects.order_by()
    if state:
        letters = letters.filter(state=state)
    return letters.filter(source__name=source) if source else letters


def letter_groups(state: str, *, source: str = "") -> list[LetterGroup]:
    """Return the groups of letters, the largest first, at most MOST_GROUPS. One query."""
    grouped = letters_in(state, source=source).values_list(*CAUSE)
    rows = grouped.annotate(
        count=Count("pk"), first=Min("pk"), oldest=Min("timestamp"), latest=Max("timestamp"), most_attempts=Max("attempts")
    ).order_by("-count", "first")
    return [LetterGroup(name, *rest) for _source_id, name, *rest in rows[:MOST_GROUPS]]
