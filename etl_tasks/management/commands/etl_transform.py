"""etl_transform: validate and clean what etl_extract has staged."""

from etl_tasks.management.stage_command import StageCommand
from etl_tasks.models import ETLRun


class Command(StageCommand):
    help = (
        "Validate and clean the staged pages of every run that waits for transform, in this process, without a broker. "
        "Exit status: 0, or 2 if a run failed or an argument is wrong."
    )
    stage = ETLRun.Stage.TRANSFORM
