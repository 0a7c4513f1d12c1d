"""Stages here and now, in this process and without a broker: for the stage commands and for replay."""

import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import OperationalError
from django.utils.timezone import now

from etl_tasks import dead_letters, ledger, stages
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import ETLRun, Source
from log_store.store import LogStoreUnavailable

STAGE_FUNCTIONS: dict[str, Callable[[ETLRun], None]] = {
    "extract": stages.extract,
    "transform": stages.transform,
    "load": stages.load,
}


LONGEST_WAIT_HERE_SECONDS = 120.0  # a command waits this long itself, and less than a lease


class Postponed(Exception):
    """The other side asks for patience: the run waits in the ledger. The message says for what, and until when."""

    def __init__(self, stage: str, reason: str, until: datetime) -> None:
        super().__init__(
            f"postponed until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({reason}): "
            f"the next etl_{stage} after that goes on where it stood, or a worker does"
        )


class StageFailed(Exception):
    """The stage failed and is buried; the message is the reason."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


def process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


def on_another_host(source: Source) -> str:
    return f"its files lie on {source.host}, and this host is {settings.ETL_HOST} (ETL_HOST): run the command there"


def run_stage(run_id: int, stage: str) -> None:
    """Run one stage, or bury it and raise StageFailed. A run that somebody else holds raises ledger.LeaseNotHeld.

    Where the other side names a time, wait for it if it is near, else postpone the run and raise Postponed.
    """
    for waits_left in reversed(range(settings.ETL_STAGE_RETRIES + 1)):
        try:
            _run_once(run_id, stage, may_wait=waits_left > 0)
        except _WaitHere as exc:
            time.sleep(exc.seconds)
        else:
            return


class _WaitHere(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def _run_once(run_id: int, stage: str, *, may_wait: bool) -> None:
    run = ledger.claim(run_id, stage, process_name())
    try:
        STAGE_FUNCTIONS[stage](run)
    except RetriableError as exc:
        if exc.retry_after is not None:
            if may_wait and not exc.postpone and exc.retry_after <= LONGEST_WAIT_HERE_SECONDS:
                raise _WaitHere(exc.retry_after) from exc
            until = now() + timedelta(seconds=exc.retry_after)
            ledger.postpone(run, until)
            raise Postponed(stage, str(exc), until) from exc
        reason = str(exc)
    except (FatalError, LogStoreUnavailable) as exc:
        reason = str(exc)
    except ledger.LeaseNotHeld:
        raise
    except OperationalError as exc:
        reason = f"the database failed: {exc}"
    except Exception as exc:  # noqa: BLE001  whatever it is, the run must not stay open until its lease runs out
        reason = f"{type(exc).__name__}: {exc}"
    else:
        return
    dead_letters.bury_stage(run_id, stage, reason, is_logged=False, attempt=run.attempt)  # the command prints it
    raise StageFailed(stage, reason)


def run_remaining_stages(run_id: int) -> None:
    """All stages from where the run stands."""
    run = ETLRun.objects.get(pk=run_id)
    for stage in ledger.STAGES[ledger.STAGES.index(run.stage) :]:
        run_stage(run_id, stage)
