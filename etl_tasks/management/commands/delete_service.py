"""delete_service NAME [--yes]: delete a service with its sources and everything that was collected from them."""

from dora_metrics.models import Service
from etl_tasks.management.deletion_command import DeletionCommand


class Command(DeletionCommand):
    help = (
        "Print what was collected of a service. With --yes, delete the service, its sources and all of that. "
        "Exit status: 0; 1 if a run is under way or the log store does not answer; 2 for wrong arguments."
    )

    def target(self, name: str) -> Service:
        [service] = self.services(name)
        return service
