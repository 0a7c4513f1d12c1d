"""delete_source NAME [--yes]: a source and all that was collected of it; the service's metrics are computed again."""

from dora_metrics.management.base_command import UsageError
from etl_tasks.management.deletion_command import DeletionCommand
from etl_tasks.models import Source


class Command(DeletionCommand):
    help = (
        "Say what was collected of a source, and with --yes delete it with all of that. Exit status 0; 1 while a run is under way; 2 for bad input."
    )

    def target(self, name: str) -> Source:
        source = Source.objects.select_related("service").filter(name=name).first()
        if source is None:
            raise UsageError(f"there is no source {name!r}: `etl_status` lists them")
        return source
