"""What a reader chose on the overview: period, environment, search, order and page, as parameters of the address."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from dashboard.templatetags.display import metric_name
from dora_metrics.calculators.direction import MORE_IS_BETTER
from dora_metrics.calculators.periods import RANGE, Period, period_before, period_of_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.period_input import FIRST_DATE, LAST_DATE, parse_period, period_name
from dora_metrics.selectors.overview import BY_NAME, OverviewQuery
from dora_metrics.selectors.period_values import METRICS

PRESETS = {f"{days}d": days for days in (7, 30, 90, 365)}  # of whole days, up to yesterday
DEFAULT_PRESET = "30d"
LONGEST_DAYS = 3660
PARAMETERS = ("period", "environment", "search", "sort", "page")


@dataclass(frozen=True)
class Choice:
    """The reader's choice. `name`: a key of PRESETS, or the name of the period. `given`: the parameters of the address."""

    name: str
    query: OverviewQuery
    given: Mapping[str, str]

    def address(self, **changes: Any) -> str:
        """Return the query string of the same page with other parameters. A parameter that changes the rows leads to the first page."""
        kept = {name: value for name, value in self.given.items() if name != "page"}
        wanted = {**kept, **{name: str(value) for name, value in changes.items()}}
        return "?" + urlencode({name: wanted[name] for name in PARAMETERS if wanted.get(name)})

    def sort_address(self, sort: str) -> str:
        """Return the query string that sorts by this column. If the rows are sorted by it already, it reverses the order."""
        if self.query.sort == sort:
            return self.address(sort=sort if self.query.is_descending else f"-{sort}")
        return self.address(sort=_first_order(sort))


def chosen(given: Mapping[str, str], *, today: date) -> Choice:
    """Return the choice that the parameters express. Raises ValueError with a sentence for an invalid value.

    The parameters are `period` (a key of PRESETS, or what parse_period reads) or `from` and `to` (both days belong to the range),
    `environment`, `search`, `sort` (name or a metric, with - in front for the reverse order) and `page`.
    """
    name = given.get("period") or DEFAULT_PRESET
    if given.get("from") or given.get("to"):
        period = _range(given.get("from", ""), given.get("to", ""))
        name = period_name(period)
    elif name in PRESETS:
        period = Period(today - timedelta(days=PRESETS[name]), today, RANGE)
    else:
        period = parse_period(name)
    if period.days > LONGEST_DAYS:
        raise ValueError(_("The period has %(days)s days. Choose one of at most %(most)s days.") % {"days": period.days, "most": LONGEST_DAYS})
    sort = given.get("sort") or BY_NAME
    if sort.removeprefix("-") not in (BY_NAME, *METRICS):
        raise ValueError(_("The services cannot be sorted by %(sort)s.") % {"sort": repr(sort)})
    query = OverviewQuery(
        period,
        environment=given.get("environment") or PRODUCTION,
        search=given.get("search", "").strip(),
        sort=sort.removeprefix("-"),
        is_descending=sort.startswith("-"),
        page=_page(given.get("page") or "1"),
    )
    return Choice(name, query, {**given, "period": name})


def sorts_offered(choice: Choice) -> list[tuple[str, str, bool]]:
    """Return the orders that can be chosen from a list, each as (parameter, label, whether it is the order now)."""
    metrics = METRICS if choice.query.environment == PRODUCTION else ()
    found = [(BY_NAME, _("Name, A to Z")), (f"-{BY_NAME}", _("Name, Z to A"))]
    for metric in metrics:
        name = {"metric": metric_name(metric)}
        found += [(f"-{metric}", _("%(metric)s, highest first") % name), (metric, _("%(metric)s, lowest first") % name)]
    return [(sort, label, sort == (choice.given.get("sort") or BY_NAME)) for sort, label in found]


def months_offered(today: date) -> list[Period]:
    """Return this month and the last one."""
    this = period_of_date(today, "month")
    return [this, period_before(this)]


def neighbours(period: Period, *, today: date) -> tuple[Period | None, Period | None]:
    """Return the period before and the one after. None: there is none, or it has not begun, or it would be a range without a whole day."""
    before = period_before(period) if (period.start - FIRST_DATE).days >= period.days else None
    if period.kind == RANGE:
        end = period.end + timedelta(days=period.days)
        return before, Period(period.end, end, RANGE) if period.end < today and end <= LAST_DATE else None
    return before, period_of_date(period.end, period.kind) if period.end <= today else None


def _range(first: str, last: str) -> Period:
    if not (first and last):
        raise ValueError(_("Choose both the first and the last day of the range."))
    return parse_period(f"{first}..{last}")


def _page(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) >= 1):
        raise ValueError(_("%(page)s is not the number of a page.") % {"page": repr(text[:20])})
    return int(text)


def _first_order(sort: str) -> str:
    """Return how a first click on the column sorts: what needs attention comes first."""
    return sort if sort in (BY_NAME, *MORE_IS_BETTER) else f"-{sort}"
