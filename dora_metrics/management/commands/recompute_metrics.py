"""recompute_metrics: what follows from the stored facts, computed again; nothing is fetched."""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from dora_metrics.derivation.recompute import recompute_periods
from dora_metrics.management.arguments import Command as Base
from dora_metrics.management.arguments import check_order, local_date


class Command(Base):
    help = "Compute the metrics again from the stored facts: identical rows, unless facts, settings or definitions have changed. Exit status 0, or 2."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--service", metavar="NAME", help="default: all")
        parser.add_argument("--from", dest="start", type=local_date, metavar="DATE", help="only periods that end after this local date")
        parser.add_argument("--to", dest="end", type=local_date, metavar="DATE", help="only periods that begin before this local date")

    def handle(self, *args: Any, **options: Any) -> None:
        check_order(options["start"], options["end"])
        for service in self.services(options["service"]):
            with transaction.atomic():
                changed = recompute_periods(service, start=options["start"], end=options["end"])
            self.stdout.write(f"{service}: {changed} values changed")
