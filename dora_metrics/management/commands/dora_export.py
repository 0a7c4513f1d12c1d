"""dora_export deployments|changes|incidents|metrics: the facts behind the metrics, one a line, in the shapes of the API."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import CommandParser

from dora_metrics import selectors
from dora_metrics.api import serializers
from dora_metrics.api.csv import csv_lines
from dora_metrics.calculators.deployments import PRODUCTION
from dora_metrics.management.arguments import Command as Base
from dora_metrics.management.arguments import Refusal, check_order, local_date
from dora_metrics.models import Service

KINDS = {"deployments": serializers.DEPLOYMENTS, "changes": serializers.CHANGES, "incidents": serializers.INCIDENTS}
FIND: Mapping[str, Callable[[selectors.Asked], Iterable[Any]]] = {
    "deployments": selectors.deployments,
    "changes": selectors.changes,
    "incidents": selectors.incidents,
}
SERVICES_AT_ONCE = 100


class Command(Base):
    help = "Write facts, or the metrics a period a line, to standard output. Exit status 0, or 2 for bad input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=[*KINDS, "metrics"])
        parser.add_argument("--service", metavar="NAME", help="default: all")
        parser.add_argument(
            "--from",
            dest="start",
            type=local_date,
            metavar="DATE",
            help="local date; default: everything, and for metrics the start of the 12th whole period before today",
        )
        parser.add_argument("--to", dest="end", type=local_date, metavar="DATE", help="local date, exclusive; default: everything, for metrics now")
        parser.add_argument("--by", choices=["day", "week", "month"], help="of metrics; default: month")
        parser.add_argument("--environment", metavar="NAME", help="of metrics; default: production")
        parser.add_argument("--format", choices=["jsonl", "csv"], default="jsonl")

    def handle(self, *args: Any, **options: Any) -> None:
        name, start, end = options["service"], options["start"], options["end"]
        check_order(start, end)
        [service] = [None] if name is None else self.services(name)
        what = options["what"]
        if what == "metrics":
            found, columns = self._metrics(service, options), serializers.PERIOD_COLUMNS
        elif options["by"] is not None or options["environment"] is not None:
            raise Refusal(f"--by and --environment are of metrics: {what} have none")
        else:
            kind = KINDS[what]
            asked = selectors.Asked(service=service, start=start, end=end)
            found, columns = (kind.row(one) for one in FIND[what](asked)), kind.columns
        if options["format"] == "csv":
            self.write_csv(csv_lines(found, columns))
            return
        for row in found:
            self.write_json(row, indent=None)

    def _metrics(self, service: Service | None, options: dict[str, Any]) -> Iterator[serializers.Row]:
        now = selectors.utc_now()
        today = now.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date()
        by, environment = options["by"] or "month", PRODUCTION if options["environment"] is None else options["environment"]
        start, end = options["start"] or selectors.default_start(today, by), options["end"] or selectors.default_end(today, options["start"])
        check_order(start, end)
        if not selectors.begun_periods(start, end, by, today=today):
            self.stderr.write(f"{start} has not begun: today is {today} ({settings.ETL_TIME_ZONE})")
        if environment == PRODUCTION:
            pages: Iterable[list[Service]] = selectors.services_by_name(service).pages(SERVICES_AT_ONCE)
        else:
            pages = [[one] for one in self.services_deployed_to(environment, options["service"])]

        def reports() -> Iterator[serializers.Row]:
            for services in pages:
                yield from selectors.reports(
                    services, start=start, end=end, by=by, environment=environment, time_zone=settings.ETL_TIME_ZONE, now=now
                )

        return serializers.periods(reports())
