"""What delete_service and delete_source share."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from dora_metrics.management.base_command import BaseCommand
from etl_tasks import deletion
from log_store.store import LogStoreUnavailable


class DeletionCommand(BaseCommand):
    """Says what would go; with --yes it goes, here and now. One that was killed is gone on with by the next call, or by a worker."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--yes", action="store_true", help="delete it; without this nothing is deleted")

    def target(self, name: str) -> deletion.Target:
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        target = self.target(options["name"])
        what = f"{target._meta.verbose_name} {target}"
        try:
            counts = deletion.count_contents(target)
            self.stdout.write(f"{what}: " + (", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing was collected of it"))
            if not options["yes"]:
                self.stdout.write("nothing is deleted yet: add --yes; what is deleted cannot be brought back, but collected again")
                return
            deletion.begin(target)
            deletion.resume(target)
        except deletion.Refused as exc:
            raise CommandError(str(exc), returncode=1) from exc
        except LogStoreUnavailable as exc:
            raise CommandError(f"{exc} Try again: the deletion goes on where it stood", returncode=1) from exc
        self.stdout.write(f"{what} is deleted")
