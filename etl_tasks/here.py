"""Stages here and now, in this process and without a broker: for the stage commands and for replay."""

import os
import socket
from collections.abc import Callable

from django.db import OperationalError

from etl_tasks import dead_letters, ledger, stages
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import ETLRun

STAGE_FUNCTIONS: dict[str, Callable[[ETLRun], None]] = {
    "extract": stages.extract,
    "transform": stages.transform,
    "load": stages.load,
}


class StageFailed(Exception):
    """The stage failed and is buried; the message is the reason."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage


def process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


def run_stage_here(run_id: int, stage: str) -> None:
    """Run one stage, or bury it and raise StageFailed. A run that somebody else holds raises ledger.NotMine."""
    run = ledger.claim(run_id, stage, process_name())
    try:
        STAGE_FUNCTIONS[stage](run)
    except (RetriableError, FatalError) as exc:
        reason = str(exc)
    except ledger.NotMine:
        raise
    except OperationalError as exc:
        reason = f"the database failed: {exc}"
    except Exception as exc:  # noqa: BLE001  whatever it is, the run must not stay open until its lease runs out
        reason = f"{type(exc).__name__}: {exc}"
    else:
        return
    dead_letters.bury_stage(run_id, stage, reason, is_logged=False, attempt=run.attempt)  # the command prints it
    raise StageFailed(stage, reason)


def run_rest_here(run_id: int) -> None:
    """All stages from where the run stands."""
    run = ETLRun.objects.get(pk=run_id)
    for stage in ledger.STAGES[ledger.STAGES.index(run.stage) :]:
        run_stage_here(run_id, stage)
