"""delete_source NAME [--yes]: delete a source and everything that was collected from it, and compute the service's metrics again."""

from etl_tasks.management.deletion_command import DeletionCommand
from etl_tasks.management.source_arguments import source_named
from etl_tasks.models import Source


class Command(DeletionCommand):
    help = (
        "Print what was collected of a source. With --yes, delete the source and all of that, and compute the service's metrics again. "
        "Exit status: 0; 1 if a run is under way or the log store does not answer; 2 for wrong arguments."
    )

    def target(self, name: str) -> Source:
        return source_named(name)
