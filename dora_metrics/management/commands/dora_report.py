"""dora_report: print the five DORA metrics by day, week or month, or of one range of days."""

from datetime import date
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from dora_metrics import selectors
from dora_metrics.api import serializers
from dora_metrics.api.csv import csv_lines
from dora_metrics.calculators.periods import KINDS, RANGE, Period, local_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import MEANING
from dora_metrics.management.arguments import add_period_arguments, check_order
from dora_metrics.management.base_command import BaseCommand
from dora_metrics.period_input import DEFAULT_END, DEFAULT_START, period_name, report_range


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
        reports = selectors.reports(
            services, start=start, end=end, by=options["by"], environment=options["environment"], time_zone=settings.ETL_TIME_ZONE, now=now
        )
        match options["format"]:
            case "json":
                self.write_json(reports[0] if options["service"] else reports)
            case "csv":
                self.write_csv(csv_lines(serializers.periods(reports), serializers.PERIOD_COLUMNS))
            case _:
                self.write_tables(reports)
                if reports and not reports[0]["periods"]:
                    self.stdout.write(f"{start} has not begun: today is {today} ({settings.ETL_TIME_ZONE})")

    def write_tables(self, reports: list[dict[str, Any]]) -> None:
        if not reports:
            self.stdout.write("no services yet: add one with `add_service NAME --repository owner/name`")
        for report in reports:
            if not report["periods"]:
                continue
            self.stdout.write(f"{report['service']}, {report['environment']}, by {report['by']} ({report['time_zone']})")
            lines = [[_label(period, report["by"]), *_cells(period)] for period in report["periods"]]
            heads = [report["by"], "deploys/day", "deploys", "lead time p50", "changes", "fail rate", "recovery p50", "rework", "flags"]
            widths = [max(len(row[column]) for row in [heads, *lines]) for column in range(len(heads))]
            for row in [heads, *lines]:
                self.stdout.write("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            self.stdout.write("  * partial period   - unknown (docs/metrics.md)")
            for flag in sorted({flag for period in report["periods"] for flag in period["quality_flags"]}):
                self.stdout.write(f"  {flag}: {MEANING[flag]}")


def _cells(period: dict[str, Any]) -> list[str]:
    values = {name: read(period) for name, read in serializers.METRIC_COLUMNS.items()}
    return [
        _number(values["deployments_per_day"]),
        _number(values["deployments"]),
        _duration(values["lead_time_p50_seconds"]),
        _number(values["changes"]),
        _share(values["change_fail_rate"]),
        _duration(values["recovery_p50_seconds"]),
        _share(values["rework_rate"]),
        " ".join(period["quality_flags"]),
    ]


def _label(period: dict[str, Any], by: str) -> str:
    start, end = date.fromisoformat(period["start"]), date.fromisoformat(period["end"])
    name = period_name(Period(start, end, RANGE)) if by == RANGE else period["start"]
    return name + ("*" if period["partial"] else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
