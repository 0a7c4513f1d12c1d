"""dora_report: print the five DORA metrics by day, week or month, or of one range of days."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from dora_metrics import selectors
from dora_metrics.api import serializers
from dora_metrics.api.csv import csv_lines
from dora_metrics.calculators.periods import KINDS, RANGE, local_date, period_before
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.management.arguments import add_period_arguments, check_order
from dora_metrics.management.base_command import BaseCommand
from dora_metrics.management.report_table import from_first_collected, table_lines
from dora_metrics.models import Service
from dora_metrics.period_input import DEFAULT_END, DEFAULT_START, report_range

PIPE_WIDTH = 150  # the table's width where there is no terminal
COLOURS = {"better": "green", "worse": "red", "elite": "green", "low": "red"}


class Command(BaseCommand):
    help = (
        "Print the five DORA metrics of one service, or of all services, by day, week or month, or over one range. "
        "Exit status: 0, or 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--service", metavar="NAME", help="default: all services")
        add_period_arguments(parser, start_help=f"local date; default: {DEFAULT_START}", end_help=f"local date, exclusive; default: {DEFAULT_END}")
        parser.add_argument(
            "--by",
            choices=[*KINDS, RANGE],
            default="month",
            help="length of a period (a week is an ISO week), or range: one period from --from to --to, computed now; default: month",
        )
        parser.add_argument(
            "--environment",
            default=PRODUCTION,
            metavar="NAME",
            help="default: production; the metrics of another environment are computed now, and need its exact name",
        )
        parser.add_argument("--format", choices=["table", "json", "csv"], default="table", help="default: table")

    def handle(self, *args: Any, **options: Any) -> None:
        services = self.services_deployed_to(options["environment"], options["service"])
        now = timezone.now()
        today = local_date(now, settings.ETL_TIME_ZONE)
        start, end = report_range(options["start"], options["end"], by=options["by"], today=today)
        check_order(start, end)
        asked = {"by": options["by"], "environment": options["environment"], "time_zone": settings.ETL_TIME_ZONE, "now": now}
        if options["format"] == "table":
            self.write_tables(services, start, end, asked, is_start_given=options["start"] is not None)
            return
        reports = selectors.reports(services, start=start, end=end, **asked)
        if options["format"] == "json":
            self.write_json(reports[0] if options["service"] else reports)
        else:
            self.write_csv(csv_lines(serializers.periods(reports), serializers.PERIOD_COLUMNS))

    def write_tables(self, services: Sequence[Service], start: date, end: date, asked: dict[str, Any], *, is_start_given: bool) -> None:
        """Print a table for each service. Unless the start was given, a table begins with the first period of which anything was collected."""
        if not services:
            self.stdout.write(_("no services yet: add one with `add_service NAME --repository owner/name`"))
            return
        today = local_date(asked["now"], settings.ETL_TIME_ZONE)
        periods = selectors.begun_periods(start, end, asked["by"], today=today)
        if not periods:
            values = {"start": start, "today": today, "zone": settings.ETL_TIME_ZONE}
            self.stdout.write(_("%(start)s has not begun: today is %(today)s (%(zone)s)") % values)
            return
        earlier = period_before(periods[0])
        if asked["by"] == RANGE:
            befores = [report["periods"] for report in selectors.reports(services, start=earlier.start, end=earlier.end, **asked)]
            reports = selectors.reports(services, start=start, end=end, **asked)
        else:  # one query reads the period before, too
            reports = selectors.reports(services, start=earlier.start, end=end, **asked)
            befores = [[report["periods"].pop(0)] for report in reports]
        for report, before in zip(reports, befores, strict=True):
            shown = report["periods"] if is_start_given else from_first_collected(report["periods"])
            self._write_table(report, shown, before=before[0] if len(shown) == len(report["periods"]) else None)

    def _write_table(self, report: dict[str, Any], periods: Sequence[dict[str, Any]], *, before: dict[str, Any] | None) -> None:
        by = {"day": _("by day"), "week": _("by week"), "month": _("by month"), RANGE: _("by range")}[report["by"]]
        title = f"{report['service']}, {report['environment']}, {by} ({report['time_zone']})"
        if not periods:
            values = {"title": title, "start": report["periods"][0]["start"]}
            self.stdout.write(_("%(title)s: nothing was collected since %(start)s; `etl_status` says when its sources are due") % values)
            return
        self.stdout.write(title)
        lines, notes = table_lines(periods, by=report["by"], before=before, width=self.width(PIPE_WIDTH), has_arrows=self.can_print("↑↓"))
        for line in lines:
            self.write_coloured(line, COLOURS)
        for line in notes:
            self.stdout.write(line)
