"""The stages as Celery tasks with one retry policy, and the other tasks that workers run on request: check, preview, delete and recompute.

The tasks that beat sends are in beat_tasks.py.
"""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, NoReturn

from billiard.common import terminate_handler_fired
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task, shared_task
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.signals import task_failure, task_retry
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils.timezone import now
from django.utils.translation import override

from etl_tasks import dead_letters, deletion, ledger, stages
from etl_tasks.errors import FatalError, RetriableError, describe_error
from etl_tasks.fault_isolation import forget_connection
from etl_tasks.loaders.metrics import recompute_service
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources import registry
from log_store.store import LogStoreUnavailable

# After this time, a task that does many small things leaves the rest to another message, so that the worker never stops it.
TURN_S = settings.CELERY_TASK_SOFT_TIME_LIMIT / 2


class StageTask(Task):
    """The base of the three stage tasks. A failed stage is retried with exponential backoff, or after the time that GitHub asks for."""

    autoretry_for = (RetriableError, LogStoreUnavailable, OperationalError, InterfaceError)
    retry_backoff = settings.ETL_STAGE_BACKOFF_SECONDS
    retry_backoff_max = settings.ETL_STAGE_BACKOFF_MAX_SECONDS
    retry_jitter = False  # Celery's full jitter may draw 0, so that all retries could be used up within a second
    max_retries = settings.ETL_STAGE_RETRIES

    def run_stage(self, stage: Callable[[ETLRun], None], run_id: int) -> int:
        """Claim the run, run the stage and return the run's id for the next task of the chain."""
        if not is_id(run_id):
            raise FatalError(f"the message names no run: {run_id!r:.200}")
        try:
            run = ledger.claim(run_id, stage.__name__, self.request.id)
            try:
                with override("en"):  # whatever is stored is in English
                    self.run_with_log_store(stage, run)
            except self.autoretry_for as exc:
                self.retry_or_postpone(run, exc)
            except SoftTimeLimitExceeded:
                self.postpone_if_progressed(run)
                raise
            except (FatalError, ledger.LeaseNotHeld):
                raise
            except BaseException as exc:
                if terminate_handler_fired():
                    raise  # the worker is being stopped, and the sweeper sends the run again
                if _is_time_limit(exc):
                    self.postpone_if_progressed(run)
                    raise SoftTimeLimitExceeded from exc
                # Celery cannot handle each error: MemoryError and SystemExit end the child process, and some cannot be written as text.
                raise FatalError(describe_error(exc)) from exc
        except ledger.LeaseNotHeld:
            self.update_state(state="SUPERSEDED")
            raise Ignore from None  # ends this chain; the holder of the lease continues the run
        return run_id

    def run_with_log_store(self, stage: Callable[[ETLRun], None], run: ETLRun) -> None:
        """Run the stage. If the log store is still away when the retries are used up, end the run without it: its log events wait."""
        try:
            stage(run)
        except LogStoreUnavailable as exc:
            if run.stage != ETLRun.Stage.LOAD or self.request.retries < self.max_retries:
                raise
            stages.load_without_log_store(run, str(exc))

    def postpone_if_progressed(self, run: ETLRun) -> None:
        """Let a stage that the soft limit has stopped continue after its last commit, if this attempt has committed something."""
        forget_connection()
        self.end_chain_if(ledger.release_if_progressed(run.pk, attempt=run.attempt))

    def retry_or_postpone(self, run: ETLRun, exc: Exception) -> NoReturn:
        """Retry the stage, or postpone the run in the ledger.

        The run is postponed in three cases: the error asks for it; the requested wait is too long for a countdown, because the message
        would be delivered twice; or the retries are used up but the last attempt has committed something.
        """
        wait = exc.retry_after if isinstance(exc, RetriableError) else None
        if isinstance(exc, RetriableError) and wait is not None and (exc.postpone or wait > settings.ETL_LONGEST_COUNTDOWN_SECONDS):
            ledger.postpone(run, now() + timedelta(seconds=wait))
            self.end_chain_if(True)
        if self.request.retries >= self.max_retries:
            self.end_chain_if(ledger.release_if_progressed(run.pk, wait=max(self.retry_backoff_max, wait or 0), attempt=run.attempt))
        elif ledger.has_progressed(run):
            self.request.retries = 0  # only failures in a row without progress use up the retries
        if wait is None:
            raise exc
        raise self.retry(exc=exc, countdown=wait)

    def end_chain_if(self, is_postponed: bool) -> None:
        """End this chain if the run was postponed; the sweeper sends the run again when it is due."""
        if is_postponed:
            self.update_state(state="POSTPONED")
            raise Ignore


def _is_time_limit(exc: BaseException) -> bool:
    """Return whether the soft limit has caused the error: on MySQL, closing the cursor of an interrupted statement raises another one."""
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, SoftTimeLimitExceeded):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


@shared_task(bind=True, base=StageTask, name="etl.extract")
def extract(self: StageTask, run_id: int) -> int:
    return self.run_stage(stages.extract, run_id)


@shared_task(bind=True, base=StageTask, name="etl.transform")
def transform(self: StageTask, run_id: int) -> int:
    return self.run_stage(stages.transform, run_id)


@shared_task(bind=True, base=StageTask, name="etl.load")
def load(self: StageTask, run_id: int) -> int:
    return self.run_stage(stages.load, run_id)


@shared_task(name="etl.check")
def check(source_id: int, language: str = "en") -> dict[str, Any]:
    """Return the Check of a source as a dictionary, as seen from this worker. `language`: of the person who asked."""
    source = Source.objects.select_related("service").get(pk=source_id)
    with override(language):
        return asdict(registry.check(source))


@shared_task(name="etl.preview")
def preview(path: str, log_format: str, log_pattern: str, log_time_zone: str, language: str = "en") -> dict[str, Any]:
    """Read the beginning of log files as a source with these settings would. Nothing is stored but this result, whose caller deletes it.

    `language`: of the person who asked.
    """
    from etl_tasks.sources.logs.preview import preview as preview_of  # a worker that reads only GitHub does not load the formats

    with override(language):
        return preview_of(Source(name="preview", path=path, log_format=log_format, log_pattern=log_pattern, log_time_zone=log_time_zone))


@shared_task(name="etl.delete", ignore_result=True)
def delete() -> bool:
    """Continue the pending deletions for a limited time. Return False if it was too short; the sweeper then sends another message."""
    return deletion.resume_all(seconds=min(settings.ETL_SWEEP_SECONDS, TURN_S))


@shared_task(name="etl.recompute", autoretry_for=(OperationalError, InterfaceError), max_retries=3, retry_backoff=True)
def recompute(service_id: int) -> int:
    return recompute_service(service_id)


@task_failure.connect(weak=False, dispatch_uid="etl_tasks.bury_failed_stage")
def bury_failed_stage(sender: Task, task_id: str, exception: BaseException, args: Any, kwargs: Any, **_: object) -> None:
    # A killed worker process is not a failure of the stage: the sweeper sends the run again, a limited number of times.
    if isinstance(sender, StageTask) and not isinstance(exception, WorkerLostError):
        run_id = _run_of(args, kwargs)
        if run_id is None:
            return  # the message names no run; the task's result and the log say so
        if isinstance(exception, TimeLimitExceeded) and ledger.release_if_progressed(run_id, owner=task_id):
            return  # the soft limit did not interrupt the stage (in a long query, for example), but the stage has committed something
        stage = sender.name.rpartition(".")[2]
        dead_letters.bury_stage(run_id, stage, describe_error(exception), owner=task_id)


@task_retry.connect(weak=False, dispatch_uid="etl_tasks.keep_lease")
def extend_lease_over_countdown(sender: Task, request: Any, reason: Any = None, **_: object) -> None:
    if reason is None:
        return  # Celery gives no reason if the worker ends before the task. No retry follows, and the run is sent again when its lease ends.
    if isinstance(sender, StageTask) and (run_id := _run_of(request.args, request.kwargs)) is not None:
        ledger.extend_lease(run_id, request.id, timedelta(seconds=_countdown(reason)))


def _run_of(args: Any, kwargs: Any) -> int | None:
    """Return the id of the run that a stage's message names; None if it names none."""
    named = args[0] if args else (kwargs or {}).get("run_id")
    return named if is_id(named) else None


def is_id(value: object) -> bool:
    """Return whether the value may be the id of a row. Django would take 7.9, "7" and True for ids, too."""
    return type(value) is int and 0 < value < 2**63


def _countdown(reason: Any) -> float:
    when = getattr(reason, "when", None)
    return float(when) if isinstance(when, int | float) else settings.ETL_LONGEST_COUNTDOWN_SECONDS
