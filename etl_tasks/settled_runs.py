"""End the runs of settled sources without their stages: after the survey it is certain that these would find nothing.

Such a run is one transaction instead of three tasks, which makes a night with many sources short. A run that cannot be ended here takes its
stages as every other.
"""

from django.utils.timezone import now

from etl_tasks import cursors, ledger, overdue_sources
from etl_tasks.crash_points import commit
from etl_tasks.loaders.metrics import updating_metrics
from etl_tasks.models import DeadLetter, ETLRun
from etl_tasks.sources.registry import adapter_of


class NotSettled(Exception):
    """The run has to take its stages. Nothing was written."""


def end_run(run_id: int) -> None:
    """End the run if nobody has claimed it and its source is settled; otherwise raise NotSettled.

    The cursors move and the metrics are recomputed as in a run that has found nothing.
    """
    moment = now()
    with commit("settled_runs.end"):
        unclaimed = ETLRun.objects.filter(pk=run_id, status=ETLRun.Status.QUEUED, stage=ETLRun.Stage.EXTRACT, attempt=0)
        claimed = {"status": ETLRun.Status.RUNNING, "stage": ETLRun.Stage.LOAD, "attempt": 1}
        # The first query only looks. A person who reopens the run has locked its source and then waits for the run. If this transaction locked
        # the run and then waited for the source, the two would be in a deadlock.
        if not unclaimed.exists() or not unclaimed.update(**claimed, started_at=moment, lease_until=moment + ledger.lease_duration()):
            raise NotSettled
        run = ETLRun.objects.select_related("source__service", "source__facts_repository").get(pk=run_id)
        if run.options.keys() != {"news"} or DeadLetter.objects.filter(source=run.source, state=DeadLetter.State.OPEN).exists():
            raise NotSettled
        with updating_metrics(run.source.service, run_id=run.pk, has_new_facts=run.trigger != ETLRun.Trigger.INTERVAL) as metrics:
            _move_cursors(run)
        ledger.close(run.pk, ETLRun.Status.SUCCESS, attempt=run.attempt)
        was_overdue = overdue_sources.end_episode(run)
        if run.trigger == ETLRun.Trigger.INTERVAL and not metrics.is_recomputed and not was_overdue:
            ETLRun.objects.filter(pk=run.pk).update(is_quiet=True)


def _move_cursors(run: ETLRun) -> None:
    stored = {stream: (position, version) for stream, position, version in run.source.cursors.values_list("stream", "position", "version")}
    now_at = {stream: position for stream, (position, _) in stored.items()}
    settled = adapter_of(run.source).settled_cursors(run.source, now_at, run.options["news"])
    if settled is None:
        raise NotSettled
    cursors.move(run.source, settled, began_at={stream: stored[stream][1] for stream in settled})
