"""What a reader chose in the form above the charts: kind of period, range and environment."""

from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.translation import gettext as _

from dora_metrics.calculators.periods import KINDS, ONE_DAY, period_of_date, periods_between
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.period_input import check_order, parse_date

DEFAULT_KIND = "week"
DEFAULT_DAYS = {"day": 60, "week": 26 * 7, "month": 366}
MOST_PERIODS = 750  # of one chart: two years of days


@dataclass(frozen=True)
class Chosen:
    """The reader's choice. The range is [start, end). `has_start`: whether the reader chose the start."""

    by: str
    start: date
    end: date
    environment: str
    has_start: bool


def chosen(given: dict[str, str], *, today: date) -> Chosen:
    """Return the choice that the query parameters `by`, `from`, `to` and `environment` express. `to` is the last day, inclusive.

    Raises ValueError with a sentence for an invalid value.
    """
    by = given.get("by") or DEFAULT_KIND
    if by not in KINDS:
        raise ValueError(_("%(kind)s is not a kind of period. Choose day, week or month.") % {"kind": repr(by)})
    start = parse_date(given["from"]) if given.get("from") else None
    end = parse_date(given["to"]) + ONE_DAY if given.get("to") else None
    check_order(start, end)
    end = end or max(today, start or today) + ONE_DAY
    first = start or period_of_date(end - timedelta(days=DEFAULT_DAYS[by]), by).start
    if sum(1 for _period in periods_between(first, end, by)) > MOST_PERIODS:
        raise ValueError(_("A chart shows at most %(most)s periods. Choose a shorter range, or weeks or months.") % {"most": MOST_PERIODS})
    return Chosen(by, first, end, given.get("environment") or PRODUCTION, start is not None)
