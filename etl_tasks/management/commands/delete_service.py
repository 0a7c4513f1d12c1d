"""delete_service NAME [--yes]: a service with its sources and all that was collected of them."""

from dora_metrics.models import Service
from etl_tasks.management.deletion_command import DeletionCommand


class Command(DeletionCommand):
    help = (
        "Say what was collected of a service, and with --yes delete it with all of that. Exit status 0; 1 while a run is under way; 2 for bad input."
    )

    def target(self, name: str) -> Service:
        [service] = self.services(name)
        return service
