"""dora_explain SERVICE METRIC PERIOD: print the facts from which one value of a metric was computed, and why it moved."""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from dora_metrics import explain, selectors
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.display import duration_text, instant_text
from dora_metrics.management.arguments import add_json_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.period_input import PERIOD_FORMATS, parse_period, period_name

MOST_FACTS = 20  # of those that made a difference


class Command(BaseCommand):
    help = (
        "Print the facts behind one value. Each comes with the rule that counted it, its page on GitHub and its staged page. "
        "With --against, print what made the difference to another period. Exit status: 0, or 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("service", metavar="SERVICE", help="name of the service")
        parser.add_argument("metric", choices=explain.METRICS, metavar="METRIC", help=", ".join(explain.METRICS))
        parser.add_argument("period", metavar="PERIOD", help=PERIOD_FORMATS)
        parser.add_argument("--environment", default=PRODUCTION, metavar="NAME", help="default: production")
        parser.add_argument("--against", metavar="PERIOD", help="compare with this period, and list what made the difference, largest first")
        add_json_argument(parser, "print one JSON object instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        [service] = self.services(options["service"])
        try:
            period = parse_period(options["period"])
            against = parse_period(options["against"]) if options["against"] else None
            selectors.check_environment(service, options["environment"])
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        asked = {"metric": options["metric"], "period": period, "environment": options["environment"]}
        found = explain.comparison(service, **asked, against=against) if against else explain.explanation(service, **asked)
        if options["json"]:
            self.write_json(found)
        else:
            self._show(found, period)
            if against:
                self._show_movement(found, against)

    def _show(self, found: dict[str, Any], period: Period) -> None:
        write = self.stdout.write
        write(f"{found['metric']} of {found['service']}, {found['environment']}, {period_name(period)} ({found['time_zone']})")
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
        write("  ".join(part for part in (_time(member["at"]), repository, f"{member['kind']} {member['key']}", member["title"], took) if part))
        for rule in member["rules"]:
            write(f"    {rule}")
        if member["quality_flags"]:
            write(f"    flags: {', '.join(member['quality_flags'])}")
        write(f"    {member['url'] or 'no page on GitHub'}  staged page {member['staged_page']}")

    def _show_movement(self, found: dict[str, Any], against: Period) -> None:
        write, moved = self.stdout.write, found["movement"]
        write("")
        write(f"why it moved against {period_name(against)} ({moved['before_arithmetic']})")
        if moved["difference"] is None:
            write("  nothing to compare: one of the two values is unknown")
        elif found["unit"] == "seconds":
            self._show_medians(moved)
        else:
            self._show_quotients(moved, found["unit"])
        for revision in moved["revisions"]:
            run = f" by run {revision['run']}" if revision["run"] else ""
            values = " instead of ".join(_value(revision[name], found["unit"]) for name in ("after", "before"))
            write(f"  late facts: since {_time(revision['revised_at'])}{run}, the {revision['period']} of {revision['start']} has {values}")

    def _show_quotients(self, moved: dict[str, Any], unit: str) -> None:
        write = self.stdout.write
        write(f"  {_difference(moved['difference'], unit)} in all; one fact is worth {_value(moved['each'], unit)}")
        what = "days" if unit == "deployments/day" else "deployments"
        before, after = moved["denominators"]
        write(f"  {_difference(moved['volume'], unit)}  {after} {what}, before {before}")
        for group in moved["groups"]:
            reasons = group["reasons"] if isinstance(group["reasons"], str) else " and ".join(group["reasons"])
            write(f"  {_difference(group['amount'], unit)}  {reasons}: {group['after']}, before {group['before']}")
        self._show_facts(moved["facts"], unit)

    def _show_medians(self, moved: dict[str, Any]) -> None:
        write = self.stdout.write
        write(f"  {_difference(moved['difference'], 'seconds')} in all")
        for when, distribution in moved["distributions"].items():
            percentiles = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in distribution["percentiles"].items())
            write(f"  {when}: {distribution['n']} durations, {percentiles}; {distribution['above']} above the median before")
        for stage in moved["stages"]:
            change = "unknown" if stage["difference"] is None else _difference(stage["difference"], "seconds")
            write(f"  {stage['stage']}: {change} ({duration_text(stage['after'])}, before {duration_text(stage['before'])})")
        self._show_facts(moved["facts"], "seconds")

    def _show_facts(self, facts: list[dict[str, Any]], unit: str) -> None:
        for fact in facts[:MOST_FACTS]:
            amount = "all of it" if fact["amount"] is None else _difference(fact["amount"], unit)
            took = duration_text(fact["counts"]["seconds"]) if unit == "seconds" else ""
            words = (amount, _time(fact["at"]), f"{fact['kind']} {fact['key']}", fact["title"], took, "no more" if fact["is_before"] else "")
            self.stdout.write("  " + "  ".join(word for word in words if word))
        if len(facts) > MOST_FACTS:
            self.stdout.write(f"  and {len(facts) - MOST_FACTS} more: --json has all of them")


def _time(text: str) -> str:
    return instant_text(datetime.fromisoformat(text))


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit == "seconds":
        return duration_text(value)
    return f"{100 * value:.1f}%" if unit == "share" else f"{value:.3g} deployments/day"


def _difference(value: float, unit: str) -> str:
    """Return the difference with its sign. That of two shares is in percentage points."""
    if unit == "seconds":
        return f"{'-' if value < 0 else '+'}{duration_text(abs(value))}"
    return f"{100 * value:+.1f} points" if unit == "share" else f"{value:+.3g} a day"
