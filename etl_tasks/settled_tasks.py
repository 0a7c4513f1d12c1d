"""The task that ends the runs of settled sources. `pipeline` sends it by its name, because this module imports `pipeline`."""

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.utils.translation import override

from etl_tasks import pipeline, settled_runs
from etl_tasks.errors import FatalError
from etl_tasks.fault_isolation import for_each, forget_connection
from etl_tasks.models import ETLRun
from etl_tasks.tasks import is_id


@shared_task(name="etl.end_settled", ignore_result=True)
def end_settled(run_ids: list[int]) -> None:
    """End the runs whose sources are settled, and send the chains of the others. If this task is killed, the sweeper sends those that are left."""
    if not isinstance(run_ids, list) or not all(map(is_id, run_ids)):
        raise FatalError(f"the message names no runs: {run_ids!r:.200}")
    left = list(run_ids)

    def end(run_id: int) -> None:
        try:
            settled_runs.end_run(run_id)
        except settled_runs.NotSettled:
            return
        except BaseException:
            forget_connection()
            raise
        left.remove(run_id)

    try:
        with override("en"):  # whatever is stored is in English
            for_each(run_ids, end, stop_at=(SoftTimeLimitExceeded,))
    finally:
        unclaimed = ETLRun.objects.filter(pk__in=left, status=ETLRun.Status.QUEUED, attempt=0)
        pipeline.send_all(list(unclaimed.select_related("source").order_by("pk")))
