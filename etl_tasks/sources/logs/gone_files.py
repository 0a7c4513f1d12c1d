"""Delete the stored positions of log files that no longer exist.

A position is deleted together with raising the lowest generation of new files (see position.py), so that a new file with the same inode does
not get the identity of the forgotten one.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from django.db import transaction

from etl_tasks.models import Cursor, ETLRun, Source, StreamProgress
from etl_tasks.sources.logs.following.position import GENERATIONS, STREAM_PREFIX

LOST = (ETLRun.Status.FAILED, ETLRun.Status.CANCELLED)


def gone_cursors(before: datetime) -> dict[int, list[int]]:
    """Return the cursors of files that have been gone since before this time, by source."""
    found: dict[int, list[int]] = {}
    cursors = Cursor.objects.filter(stream__startswith=STREAM_PREFIX).values_list("source_id", "pk", "position")
    for source_id, pk, position in cursors.order_by("source_id", "pk").iterator():
        if _is_gone(position, before):
            found.setdefault(source_id, []).append(pk)
    return found


def forget_cursors(before: datetime) -> Iterator[int]:
    """Delete these cursors, source by source, and yield how many. A source with an active run is left out: the run may have found a file again."""
    for source_id, keys in gone_cursors(before).items():

        def delete(keys: list[int] = keys) -> tuple[list[str], int]:
            rows = Cursor.objects.filter(pk__in=keys).values_list("pk", "stream", "position")
            gone = {pk: stream for pk, stream, position in rows if _is_gone(position, before)}
            return list(gone.values()), Cursor.objects.filter(pk__in=gone).delete()[0]

        yield _forget(source_id, delete)


def forget_progress(source_id: int, progress_ids: list[int]) -> int:
    """Delete these positions of failed or cancelled runs, and return how many. None are deleted while a run of the source is active."""

    def delete() -> tuple[list[str], int]:
        rows = StreamProgress.objects.filter(pk__in=progress_ids)
        return list(rows.values_list("stream", flat=True)), rows.delete()[0]

    return _forget(source_id, delete)


def _is_gone(position: dict[str, str], before: datetime) -> bool:
    since = position.get("gone_since")
    return bool(since) and datetime.fromisoformat(str(since)) < before


def _forget(source_id: int, delete: Callable[[], tuple[list[str], int]]) -> int:
    """Call `delete`, which deletes positions and returns their streams and how many rows it has deleted, and raise the lowest generation.

    The source's row is locked, as it is while a run is opened or reopened.
    """
    with transaction.atomic():
        if not Source.objects.select_for_update().filter(pk=source_id).values_list("pk", flat=True).first():
            return 0
        if ETLRun.objects.filter(active_for=source_id).exists():
            return 0
        streams, count = delete()
        _raise_lowest_generation(source_id, streams)
    return count


def _raise_lowest_generation(source_id: int, streams: Iterable[str]) -> None:
    generations = [int(stream.rpartition(":")[2]) for stream in streams if stream.startswith(STREAM_PREFIX)]
    if not generations:
        return
    cursor, _ = Cursor.objects.get_or_create(source_id=source_id, stream=GENERATIONS, defaults={"position": {"next": 0}})
    lowest = max(int(cursor.position["next"]), max(generations) + 1)
    Cursor.objects.filter(pk=cursor.pk).update(position={"next": lowest})
