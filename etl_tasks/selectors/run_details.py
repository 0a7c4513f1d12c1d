"""Everything that is stored about one run."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django_celery_results.models import TaskResult

from dora_metrics.models import MetricRevision
from etl_tasks.models import DeadLetter, ETLRun, StagedPage, StreamProgress

MOST_SHOWN = 50
MOST_LETTERS = 25
MOST_PAGES = 20
TASKS = tuple(f"etl.{stage}" for stage in ETLRun.Stage.values)
CLOCKS_DIFFER = timedelta(minutes=5)
UNREADABLE = "unreadable "  # progress with such a name marks a file that could not be read; its letter says more


@dataclass(frozen=True)
class Balance:
    """Whether each extracted record is accounted for. `missing`: how many are not. `is_final`: False unless the run has ended well."""

    missing: int
    is_final: bool

    @property
    def is_wrong(self) -> bool:
        return self.is_final and self.missing != 0


def balance_of(run: ETLRun) -> Balance:
    return Balance(run.extracted - run.loaded - run.skipped - run.dead_lettered - run.waiting, run.status in ETLRun.GOOD)


def run_with_counts(run_id: int) -> Any | None:
    """Return the run with its source, service, and the columns `page_count`, `letter_count`, `open_letters` and `revision_count`."""

    def count(rows: QuerySet[Any], **conditions: Any) -> Subquery:
        return Subquery(
            rows.filter(run_id=OuterRef("pk"), **conditions).order_by().values("run_id").annotate(n=Count("pk")).values("n"), IntegerField()
        )

    runs = ETLRun.objects.select_related("source__service").annotate(
        page_count=count(StagedPage.objects.all()),
        letter_count=count(DeadLetter.objects.all()),
        open_letters=count(DeadLetter.objects.all(), state=DeadLetter.State.OPEN),
        revision_count=count(MetricRevision.objects.all()),
    )
    return runs.filter(pk=run_id).first()


def streams(run: ETLRun) -> list[StreamProgress]:
    return list(run.progress.exclude(stream__startswith=UNREADABLE).order_by("stream")[:MOST_SHOWN])


def pages(run: ETLRun) -> list[StagedPage]:
    """Return the latest staged pages, without their content."""
    return list(run.pages.defer("body").order_by("-number")[:MOST_PAGES])


def notable_letters(run: ETLRun) -> list[DeadLetter]:
    """Return the run's letters of stages, pages and lost records, which belong to the story of the run, without their data."""
    return list(run.dead_letters.exclude(kind=DeadLetter.Kind.RECORD).defer("data").order_by("pk")[:MOST_LETTERS])


def revisions(run: ETLRun) -> list[MetricRevision]:
    """Return the changes of past values of metrics that the run made."""
    return list(MetricRevision.objects.filter(run_id=run.pk).select_related("service").order_by("pk")[:MOST_SHOWN])


def task_results(run: ETLRun) -> list[TaskResult]:
    """Return the results of the run's tasks, also of those that were sent again, the earliest first.

    A task is the run's if its only argument is the run's id. The time limits the search to a part of an index.
    """
    arguments = [json.dumps(text) for text in (f"({run.pk},)", f"[{run.pk}]")]
    span = Q(date_created__gte=run.created_at - CLOCKS_DIFFER)
    if run.completed_at:
        span &= Q(date_created__lte=run.completed_at + CLOCKS_DIFFER)
    of_run = Q(task_id__in=list(run.task_ids.values())) | (span & Q(task_name__in=TASKS, task_args__in=arguments))
    return list(TaskResult.objects.filter(of_run).defer("meta").order_by("date_created")[:MOST_SHOWN])


def audit_rows(run: ETLRun, letter_ids: list[int]) -> list[LogEntry]:
    """Return what people did with the run and with these of its letters, the earliest first."""
    of_run = Q(content_type=ContentType.objects.get_for_model(ETLRun), object_id=str(run.pk))
    of_letters = Q(content_type=ContentType.objects.get_for_model(DeadLetter), object_id__in=[str(pk) for pk in letter_ids])
    return list(LogEntry.objects.filter(of_run | of_letters).select_related("user").order_by("action_time")[:MOST_SHOWN])
