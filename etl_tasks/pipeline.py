"""Start runs and send their chains of Celery tasks. In the Django shell: `run_source("billing")`, `run_all()`."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from celery import chain, current_app
from celery.exceptions import TimeoutError as CeleryTimeout
from celery.result import AsyncResult
from django.conf import settings
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from kombu import Connection
from kombu.exceptions import ChannelError
from kombu.exceptions import OperationalError as BrokerError

from dora_metrics.models import Service
from etl_tasks import ledger, tasks
from etl_tasks.crash_points import crash_points
from etl_tasks.fault_isolation import for_each, isolated
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources.adapter import Check
from etl_tasks.sources.registry import check, kinds, quiet_sources, reads_files, survey_in_parts
from etl_tasks.tasks import extract, load, transform

logger = logging.getLogger(__name__)

CHECK_SECONDS = 15  # short, because a person waits for the answer in a browser
CHECK_INTERVAL_SECONDS = 0.2
ANSWER_SECONDS = 2.0  # how long the broker may take for an answer about its queues
SETTLED_A_MESSAGE = 25  # runs; each takes some ten milliseconds, and a survey has them in parts of at most 25
AFTER_QUIET = 3  # a priority: workers take such messages from Redis when no message without one is left in any of their queues
INSPECT_SECONDS = 2.0  # long enough, because the main process of a worker answers even while its child processes are busy


class SourceBusy(Exception):
    """No run was created, because the source is being deleted, has an active run, or already has a run for the requested night."""


class BrokerAway(Exception):
    """The broker cannot be reached."""


# --- sending --------------------------------------------------------------------------------------------------------


def send(run: ETLRun, *, priority: int | None = None) -> None:
    """Send a chain of the run's remaining stages, beginning with its current stage. A message contains only the id of the run.

    `priority`: that of the extract stage; the stages that follow have none, so that a run that has begun is finished first.

    Each run has its own chain. The chains are not joined by a Celery chord: if a message is delivered twice, the task that should follow
    the chord may never run.
    """
    with crash_points("pipeline.send"):
        match run.stage:
            case ETLRun.Stage.EXTRACT:
                of_extract = {"queue": queue_of(run), "priority": priority}  # apply_async passes them to the first task only
                chain(extract.s(run.pk), transform.s(), load.s()).apply_async(**of_extract)
            case ETLRun.Stage.TRANSFORM:
                chain(transform.s(run.pk), load.s()).apply_async()
            case ETLRun.Stage.LOAD:
                load.s(run.pk).apply_async()
            case unknown:
                raise ValueError(f"{run} is in a stage that this version does not know: {unknown}")


def queue_of(run: ETLRun) -> str:
    """Return the queue of the first task that `send` sends for the run. CELERY_TASK_ROUTES has the queues of transform and load."""
    return run.source.extract_queue if run.stage == ETLRun.Stage.EXTRACT else run.stage


def send_all(runs: Sequence[ETLRun], *, priorities: Mapping[int, int] | None = None) -> None:
    """Send the chains of the runs. If the broker cannot be reached, only log that; the sweeper sends the runs later.

    `priorities`: by the ids of runs; the others have none. Raises SomeFailed, for other errors, after all runs were tried.
    """
    try:
        for_each(runs, lambda run: send(run, priority=(priorities or {}).get(run.pk)), stop_at=(BrokerError, OSError))
    except (BrokerError, OSError):
        logger.exception("broker_away", extra={"runs": [run.pk for run in runs]})


def send_settled(run_ids: Sequence[int]) -> None:
    """Let workers end the runs, whose sources may be settled. If the broker cannot be reached, only log that; the sweeper sends the runs later."""
    try:
        for start in range(0, len(run_ids), SETTLED_A_MESSAGE):
            with crash_points("pipeline.send_settled"):
                current_app.send_task("etl.end_settled", [run_ids[start : start + SETTLED_A_MESSAGE]], ignore_result=True)
    except (BrokerError, OSError):
        logger.exception("broker_away", extra={"runs": list(run_ids)})


def send_deletion() -> None:
    """Ask a worker to continue the pending deletions. The message expires when the next sweep sends another."""
    with crash_points("pipeline.send_deletion"):
        tasks.delete.apply_async(expires=settings.ETL_SWEEP_SECONDS)


def send_recompute(service: Service) -> None:
    """Ask a worker to recompute all periods of the service from its stored facts, after the commit. Raises BrokerAway."""
    check_broker()
    transaction.on_commit(partial(_send_recompute, service.pk))


def _send_recompute(service_id: int) -> None:
    with crash_points("pipeline.send_recompute"):
        tasks.recompute.delay(service_id)


# --- starting runs --------------------------------------------------------------------------------------------------


def run_source(
    name: str,
    *,
    trigger: str = ETLRun.Trigger.SHELL,
    logical_date: date | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    is_full: bool = False,
) -> ETLRun:
    """Start a run of the source and return the run. Raises Source.DoesNotExist, SourceBusy.

    `logical_date`: the night of the run, if it has one. `since`: read everything since this time, even if the cursor is newer. `until`:
    backfill: read nothing after this time, and leave the cursors where they are. `is_full`: read as if there were no cursors.
    """
    source = Source.objects.get(name=name)
    if source.deletion_began_at:
        raise SourceBusy(_("%(source)s is being deleted") % {"source": name})
    options: dict[str, Any] = {}
    if since:
        options["since"] = since.isoformat()
    if until:
        options["until"] = until.isoformat()
    if is_full:
        options["full"] = True
    run = ledger.open_run(source, trigger=trigger, logical_date=logical_date, options=options)
    if run is None:
        busy = (
            _("%(source)s has a run under way, or its night %(night)s exists: see etl_status")
            if logical_date
            else _("%(source)s has a run under way: see etl_status")
        )
        raise SourceBusy(busy % {"source": name, "night": logical_date})
    # If this process is killed after the commit and before the sending, the sweeper sends the run later.
    transaction.on_commit(partial(send_all, [run]))
    return run


def run_all(*, trigger: str = ETLRun.Trigger.SHELL) -> list[ETLRun]:
    """Start a run of every enabled source that has no active run, and return the new runs. Raises SomeFailed after all sources were tried."""
    runs: list[ETLRun] = []

    def start(name: str) -> None:
        with suppress(SourceBusy):
            runs.append(run_source(name, trigger=trigger))

    for_each(list(Source.objects.filter(is_enabled=True).values_list("name", flat=True)), start)
    return runs


def open_night(night: date, *, created_before: datetime | None = None) -> list[ETLRun]:
    """Start a run for every enabled source that has no run of this night and no active run, and return the new runs.

    `created_before`: leave out sources that were created later. Raises SomeFailed after all sources were tried.
    """
    # The query leaves out sources that have a run, because each failed insert would use up an id.
    missing = Source.objects.filter(is_enabled=True, active_run=None).exclude(runs__logical_date=night)
    if created_before:
        missing = missing.filter(created_at__lt=created_before)
    chosen = missing.select_related("service", "facts_repository__service")  # what a survey reads of each source
    return _open_and_send(list(chosen), trigger=ETLRun.Trigger.BEAT, logical_date=night)


def open_between_nights(sources: Sequence[Source]) -> list[ETLRun]:
    """Start a run of each source that has no active run, and return the new runs. Raises SomeFailed after all sources were tried."""
    return _open_and_send(sources, trigger=ETLRun.Trigger.INTERVAL)


def _open_and_send(sources: Sequence[Source], *, trigger: str, logical_date: date | None = None) -> list[ETLRun]:
    runs: list[ETLRun] = []

    def open_run(source: Source) -> None:
        if run := ledger.open_run(source, trigger=trigger, logical_date=logical_date):
            runs.append(run)

    try:
        # All runs are stored before any source is surveyed: whatever happens afterwards, the sweeper sends them.
        for_each(sources, open_run)
    finally:
        for_each(dict.fromkeys([*kinds(), *(run.source.kind for run in runs)]), partial(_survey_and_send, runs))
    return runs


def _survey_and_send(opened: Sequence[ETLRun], kind: str) -> None:
    """Survey the sources of one kind, and send their runs, which are among `opened`.

    A survey finds out with few requests what is new in all of the sources. If it fails, each run finds that out itself. The runs of sources that
    may be settled are sent together (settled_tasks.py), and those of each part of the survey before the next part is surveyed, so that workers
    are not idle meanwhile. Other quiet sources, which seem to have nothing new, are sent first and without a priority: they need not wait for the
    sources of any kind that have much to read.
    """
    runs = {run.source_id: run for run in opened if run.source.kind == kind}
    quiet: dict[int, bool] = {}
    with isolated(f"the survey of {kind} sources"):
        for results in survey_in_parts(kind, [run.source for run in runs.values()]):
            for source_id, result in results.items():
                _store_news(runs[source_id], result)
            quiet |= _send_settled(kind, [runs[source_id] for source_id in results], results)
        quiet |= _send_settled(kind, [run for run in runs.values() if "news" not in run.options], {})
    others = sorted((run for run in runs.values() if not quiet.get(run.source_id)), key=lambda run: run.source_id not in quiet)
    transaction.on_commit(partial(send_all, others, priorities={run.pk: AFTER_QUIET for run in others if run.source_id not in quiet}))


def _store_news(run: ETLRun, survey_result: dict[str, Any]) -> None:
    run.options["news"] = survey_result
    with crash_points("pipeline.survey"):
        ETLRun.objects.filter(pk=run.pk, attempt=0).update(options=run.options)


def _send_settled(kind: str, runs: Sequence[ETLRun], news: Mapping[int, Mapping[str, Any]]) -> dict[int, bool]:
    """Send those of the runs whose sources may be settled. Return what `quiet_sources` returns for the sources of all of them."""
    quiet = quiet_sources(kind, [run.source for run in runs], news)
    settled = [run.pk for run in runs if quiet.get(run.source_id)]
    transaction.on_commit(partial(send_settled, settled), robust=True)  # an error here must not keep the others from being sent
    return quiet


def local_today() -> date:
    """Return today's date in ETL_TIME_ZONE: the logical date of a night that begins now."""
    return now().astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date()


# --- asking the broker and the workers ------------------------------------------------------------------------------


def check_broker() -> None:
    """Raise BrokerAway within seconds if the broker cannot be reached; Celery itself would try for two minutes."""
    try:
        with current_app.connection_for_write(connect_timeout=2) as broker:
            broker.ensure_connection(max_retries=1, timeout=2)
    except (BrokerError, OSError) as exc:
        raise BrokerAway(_("the broker cannot be reached: check CELERY_BROKER_URL and that Redis runs")) from exc


@contextmanager
def _new_connection() -> Iterator[Connection]:
    """Connect to the broker. Raises BrokerAway if that fails, or if the connection breaks in the block.

    The connections that Celery keeps are not used, because they may be broken: Redis closes them when it restarts.
    """
    # A shorter timeout than that of the workers, because a person or a monitor waits for the answer.
    broker = current_app.connection_for_write(connect_timeout=2, transport_options={"socket_timeout": ANSWER_SECONDS})
    try:
        with broker:
            broker.ensure_connection(max_retries=1, timeout=2)
            yield broker
    except (BrokerError, OSError, *broker.connection_errors, *broker.channel_errors) as exc:
        raise BrokerAway(_("the broker does not answer: check CELERY_BROKER_URL and that Redis runs")) from exc


def queue_lengths(queues: Iterable[str]) -> dict[str, int]:
    """Return how many messages wait in each of the queues. Raises BrokerAway."""
    with _new_connection() as broker:
        channel = broker.default_channel
        return {name: _length(channel, name) for name in queues}


def _length(channel: Any, queue: str) -> int:
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:  # Redis does not know a queue that is empty
        return 0


def served_queues() -> set[str]:
    """Return the names of the queues from which workers take messages. Raises BrokerAway."""
    with _new_connection() as broker:
        answers = current_app.control.inspect(timeout=INSPECT_SECONDS, connection=broker).active_queues() or {}
    return {queue["name"] for queues in answers.values() for queue in queues}


def check_sources(sources: Sequence[Source]) -> list[Check]:
    """Try each source without storing anything, and return the results in the same order.

    A source that reads files is tried by a worker that takes the source's queue, because this worker can see the files. All other sources
    are tried in this process.
    """
    language = get_language() or "en"
    pending: dict[int, AsyncResult] = {}
    broker_error = ""
    if with_files := [source for source in sources if reads_files(source)]:
        try:
            check_broker()
        except BrokerAway as exc:
            broker_error = str(exc)
        else:
            pending = {
                source.pk: tasks.check.apply_async((source.pk, language), queue=source.extract_queue, expires=CHECK_SECONDS) for source in with_files
            }
    deadline = time.monotonic() + CHECK_SECONDS
    return [_worker_check(source, pending[source.pk], deadline) if source.pk in pending else _local_check(source, broker_error) for source in sources]


def preview_logs(source: Source) -> dict[str, Any]:
    """Return what the source, which need not be stored, would read from its files: the value of sources/logs/preview.py.

    A worker that takes the source's queue reads the files, because this process may not see them. Its result is deleted at once, as it has
    log lines.
    """
    try:
        check_broker()
        settings_of_lines = (source.path, source.log_format, source.log_pattern, source.log_time_zone, get_language() or "en")
        sent = tasks.preview.apply_async(settings_of_lines, queue=source.extract_queue, expires=CHECK_SECONDS)
    except BrokerAway as exc:
        return {"problem": _("No worker could be asked: %(error)s") % {"error": exc}}
    try:
        return dict(sent.get(timeout=CHECK_SECONDS, interval=CHECK_INTERVAL_SECONDS))
    except CeleryTimeout:
        return {"problem": _no_answer(source.extract_queue)}
    except Exception as exc:  # noqa: BLE001  any error of the worker is the answer
        return {"problem": _("The worker could not look: %(error)s") % {"error": exc}}
    finally:
        sent.forget()


def _no_answer(queue: str) -> str:
    return _(
        "No worker that takes the queue %(queue)s has answered within %(seconds)s seconds, "
        "and only such a worker sees the files: start one, or try again when it has time."
    ) % {"queue": queue, "seconds": CHECK_SECONDS}


def _worker_check(source: Source, result: AsyncResult, deadline: float) -> Check:
    try:
        return Check(**result.get(timeout=max(deadline - time.monotonic(), 0.1), interval=CHECK_INTERVAL_SECONDS))
    except CeleryTimeout:
        return Check(can_be_read=False, sentences=[_no_answer(source.extract_queue)])
    except Exception as exc:  # noqa: BLE001  any error of the worker is the answer
        return Check(can_be_read=False, sentences=[_("The worker could not look: %(error)s") % {"error": exc}])


def _local_check(source: Source, broker_error: str) -> Check:
    if not reads_files(source):
        return check(source)
    if not source.is_here:
        elsewhere = _("No worker could be asked (%(error)s), and the files lie on %(host)s.") % {"error": broker_error, "host": source.host}
        return Check(can_be_read=False, sentences=[elsewhere])
    found = check(source)
    here = _("No worker could be asked (%(error)s); as this process sees the files:") % {"error": broker_error}
    return Check(can_be_read=found.can_be_read, sentences=[here, *found.sentences])
