"""The stages as Celery tasks, with the one retry policy, and nothing else."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, NoReturn

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task, shared_task
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.signals import task_failure, task_retry
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils.timezone import now

from etl_tasks import dead_letters, deletion, ledger, stages
from etl_tasks.errors import RetriableError
from etl_tasks.fault_isolation import isolated
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources import registry
from log_store.store import LogStoreUnavailable


class StageTask(Task):
    """Celery retries what may pass by itself; where GitHub names a time, the countdown is that time."""

    autoretry_for = (RetriableError, LogStoreUnavailable, OperationalError, InterfaceError)
    retry_backoff = settings.ETL_STAGE_BACKOFF_SECONDS
    retry_backoff_max = settings.ETL_STAGE_BACKOFF_MAX_SECONDS
    retry_jitter = False  # full jitter may draw 0: the whole patience could be spent in a second
    max_retries = settings.ETL_STAGE_RETRIES

    def step(self, stage: Callable[[ETLRun], None], run_id: int) -> int:
        try:
            run = ledger.claim(run_id, stage.__name__, self.request.id)
            try:
                stage(run)
            except self.autoretry_for as exc:
                self.obey(run, exc)
            except SoftTimeLimitExceeded:
                # A long stage goes on behind its last commit, as long as each turn brings it further.
                self.postponed_if(ledger.release_if_progressed(run.pk, attempt=run.attempt))
                raise
        except ledger.LeaseNotHeld:
            self.update_state(state="SUPERSEDED")
            raise Ignore from None  # ends this copy of the chain; the run's owner goes on
        return run_id

    def obey(self, run: ETLRun, exc: Exception) -> NoReturn:
        """Wait as long as the other side asks: by countdown, or by the ledger where that would be delivered twice.

        Once the retries are used up, a stage that has moved in its last turn waits as well: what it meets does pass.
        """
        wait = exc.retry_after if isinstance(exc, RetriableError) else None
        if isinstance(exc, RetriableError) and wait is not None and (exc.postpone or wait > settings.ETL_LONGEST_COUNTDOWN_SECONDS):
            ledger.postpone(run, now() + timedelta(seconds=wait))
            self.postponed_if(True)
        if self.request.retries >= self.max_retries:
            self.postponed_if(ledger.release_if_progressed(run.pk, wait=max(self.retry_backoff_max, wait or 0), attempt=run.attempt))
        if wait is None:
            raise exc
        raise self.retry(exc=exc, countdown=wait)

    def postponed_if(self, is_postponed: bool) -> None:
        """End this copy of the chain; the sweeper sends the run again when its time has come."""
        if is_postponed:
            self.update_state(state="POSTPONED")
            raise Ignore


@shared_task(bind=True, base=StageTask, name="etl.extract")
def extract(self: StageTask, run_id: int) -> int:
    return self.step(stages.extract, run_id)


@shared_task(bind=True, base=StageTask, name="etl.transform")
def transform(self: StageTask, run_id: int) -> int:
    return self.step(stages.transform, run_id)


@shared_task(bind=True, base=StageTask, name="etl.load")
def load(self: StageTask, run_id: int) -> int:
    return self.step(stages.load, run_id)


@shared_task(name="etl.check")
def check(source_id: int) -> dict[str, Any]:
    """Whether the worker that would read a source can read it, and what it would give."""
    source = Source.objects.select_related("service").get(pk=source_id)
    return asdict(registry.check(source))


@shared_task(name="etl.delete", ignore_result=True)
def delete() -> bool:
    """A while's work on what is being deleted; the sweep sends for the rest."""
    return deletion.resume_all(seconds=min(settings.ETL_SWEEP_SECONDS, settings.CELERY_TASK_SOFT_TIME_LIMIT / 2))


@shared_task(name="etl.nightly")
def nightly() -> list[int]:
    from etl_tasks import pipeline  # it sends the tasks above

    runs: list[ETLRun] = []
    with isolated("beat's start of the night"):
        runs = pipeline.open_night(pipeline.local_today())
    return [run.pk for run in runs]


@shared_task(name="etl.sweep", ignore_result=True)
def sweep() -> int:
    from etl_tasks import sweeper  # it sends the tasks above

    return sweeper.sweep()


@task_failure.connect(weak=False, dispatch_uid="etl_tasks.bury_failed_stage")
def bury_failed_stage(sender: Task, task_id: str, exception: BaseException, args: Any, **_: object) -> None:
    # A killed child is no failure of the stage: the sweeper sends the run again, a bounded number of times.
    if isinstance(sender, StageTask) and not isinstance(exception, WorkerLostError):
        if isinstance(exception, TimeLimitExceeded) and ledger.release_if_progressed(args[0], owner=task_id):
            return  # it did not hear of the soft limit, inside a long query for example, and has moved all the same
        stage = sender.name.rpartition(".")[2]
        dead_letters.bury_stage(args[0], stage, _reason(exception), owner=task_id)


@task_retry.connect(weak=False, dispatch_uid="etl_tasks.keep_lease")
def keep_lease(sender: Task, request: Any, reason: Any, **_: object) -> None:
    if isinstance(sender, StageTask):
        ledger.extend_lease(request.args[0], request.id, timedelta(seconds=_countdown(reason)))


def _countdown(reason: Any) -> float:
    when = getattr(reason, "when", None)
    return float(when) if isinstance(when, int | float) else settings.ETL_LONGEST_COUNTDOWN_SECONDS


def _reason(exception: BaseException) -> str:
    text = str(exception)
    return text if type(exception).__module__.startswith(("etl_tasks", "log_store")) else f"{type(exception).__name__}: {text}"
