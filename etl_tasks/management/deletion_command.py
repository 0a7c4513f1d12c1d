"""The base class of delete_service and delete_source."""

from contextlib import nullcontext
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import translation
from django.utils.translation import gettext as _

from dora_metrics.management.arguments import add_json_argument
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
        add_json_argument(parser, "print what was or would be deleted as one JSON object")

    def target(self, name: str) -> deletion.Target:
        """Return the service or source to delete. Raises UsageError."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        target = self.target(options["name"])
        label = f"{target._meta.verbose_name} {target}"
        try:
            with translation.override("en") if options["json"] else nullcontext():  # the names are the JSON object's keys
                counts, kind = deletion.count_contents(target), str(target._meta.verbose_name)
            if not options["json"]:
                self.stdout.write(f"{label}: " + (", ".join(deletion.in_words(counts)) or _("nothing was collected of it")))
            if options["yes"]:
                deletion.begin(target)
                self._delete(target, label, total=sum(counts.values()))
        except deletion.Refused as exc:
            raise CommandError(str(exc), returncode=1) from exc
        except LogStoreUnavailable as exc:
            sentence = _("%(error)s Try again: the deletion continues where it stopped") % {"error": exc}
            raise CommandError(sentence, returncode=1) from exc
        if options["json"]:
            self.write_json({"kind": kind, "name": target.name, "contents": counts, "is_deleted": options["yes"]}, indent=None)
        elif options["yes"]:
            self.stdout.write(_("%(name)s is deleted") % {"name": label})
        else:
            self.stdout.write(_("nothing is deleted yet: add --yes; what is deleted cannot be brought back, but collected again"))

    def _delete(self, target: deletion.Target, label: str, *, total: int) -> None:
        with self.live_display() as display:
            item = display.add(_("deleting %s") % label, total=max(total, 1))
            for count in deletion.delete_in_batches(target):
                item.advance(count)
