"""etl_load: load what etl_transform has cleaned, and compute the metrics."""

from etl_tasks.management.stage_command import StageCommand
from etl_tasks.models import ETLRun


class Command(StageCommand):
    help = "Load every run that waits for it, here and now. Exit status 0, or 3 if one failed."
    stage = ETLRun.Stage.LOAD
