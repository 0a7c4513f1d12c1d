"""The tasks that beat sends by its schedule: the start of the nightly runs, the sweep, which repairs what lost messages left undone, and the
deletion of what is old."""

import time

from celery import shared_task

from etl_tasks import pipeline, retention, sweeper
from etl_tasks.crash_points import crash_points
from etl_tasks.fault_isolation import isolated
from etl_tasks.models import ETLRun
from etl_tasks.tasks import TURN_S


@shared_task(name="etl.nightly")
def nightly() -> list[int]:
    """Start the runs of this night, one for each enabled source, and return the ids of those that were created."""
    runs: list[ETLRun] = []
    with isolated("beat's start of the night"):
        runs = pipeline.open_night(pipeline.local_today())
    return [run.pk for run in runs]


@shared_task(name="etl.sweep", ignore_result=True)
def sweep() -> int:
    """Sweep, unless a sweep has just begun.

    While all children of the workers are busy, the messages of many sweeps collect in their queue. The first of them that a child takes does
    the work of all.
    """
    is_repeated = False
    with isolated("the look for a sweep that has just begun"):
        is_repeated = sweeper.has_just_begun()
    return 0 if is_repeated else sweeper.sweep()


@shared_task(name="etl.prune", ignore_result=True)
def prune() -> None:
    """Delete what is older than the settings ETL_KEEP_… say. If the time of one task is too short, another message continues."""
    if not retention.prune(until=time.monotonic() + TURN_S).is_finished:
        with crash_points("beat_tasks.continue_prune"):
            prune.delay()
