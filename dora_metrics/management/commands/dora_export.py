"""dora_export: write the facts behind the metrics, or the metrics, with the same fields as the API."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from dora_metrics import selectors
from dora_metrics.api import serializers
from dora_metrics.api.csv import csv_lines
from dora_metrics.calculators.periods import KINDS as PERIOD_KINDS
from dora_metrics.calculators.periods import RANGE, local_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.management.arguments import add_period_arguments, check_order
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import Service
from dora_metrics.period_input import DEFAULT_END, DEFAULT_START, report_range

KINDS = {"deployments": serializers.DEPLOYMENTS, "changes": serializers.CHANGES, "incidents": serializers.INCIDENTS}
FIND: Mapping[str, Callable[[selectors.FactFilter], Iterable[Any]]] = {
    "deployments": selectors.deployments,
    "changes": selectors.changes,
    "incidents": selectors.incidents,
}
SERVICES_AT_ONCE = 100


class Command(BaseCommand):
    help = (
        "Write deployments, changes or incidents, one per line, or the metrics, one period per line, to standard output. "
        "Exit status: 0, or 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=[*KINDS, "metrics"], help="what to write")
        parser.add_argument("--service", metavar="NAME", help="default: all services")
        add_period_arguments(
            parser,
            start_help=f"local date; default: no limit, and for metrics {DEFAULT_START}",
            end_help=f"local date, exclusive; default: no limit, and for metrics {DEFAULT_END}",
        )
        parser.add_argument("--by", choices=[*PERIOD_KINDS, RANGE], help="length of a period, for metrics only; default: month")
        parser.add_argument("--environment", metavar="NAME", help="for metrics only; default: production")
        parser.add_argument("--format", choices=["jsonl", "csv"], default="jsonl", help="jsonl is one JSON object per line; default: jsonl")

    def handle(self, *args: Any, **options: Any) -> None:
        name, start, end = options["service"], options["start"], options["end"]
        check_order(start, end)
        [service] = [None] if name is None else self.services(name)
        what = options["what"]
        if what == "metrics":
            rows, columns = self._metrics(service, options), serializers.PERIOD_COLUMNS
        elif options["by"] is not None or options["environment"] is not None:
            raise UsageError(_("--by and --environment are of metrics: %(what)s have none") % {"what": what})
        else:
            kind = KINDS[what]
            facts = FIND[what](selectors.FactFilter(service=service, start=start, end=end))
            rows, columns = (kind.row(fact) for fact in facts), kind.columns
        if options["format"] == "csv":
            self.write_csv(csv_lines(rows, columns))
            return
        for row in rows:
            self.write_json(row, indent=None)

    def _metrics(self, service: Service | None, options: dict[str, Any]) -> Iterator[serializers.Row]:
        now = timezone.now()
        today = local_date(now, settings.ETL_TIME_ZONE)
        by, environment = options["by"] or "month", PRODUCTION if options["environment"] is None else options["environment"]
        start, end = report_range(options["start"], options["end"], by=by, today=today)
        check_order(start, end)
        if not selectors.begun_periods(start, end, by, today=today):
            self.stderr.write(f"{start} has not begun: today is {today} ({settings.ETL_TIME_ZONE})")
        if environment == PRODUCTION and by != RANGE:
            pages: Iterable[list[Service]] = selectors.services_by_name(service).pages(SERVICES_AT_ONCE)
        else:
            # These metrics are not stored: they are computed now, for one service at a time.
            pages = [[service] for service in self.services_deployed_to(environment, options["service"])]

        def reports() -> Iterator[serializers.Row]:
            for services in pages:
                yield from selectors.reports(
                    services, start=start, end=end, by=by, environment=environment, time_zone=settings.ETL_TIME_ZONE, now=now
                )

        return serializers.periods(reports())
