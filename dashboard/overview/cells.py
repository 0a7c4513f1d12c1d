"""The rows of the overview as the template shows them: values in words, the change against the period before, and a small chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from dashboard.overview.sparkline import Sparkline, Title, sparkline, titles_of
from dashboard.templatetags.display import counts_text, flag_name, metric_name, metric_value, number, tier_badge
from dora_metrics.calculators.direction import Direction, direction
from dora_metrics.calculators.periods import Period
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.quality_flags import NOT_BEGUN, NOT_COLLECTED
from dora_metrics.period_input import period_name
from dora_metrics.selectors.overview import Overview, ServiceRow
from dora_metrics.selectors.period_values import FREQUENCY, METRICS, PeriodValue

UNKNOWN_FLAGS = (NOT_COLLECTED, NOT_BEGUN)


@dataclass(frozen=True, slots=True)
class Change:
    """How a value has moved. `kind`: better, worse, same or unknown; `sign`: an arrow; `sentence`: with the value before."""

    kind: str
    sign: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One metric of a service. `url`: the page that explains the value; empty if it is unknown. `counts`: the facts behind it, in words.

    `flags`: the names of its quality flags.
    """

    label: str
    text: str
    url: str
    counts: str
    tier_badge: SafeString | str
    change: Change
    chart: Sparkline | None
    flags: Sequence[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One service. `partial`: a sentence if not all days of the period were collected, otherwise empty."""

    name: str
    url: str
    partial: str
    cells: Sequence[Cell]


def rows_of(found: Overview, period: Period, environment: str) -> list[Row]:
    columns = [(metric, metric_name(metric), titles_of(metric, found.trend)) for metric in METRICS]
    suffix = "" if environment == PRODUCTION else "?" + urlencode({"environment": environment})
    return [_row(row, columns, period, suffix) for row in found.rows]


def flags_of(found: Overview) -> list[str]:
    """Return the quality flags of all rows."""
    return sorted({flag for row in found.rows for value in row.values.values() for flag in value.flags})


def _row(row: ServiceRow, columns: Sequence[tuple[str, str, Title]], period: Period, suffix: str) -> Row:
    """`columns`: the name of each metric, its label, and the titles of its charts. `suffix`: the query of links."""
    cells = []
    address = _address(row.name, period)
    for metric, label, title in columns:
        value = row.values[metric]
        is_known = not any(flag in UNKNOWN_FLAGS for flag in value.flags)
        cells.append(
            Cell(
                label=label,
                text=metric_value(value.value, metric),
                url=address % metric + suffix if is_known else "",
                counts=counts_text(metric, value.n, part=value.numerator),
                tier_badge=tier_badge(value.tier),
                change=_change(metric, value, row.earlier[metric]),
                chart=sparkline(row.trends[metric], title),
                flags=[flag_name(flag) for flag in value.flags],
            )
        )
    service = reverse("dashboard:service", args=[row.name])
    return Row(row.name, service + suffix, _partial(row.values, period), cells)


def _address(service: str, period: Period) -> str:
    """Return the address of the service's values in the period, with %s for the metric. Reversing each address would take most of the time."""
    end = f"{FREQUENCY}/{period_name(period)}/"
    address = reverse("dashboard:value", args=[service, FREQUENCY, period_name(period)])
    return f"{address.removesuffix(end).replace('%', '%%')}%s{end.removeprefix(FREQUENCY)}"


def _change(metric: str, value: PeriodValue, earlier: PeriodValue) -> Change:
    moved = direction(metric, before=earlier.value, after=value.value)
    before = {"value": metric_value(earlier.value, metric)}
    if moved is None:
        if value.value is None:
            return Change("unknown", "", "" if earlier.value is None else _("was %(value)s") % before)
        return Change("unknown", "", _("no earlier value"))
    if moved is Direction.SAME:
        return Change("same", "=", _("unchanged, was %(value)s") % before)
    sign = "▲" if moved.is_higher else "▼"
    if moved.is_better:
        return Change("better", sign, _("better, was %(value)s") % before)
    return Change("worse", sign, _("worse, was %(value)s") % before)


def _partial(values: Mapping[str, PeriodValue], period: Period) -> str:
    if not any(value.is_partial for value in values.values()):
        return ""
    days = values[FREQUENCY].denominator
    if days is None or days >= period.days:
        return _("partial")
    return _("partial: %(days)s of %(all)s days") % {"days": number(days), "all": number(period.days)}
