"""recompute_metrics: compute the metrics again from the stored facts, without fetching anything."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dora_metrics.derivation.recompute import recompute_periods
from dora_metrics.management.arguments import add_json_argument, add_period_arguments, check_order
from dora_metrics.management.base_command import BaseCommand


class Command(BaseCommand):
    help = (
        "Compute the metrics again from the stored facts; nothing is fetched. The rows stay identical unless facts, settings or definitions "
        "have changed. Exit status: 0, or 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--service", metavar="NAME", help="default: all services")
        add_period_arguments(
            parser, start_help="only periods that end after this local date", end_help="only periods that begin before this local date"
        )
        add_json_argument(parser, "print a JSON list of the services, each with how many values changed")

    def handle(self, *args: Any, **options: Any) -> None:
        check_order(options["start"], options["end"])
        services, rows = self.services(options["service"]), []
        with self.live_display() as display:
            item = display.add(_("computing metrics"), total=len(services) or None)
            for service in services:
                item.update(note=service.name)
                with transaction.atomic():
                    changed = recompute_periods(service, start=options["start"], end=options["end"])
                item.advance()
                rows.append({"service": service.name, "changed": changed})
                if not options["json"]:
                    counted = ngettext("%(count)s value changed", "%(count)s values changed", changed) % {"count": changed}
                    self.stdout.write(f"{service}: {counted}")
        if options["json"]:
            self.write_json(rows, indent=None)
