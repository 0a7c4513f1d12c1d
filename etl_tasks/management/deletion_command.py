"""The base class of delete_service and delete_source."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from dora_metrics.management.base_command import BaseCommand
from etl_tasks import deletion
from log_store.store import LogStoreUnavailable


class DeletionCommand(BaseCommand):
    """The base of both commands: print what would be deleted and, with --yes, delete it in this process.

    A deletion that was interrupted continues with the next call, or in a worker.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="name of the service or source")
        parser.add_argument("--yes", action="store_true", help="delete it; without --yes, nothing is deleted")

    def target(self, name: str) -> deletion.Target:
        """Return the service or source to delete. Raises UsageError."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        target = self.target(options["name"])
        label = f"{target._meta.verbose_name} {target}"
        try:
            counts = deletion.count_contents(target)
            self.stdout.write(f"{label}: " + (", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing was collected of it"))
            if not options["yes"]:
                self.stdout.write("nothing is deleted yet: add --yes; what is deleted cannot be brought back, but collected again")
                return
            deletion.begin(target)
            deletion.resume(target)
        except deletion.Refused as exc:
            raise CommandError(str(exc), returncode=1) from exc
        except LogStoreUnavailable as exc:
            raise CommandError(f"{exc} Try again: the deletion continues where it stopped", returncode=1) from exc
        self.stdout.write(f"{label} is deleted")
