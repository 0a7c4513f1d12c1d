"""Run stages in this process, without a broker: for the stage commands and for replay."""

import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import OperationalError
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import override

from dora_metrics.display import instant_text
from etl_tasks import dead_letters, ledger, stages
from etl_tasks.errors import RetriableError, describe_error, message_of, storable
from etl_tasks.models import ETLRun, Source
from log_store.store import LogStoreUnavailable

STAGE_FUNCTIONS: dict[str, Callable[[ETLRun], None]] = {
    "extract": stages.extract,
    "transform": stages.transform,
    "load": stages.load,
}


LONGEST_WAIT_SECONDS = 120.0  # the longest sleep before another try; ETL_LEASE_SECONDS is longer by default, so the run stays ours


class Postponed(Exception):
    """The run was postponed in the ledger, because the source asked for a wait. The message says why and until when."""

    def __init__(self, stage: str, reason: str, until: datetime) -> None:
        sentence = _("postponed until %(time)s (%(reason)s): the next etl_%(stage)s after that goes on where it stood, or a worker does")
        super().__init__(sentence % {"time": instant_text(until), "reason": reason, "stage": stage})


class Interrupted(Exception):
    """A server failed after the stage had committed something. The run has not failed: the next call continues it. The message is the reason."""

    def __init__(self, stage: str, reason: str) -> None:
        sentence = _("interrupted (%(reason)s): the next etl_%(stage)s goes on where it stood, or a worker does")
        super().__init__(sentence % {"reason": reason, "stage": stage})


class EventsWait(Exception):
    """The run has ended as partial, because its log events wait for the log store. The message is the reason."""


class StageFailed(Exception):
    """The stage failed, and its dead letter is written. The message is the reason."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


def process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


def on_another_host(source: Source) -> str:
    """Return the sentence that says why the source cannot be read on this host."""
    sentence = _("its files lie on %(host)s, and this host is %(here)s (ETL_HOST): run the command there")
    return sentence % {"host": source.host, "here": settings.ETL_HOST}


def run_stage(run_id: int, stage: str) -> None:
    """Run one stage of the run.

    If the source asks for a wait of at most LONGEST_WAIT_SECONDS, sleep and try again, at most ETL_STAGE_RETRIES times. Raises Postponed
    if it asks for a longer wait or still asks after the last try, Interrupted if a server fails after the stage had committed something,
    EventsWait if the log store is away, StageFailed if the stage fails, and ledger.LeaseNotHeld if another holder has the run.
    """
    for waits_left in reversed(range(settings.ETL_STAGE_RETRIES + 1)):
        try:
            _run_once(run_id, stage, may_wait=waits_left > 0)
        except _ShortWait as exc:
            time.sleep(exc.seconds)
        else:
            return


class _ShortWait(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def _run_once(run_id: int, stage: str, *, may_wait: bool) -> None:
    run = ledger.claim(run_id, stage, process_name())
    try:
        with override("en"):  # whatever is stored is in English
            _run_with_log_store(run, stage)
    except RetriableError as exc:
        if exc.retry_after is not None:
            if may_wait and not exc.postpone and exc.retry_after <= LONGEST_WAIT_SECONDS:
                raise _ShortWait(exc.retry_after) from exc
            until = now() + timedelta(seconds=exc.retry_after)
            ledger.postpone(run, until)
            raise Postponed(stage, str(exc), until) from exc
        reason = describe_error(exc)
        _release_if_progressed(run, stage, reason)
    except (ledger.LeaseNotHeld, EventsWait, KeyboardInterrupt):
        raise
    except OperationalError as exc:
        reason = f"the database failed: {storable(message_of(exc))}"
        _release_if_progressed(run, stage, reason)
    except BaseException as exc:  # noqa: BLE001  any other error must also end the run, which otherwise stays active until its lease ends
        reason = describe_error(exc)
    else:
        return
    dead_letters.bury_stage(run_id, stage, reason, is_logged=False, attempt=run.attempt)  # the command prints the error
    raise StageFailed(stage, reason)


def _release_if_progressed(run: ETLRun, stage: str, reason: str) -> None:
    """Raise Interrupted if this attempt has committed something. Otherwise a source that often fails would begin anew each night."""
    if ledger.release_if_progressed(run.pk, attempt=run.attempt):
        raise Interrupted(stage, reason)


def _run_with_log_store(run: ETLRun, stage: str) -> None:
    """Run the stage. If the log store is away, end the run without it, and raise EventsWait."""
    try:
        STAGE_FUNCTIONS[stage](run)
    except LogStoreUnavailable as exc:
        if stage != ETLRun.Stage.LOAD:
            raise
        stages.load_without_log_store(run, str(exc))
        raise EventsWait(str(exc)) from exc


def run_remaining_stages(run_id: int) -> None:
    """Run the current stage of the run and all later stages. Raises what `run_stage` raises."""
    run = ETLRun.objects.get(pk=run_id)
    for stage in ledger.STAGES[ledger.STAGES.index(run.stage) :]:
        run_stage(run_id, stage)
