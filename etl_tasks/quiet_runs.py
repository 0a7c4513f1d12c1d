"""Delete the quiet runs: runs between two nights that found nothing new.

`stages.load` marks them. Nothing refers to such a run: it has no pages and no dead letters, no fact or metric was written by it, and it
closed no dead letter.
"""

from django.db import transaction
from django.db.models import Exists, OuterRef
from django_celery_results.models import TaskResult

from etl_tasks.models import ETLRun

MOST_A_SWEEP = 1000


def delete_superseded() -> None:
    """Delete the quiet runs after which another run of the source has succeeded, with the results of their tasks, at most MOST_A_SWEEP runs.

    The last successful run of a source stays, whatever it found: it says since when the source has been collected.
    """
    later = ETLRun.objects.filter(source=OuterRef("source"), pk__gt=OuterRef("pk"), status__in=ETLRun.GOOD)
    superseded = dict(ETLRun.objects.filter(Exists(later), is_quiet=True).order_by("pk").values_list("pk", "task_ids")[:MOST_A_SWEEP])
    if not superseded:
        return
    task_ids = [task_id for ids in superseded.values() for task_id in ids.values()]
    with transaction.atomic():
        TaskResult.objects.filter(task_id__in=task_ids).delete()
        ETLRun.objects.filter(pk__in=superseded).only("pk").delete()
