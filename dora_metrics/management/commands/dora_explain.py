"""dora_explain SERVICE METRIC PERIOD: print the facts from which one value of a metric was computed, and why it moved."""

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

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
        names = {name: found[name] for name in ("metric", "service", "environment", "time_zone")}
        write(_("%(metric)s of %(service)s, %(environment)s, %(period)s (%(time_zone)s)") % {**names, "period": period_name(period)})
        write(f"  {found['arithmetic']}")
        if found["collected"] and found["collected"]["days"] < period.days:
            write("  " + _("only %(days)s days of the period count: from %(start)s to %(end)s") % found["collected"])
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
            write("    " + _("flags: %(flags)s") % {"flags": ", ".join(member["quality_flags"])})
        staged_page = _("staged page %(page)s") % {"page": member["staged_page"]}
        url = member["url"] or _("no page on GitHub")
        write(f"    {url}  {staged_page}")

    def _show_movement(self, found: dict[str, Any], against: Period) -> None:
        write, moved = self.stdout.write, found["movement"]
        write("")
        values = {"period": period_name(against), "arithmetic": moved["before_arithmetic"]}
        write(_("why it moved against %(period)s (%(arithmetic)s)") % values)
        if moved["difference"] is None:
            write("  " + _("nothing to compare: one of the two values is unknown"))
        elif found["unit"] == "seconds":
            self._show_medians(moved)
        else:
            self._show_quotients(moved, found["unit"])
        for revision in moved["revisions"]:
            write("  " + _revision_sentence(revision, found["unit"]))

    def _show_quotients(self, moved: dict[str, Any], unit: str) -> None:
        write = self.stdout.write
        values = {"difference": _difference(moved["difference"], unit), "each": _value(moved["each"], unit)}
        write("  " + _("%(difference)s in all; one fact is worth %(each)s") % values)
        before, after = moved["denominators"]
        counts = _("%(after)s days, before %(before)s") if unit == "deployments/day" else _("%(after)s deployments, before %(before)s")
        write(f"  {_difference(moved['volume'], unit)}  {counts % {'after': after, 'before': before}}")
        for group in moved["groups"]:
            reasons = group["reasons"] if isinstance(group["reasons"], str) else _(" and ").join(group["reasons"])
            counts = _("%(reasons)s: %(after)s, before %(before)s") % {"reasons": reasons, "after": group["after"], "before": group["before"]}
            write(f"  {_difference(group['amount'], unit)}  {counts}")
        self._show_facts(moved["facts"], unit)

    def _show_medians(self, moved: dict[str, Any]) -> None:
        write = self.stdout.write
        write("  " + _("%(difference)s in all") % {"difference": _difference(moved["difference"], "seconds")})
        when_names = {"before": _("before"), "after": _("after")}
        for when, distribution in moved["distributions"].items():
            percentiles = ", ".join(f"{name} {duration_text(seconds)}" for name, seconds in distribution["percentiles"].items())
            values = {"when": when_names[when], "count": distribution["n"], "percentiles": percentiles, "above": distribution["above"]}
            write("  " + _("%(when)s: %(count)s durations, %(percentiles)s; %(above)s above the median before") % values)
        for stage in moved["stages"]:
            change = _("unknown") if stage["difference"] is None else _difference(stage["difference"], "seconds")
            values = {"change": change, "after": duration_text(stage["after"]), "before": duration_text(stage["before"])}
            write(f"  {stage['stage']}: " + _("%(change)s (%(after)s, before %(before)s)") % values)
        self._show_facts(moved["facts"], "seconds")

    def _show_facts(self, facts: list[dict[str, Any]], unit: str) -> None:
        for fact in facts[:MOST_FACTS]:
            amount = _("all of it") if fact["amount"] is None else _difference(fact["amount"], unit)
            took = duration_text(fact["counts"]["seconds"]) if unit == "seconds" else ""
            words = (amount, _time(fact["at"]), f"{fact['kind']} {fact['key']}", fact["title"], took, _("no more") if fact["is_before"] else "")
            self.stdout.write("  " + "  ".join(word for word in words if word))
        if len(facts) > MOST_FACTS:
            self.stdout.write("  " + _("and %(count)s more: --json has all of them") % {"count": len(facts) - MOST_FACTS})


def _revision_sentence(revision: dict[str, Any], unit: str) -> str:
    values = {
        "time": _time(revision["revised_at"]),
        "run": revision["run"],
        "period": {"day": _("the day"), "week": _("the week"), "month": _("the month")}[revision["period"]],
        "start": revision["start"],
        "after": _value(revision["after"], unit),
        "before": _value(revision["before"], unit),
    }
    if revision["run"]:
        return _("late facts: since %(time)s by run %(run)s, %(period)s of %(start)s has %(after)s instead of %(before)s") % values
    return _("late facts: since %(time)s, %(period)s of %(start)s has %(after)s instead of %(before)s") % values


def _time(text: str) -> str:
    return instant_text(datetime.fromisoformat(text))


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return _("unknown")
    if unit == "seconds":
        return duration_text(value)
    return f"{100 * value:.1f}%" if unit == "share" else _("%(number)s deployments/day") % {"number": f"{value:.3g}"}


def _difference(value: float, unit: str) -> str:
    """Return the difference with its sign. That of two shares is in percentage points."""
    if unit == "seconds":
        return f"{'-' if value < 0 else '+'}{duration_text(abs(value))}"
    if unit == "share":
        return _("%(number)s points") % {"number": f"{100 * value:+.1f}"}
    return _("%(number)s a day") % {"number": f"{value:+.3g}"}
