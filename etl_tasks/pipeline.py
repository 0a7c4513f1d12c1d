"""Build the chain and send it. From the Django shell: `run_source("billing")`, `run_all()`."""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
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
from kombu.exceptions import OperationalError as BrokerError

from etl_tasks import ledger, tasks
from etl_tasks.fault_isolation import for_each, isolated
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources.adapter import Check
from etl_tasks.sources.registry import adapters, check, reads_files, survey

logger = logging.getLogger(__name__)

CHECK_SECONDS = 15  # somebody waits in a browser
CHECK_INTERVAL_SECONDS = 0.2
INSPECT_SECONDS = 2.0  # a worker's main process answers, also while its children are busy


class SourceBusy(Exception):
    """The source has a run under way, or that night's run exists."""


class BrokerAway(Exception):
    """No message can be sent."""


def check_broker() -> None:
    """Raise BrokerAway within seconds, rather than after the two minutes of Celery's own patience."""
    try:
        with current_app.connection_for_write(connect_timeout=2) as broker:
            broker.ensure_connection(max_retries=1, timeout=2)
    except (BrokerError, OSError) as exc:
        raise BrokerAway("the broker cannot be reached: check CELERY_BROKER_URL and that Redis runs") from exc


def served_queues() -> set[str]:
    """The queues that workers take. Raises BrokerAway."""
    check_broker()
    answers = current_app.control.inspect(timeout=INSPECT_SECONDS).active_queues() or {}
    return {queue["name"] for queues in answers.values() for queue in queues}


def check_sources(sources: Sequence[Source]) -> list[Check]:
    """Try each source without storing anything: from here, but files by a worker that would read them, for only it sees them."""
    asked: dict[int, AsyncResult] = {}
    broker = ""
    if with_files := [source for source in sources if reads_files(source)]:
        try:
            check_broker()
        except BrokerAway as exc:
            broker = str(exc)
        else:
            asked = {one.pk: tasks.check.apply_async((one.pk,), queue=one.extract_queue, expires=CHECK_SECONDS) for one in with_files}
    deadline = time.monotonic() + CHECK_SECONDS
    return [_answer(source, asked[source.pk], deadline) if source.pk in asked else _check_here(source, broker) for source in sources]


def _answer(source: Source, asked: AsyncResult, deadline: float) -> Check:
    try:
        return Check(**asked.get(timeout=max(deadline - time.monotonic(), 0.1), interval=CHECK_INTERVAL_SECONDS))
    except CeleryTimeout:
        sentence = (
            f"No worker that takes the queue {source.extract_queue} has answered within {CHECK_SECONDS} seconds, "
            "and only such a worker sees the files: start one, or try again when it has time."
        )
        return Check(can_be_read=False, sentences=[sentence])
    except Exception as exc:  # noqa: BLE001  whatever the worker met, that is the answer
        return Check(can_be_read=False, sentences=[f"The worker could not look: {exc}"])


def _check_here(source: Source, broker: str) -> Check:
    if not reads_files(source):
        return check(source)
    no_worker = f"No worker could be asked ({broker})"
    if not source.is_here:
        return Check(can_be_read=False, sentences=[f"{no_worker}, and the files lie on {source.host}."])
    found = check(source)
    return Check(can_be_read=found.can_be_read, sentences=[f"{no_worker}; as this process sees the files:", *found.sentences])


def send(run: ETLRun) -> None:
    """The chain from the stage where the run stands; at first chain(extract.s(run_id), transform.s(), load.s()).

    Messages carry the run's id only. One chain a source: a chord would lose its body on a duplicate delivery.
    """
    steps = {"extract": tasks.extract, "transform": tasks.transform, "load": tasks.load}
    first, *rest = ledger.STAGES[ledger.STAGES.index(run.stage) :]
    begin = steps[first].s(run.pk)
    if first == ETLRun.Stage.EXTRACT:
        begin.set(queue=run.source.extract_queue)
    chain(begin, *[steps[name].s() for name in rest]).apply_async()


def send_all(runs: Sequence[ETLRun]) -> None:
    """Where the broker is away, the sweeper sends them later: the ledger has the runs. Raises SomeFailed once the others have been sent."""
    try:
        for_each(runs, send, stop_at=(BrokerError, OSError))
    except (BrokerError, OSError):
        logger.exception("broker_away", extra={"runs": [run.pk for run in runs]})


def run_source(
    name: str,
    *,
    trigger: str = ETLRun.Trigger.SHELL,
    logical_date: date | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    is_full: bool = False,
) -> ETLRun:
    """Start one source's chain and return its run. Raises Source.DoesNotExist, SourceBusy.

    `since` reads back to there even where the cursor is newer. With `until` it is a backfill: the cursors stay.
    """
    source = Source.objects.get(name=name)
    if source.deletion_began_at:
        raise SourceBusy(f"{name} is being deleted")
    options: dict[str, Any] = {}
    if since:
        options["since"] = since.isoformat()
    if until:
        options["until"] = until.isoformat()
    if is_full:
        options["full"] = True
    run = ledger.open_run(source, trigger=trigger, logical_date=logical_date, options=options)
    if run is None:
        raise SourceBusy(f"{name} has a run under way, or its night {logical_date} exists: see etl_status")
    # A crash between commit and sending loses the message only; the sweeper sends it again.
    transaction.on_commit(partial(send_all, [run]))
    return run


def run_all(*, trigger: str = ETLRun.Trigger.SHELL) -> list[ETLRun]:
    """Start every enabled source that has no run under way. Raises SomeFailed once the others have been started."""
    runs: list[ETLRun] = []

    def start(name: str) -> None:
        with suppress(SourceBusy):
            runs.append(run_source(name, trigger=trigger))

    for_each(list(Source.objects.filter(is_enabled=True).values_list("name", flat=True)), start)
    return runs


def open_night(night: date, *, created_before: datetime | None = None) -> list[ETLRun]:
    """Start the night's run of every enabled source that has none; run twice, it starts nothing twice.

    Raises SomeFailed once the others have been started.
    """
    # Looks first: an insert that fails would use up an id every time.
    missing = Source.objects.filter(is_enabled=True, active_run=None).exclude(runs__logical_date=night)
    if created_before:
        missing = missing.filter(created_at__lt=created_before)
    runs: list[ETLRun] = []

    def open_one(source: Source) -> None:
        if run := ledger.open_run(source, trigger=ETLRun.Trigger.BEAT, logical_date=night):
            runs.append(run)

    try:
        # All of them before anything is asked of anybody: whatever happens afterwards, the sweeper sends them.
        for_each(list(missing.select_related("service")), open_one)
    finally:
        for_each(dict.fromkeys([*adapters(), *(run.source.kind for run in runs)]), partial(_begin, runs))
    return runs


def _begin(opened: Sequence[ETLRun], kind: str) -> None:
    """Survey the runs' sources and send the runs, surveyed or not: a source that was not surveyed finds out by itself."""
    runs = [run for run in opened if run.source.kind == kind]
    with isolated(f"the survey of {kind} sources"):
        news = survey(kind, [run.source for run in runs])
        for run in runs:
            if run.source_id in news:
                run.options["news"] = news[run.source_id]
                ETLRun.objects.filter(pk=run.pk, attempt=0).update(options=run.options)
    transaction.on_commit(partial(send_all, runs))


def send_deletion() -> None:
    """Let a worker go on with what is being deleted. A message that nobody takes until the next sweep is one too many."""
    tasks.delete.apply_async(expires=settings.ETL_SWEEP_SECONDS)


def local_today() -> date:
    """The date that a night beginning now belongs to, in the business's zone."""
    return now().astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date()
