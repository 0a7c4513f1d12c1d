"""etl_load: load what etl_transform has cleaned, and compute the metrics."""

from etl_tasks.management.stage_command import StageCommand
from etl_tasks.models import ETLRun


class Command(StageCommand):
    help = (
        "Load the cleaned records of every run that waits for load, and compute the metrics, in this process, without a broker. "
        "Exit status: 0; 3 if a run failed; 2 for wrong arguments."
    )
    stage = ETLRun.Stage.LOAD
