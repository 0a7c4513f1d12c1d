"""etl_transform: validate and clean what etl_extract has staged."""

from etl_tasks.management.stage_command import StageCommand
from etl_tasks.models import ETLRun


class Command(StageCommand):
    help = "Transform every run that waits for it, here and now. Exit status 0, or 2 if one failed."
    stage = ETLRun.Stage.TRANSFORM
