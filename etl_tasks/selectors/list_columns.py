"""What the admin's lists of runs and sources show beside the columns of their rows, in a few queries for a whole list."""

from collections.abc import Collection

from django.db.models import Count, Max

from etl_tasks.models import DeadLetter, ETLRun


def latest_run_of_each(source_ids: Collection[int]) -> dict[int, ETLRun]:
    """Return the latest run of each source, by the source's primary key; two queries."""
    latest = ETLRun.objects.filter(source__in=source_ids).order_by().values("source").annotate(last=Max("pk")).values_list("last", flat=True)
    return {run.source_id: run for run in ETLRun.objects.filter(pk__in=list(latest)).defer("options", "task_ids")}


def letters_of_runs(run_ids: Collection[int]) -> dict[int, int]:
    """Return the number of dead letters of each run that has any, whatever their state, by the run's primary key."""
    counted = DeadLetter.objects.filter(run__in=run_ids).order_by().values("run").annotate(letters=Count("pk"))
    return dict(counted.values_list("run", "letters"))
