"""Log events that wait for the log store, because it was away when their run was to load them. They wait in the clean batches of their runs.

A run with such events has ended as partial. When the log store answers again, the run becomes active again and loads them. There is one alert
when events begin to wait, and one when none waits any more.
"""

from collections.abc import Collection

from etl_tasks import ledger
from etl_tasks.fault_isolation import begin_fault, end_fault
from etl_tasks.models import ETLRun
from log_store.opening import open_log_store
from log_store.store import LogStoreUnavailable

FAULT = "the log store"  # the name by which people are alerted


def begin_alert(reason: str) -> None:
    begin_fault(FAULT, f"{reason}; log events wait and are loaded when it is back")


def resume_runs(*, besides: Collection[int] = ()) -> list[ETLRun]:
    """Make the runs active again whose log events wait, and return them. Raises LogStoreUnavailable.

    A run stays as it is while another run of its source is active. `besides`: ids of runs to leave as they are.
    """
    waiting = ETLRun.with_waiting_events()
    ended = list(waiting.filter(status=ETLRun.Status.PARTIAL).exclude(pk__in=besides).select_related("source").order_by("pk"))
    if ended:
        try:
            open_log_store().ping()
        except LogStoreUnavailable as exc:
            begin_alert(str(exc))
            raise
    elif not waiting.exists():
        end_fault(FAULT)
    return [run for run in ended if ledger.resume(run)]
