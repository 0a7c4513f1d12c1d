"""The queries of `etl_status`."""

from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from dora_metrics.models import Deployment
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Source
from etl_tasks.sources.github.watched_records import LONGEST_WAIT_FOR_AN_END, given_up

__all__ = ["LONGEST_WAIT_FOR_AN_END", "cursors_by_source", "deployments_given_up", "sources_with_runs"]


def sources_with_runs() -> QuerySet[Source]:
    """Return all sources, ordered by name, each with `last_run_id`, `last_success_at` and `open_letters` (a count)."""
    latest = ETLRun.objects.filter(source=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    success = ETLRun.objects.filter(source=OuterRef("pk"), status__in=ETLRun.GOOD).order_by("-pk").values("completed_at")[:1]
    open_letters = Count("dead_letters", filter=Q(dead_letters__state=DeadLetter.State.OPEN))
    annotated = Source.objects.annotate(last_run_id=Subquery(latest), last_success_at=Subquery(success), open_letters=open_letters)
    return annotated.select_related("service", "facts_repository__service").order_by("name")


def cursors_by_source() -> dict[int, dict[str, Any]]:
    """Return the cursors' positions as {primary key of the source: {name of the stream: position}}."""
    cursors: dict[int, dict[str, Any]] = {}
    for source_id, stream, position in Cursor.objects.values_list("source_id", "stream", "position"):
        cursors.setdefault(source_id, {})[stream] = position
    return cursors


def deployments_given_up(source: Source) -> list[Deployment]:
    """Return the deployments, oldest first, that had no outcome for LONGEST_WAIT_FOR_AN_END and are not requested again."""
    return list(given_up(source.facts_repository)) if source.facts_repository else []
