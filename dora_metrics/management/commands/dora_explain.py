"""dora_explain SERVICE METRIC PERIOD: print the facts from which one value of a metric was computed."""

from typing import Any

from django.core.management.base import CommandParser

from dora_metrics import explain, selectors
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.period_input import PERIOD_FORMATS, parse_period


class Command(BaseCommand):
    help = (
        "Print the facts behind one value. Each comes with the rule that counted it, its page on GitHub and its staged page. "
        "Exit status: 0, or 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("service", metavar="SERVICE", help="name of the service")
        parser.add_argument("metric", choices=explain.METRICS, metavar="METRIC", help=", ".join(explain.METRICS))
        parser.add_argument("period", metavar="PERIOD", help=PERIOD_FORMATS)
        parser.add_argument("--environment", default=PRODUCTION, metavar="NAME", help="default: production")
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        [service] = self.services(options["service"])
        try:
            period = parse_period(options["period"])
            selectors.check_environment(service, options["environment"])
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        found = explain.explanation(service, metric=options["metric"], period=period, environment=options["environment"])
        if options["json"]:
            self.write_json(found)
        else:
            self._show(found, period)

    def _show(self, found: dict[str, Any], period: Period) -> None:
        write = self.stdout.write
        write(f"{found['metric']} of {found['service']}, {found['environment']}, {explain.period_name(period)} ({found['time_zone']})")
        write(f"  {found['arithmetic']}")
        if found["collected"] and found["collected"]["days"] < period.days:
            write(f"  only {found['collected']['days']} days of the period count: from {found['collected']['start']} to {found['collected']['end']}")
        if found["sums"]:
            write("  " + ", ".join(f"{name} {count:g}" for name, count in found["sums"].items()))
        for flag, meaning in found["flags"].items():
            write(f"  {flag}: {meaning}")
        has_several = len({member["repository"] for member in found["members"]}) > 1
        for member in found["members"]:
            self._show_member(member, repository=member["repository"] if has_several else "")

    def _show_member(self, member: dict[str, Any], *, repository: str) -> None:
        write = self.stdout.write
        seconds = member["counts"].get("seconds")
        took = "" if seconds is None else explain.duration(seconds)
        write("")
        write("  ".join(part for part in (member["at"], repository, f"{member['kind']} {member['key']}", member["title"], took) if part))
        for rule in member["rules"]:
            write(f"    {rule}")
        if member["quality_flags"]:
            write(f"    flags: {', '.join(member['quality_flags'])}")
        write(f"    {member['url'] or 'no page on GitHub'}  staged page {member['staged_page']}")
