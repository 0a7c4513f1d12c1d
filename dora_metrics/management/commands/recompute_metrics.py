"""recompute_metrics: compute the metrics again from the stored facts, without fetching anything."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from dora_metrics.derivation.recompute import recompute_periods
from dora_metrics.management.arguments import add_period_arguments, check_order
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

    def handle(self, *args: Any, **options: Any) -> None:
        check_order(options["start"], options["end"])
        for service in self.services(options["service"]):
            with transaction.atomic():
                changed = recompute_periods(service, start=options["start"], end=options["end"])
            self.stdout.write(f"{service}: {changed} values changed")
