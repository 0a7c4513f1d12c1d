"""The two tasks that beat sends by its schedule: the start of the nightly runs, and the sweep, which repairs what lost messages left undone."""

from celery import shared_task

from etl_tasks import pipeline, sweeper
from etl_tasks.fault_isolation import isolated
from etl_tasks.models import ETLRun


@shared_task(name="etl.nightly")
def nightly() -> list[int]:
    """Start the runs of this night, one for each enabled source, and return the ids of those that were created."""
    runs: list[ETLRun] = []
    with isolated("beat's start of the night"):
        runs = pipeline.open_night(pipeline.local_today())
    return [run.pk for run in runs]


@shared_task(name="etl.sweep", ignore_result=True)
def sweep() -> int:
    return sweeper.sweep()
