"""etl_load: load what etl_transform has cleaned, and compute the metrics."""

from collections.abc import Iterator

from etl_tasks import waiting_events
from etl_tasks.management.stage_command import StageCommand
from etl_tasks.models import ETLRun
from log_store.store import LogStoreUnavailable


class Command(StageCommand):
    help = (
        "Load the cleaned records of every run that waits for load, and compute the metrics, in this process, without a broker. "
        "Then load the log events of earlier runs that wait because the log store was away. "
        "Exit status: 0; 3 if a run failed or the log store is away; 2 for wrong arguments."
    )
    stage = ETLRun.Stage.LOAD

    def resumed_runs(self) -> Iterator[ETLRun]:
        """Yield the runs whose log events wait for the log store, if it answers."""
        try:
            tried: set[int] = set()
            # A source has one active run at a time, so its next one can be resumed only then. The last call ends the alert.
            while resumed := waiting_events.resume_runs(besides=tried):
                tried |= {run.pk for run in resumed}
                yield from resumed
        except LogStoreUnavailable as exc:
            if not self.failures:  # else the runs of this call have said it
                self.failures.append(str(exc))
