"""Move the cursors of a source when a run has loaded everything, and store which spans of time are collected."""

from collections.abc import Mapping
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.timezone import now

from dora_metrics.bulk_upsert import upsert
from dora_metrics.models import Coverage
from etl_tasks.models import Cursor, Source

Position = dict[str, Any]


def move(source: Source, positions: Mapping[str, Position], *, began_at: Mapping[str, int]) -> dict[str, Position]:
    """Move the cursors of the streams to `positions`, and return those that were moved, by stream. Call it inside a transaction.

    `began_at`: the versions that the cursors had when the run began; 0 for a stream without a cursor. A cursor that has another version by now
    is not moved. So a late or replayed run never moves a cursor back.
    """
    # The source is locked before a row is inserted that refers to it. Otherwise the insert takes a shared lock on the source's row, and the run's
    # later update of the source is in a deadlock with whoever waits meanwhile to open the next run.
    Source.objects.select_for_update().filter(pk=source.pk).values_list("pk").get()
    stored = dict(Cursor.objects.filter(source=source).values_list("stream", "version"))
    moved = {stream: position for stream, position in positions.items() if stored.get(stream, 0) == began_at[stream]}
    moment = now()
    rows = (
        {"source_id": source.pk, "stream": stream, "position": position, "version": began_at[stream] + 1, "moved_at": moment}
        for stream, position in moved.items()
    )
    upsert(Cursor, rows, unique=("source", "stream"), kept=("source_id", "stream"))
    _save_coverage(source, moved)
    return moved


def _save_coverage(source: Source, positions: Mapping[str, Position]) -> None:
    spans = {stream: position for stream, position in positions.items() if "collected_from" in position}
    if not spans:
        return
    repository = source.ensure_facts_repository()
    rows = (
        {
            "service_id": repository.service_id,
            "repository_id": repository.pk,
            "is_of_logs": None,
            "stream": stream,
            "since": parse_datetime(position["collected_from"]),
            "until": parse_datetime(position["collected_until"]),
        }
        for stream, position in spans.items()
    )
    upsert(Coverage, rows, unique=("repository", "stream"), kept=("service_id", "repository_id", "is_of_logs", "stream"))
