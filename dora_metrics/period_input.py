"""Read the dates and periods that people write in a command or a URL, and give a report its default range.

The functions that read or check a value raise ValueError with a sentence that says how to write the value.
"""

import re
from datetime import date

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from dora_metrics.calculators.periods import ONE_DAY, RANGE, Period, period_of_date

# The databases and the time zone data support every date in this range.
FIRST_DATE, LAST_DATE = date(1970, 1, 1), date(2999, 12, 31)
DEFAULT_PERIODS = 12
DEFAULT_DAYS = 30  # of a range
DEFAULT_START = f"the start of the {DEFAULT_PERIODS}th whole period before today; of a range, {DEFAULT_DAYS} days before its end"
DEFAULT_END = "tomorrow; of a range, today"
PERIOD_FORMATS = gettext_noop(
    "a day as 2026-02-28, an ISO week as 2026-W07, a month as 2026-02, a range as 2026-10-28..2026-11-26 (both days belong to it)"
)


def parse_date(text: str) -> date:
    """Return the date that `text` (ISO 8601) names."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(_("%(text)s is not a valid date: write it as 2026-02-28") % {"text": repr(text)}) from None
    if not FIRST_DATE <= day <= LAST_DATE:
        limits = {"text": repr(text), "first": FIRST_DATE, "last": LAST_DATE}
        raise ValueError(_("%(text)s is too far away: give a date from %(first)s to %(last)s") % limits)
    return day


def parse_period(text: str) -> Period:
    """Return the day (2026-02-28), ISO week (2026-W07), month (2026-02) or range (2026-10-28..2026-11-26) that `text` names.

    A range is written with its first and its last day. `period_name` returns the text again.
    """
    if ".." in text:
        return _parse_range(text)
    try:
        if not FIRST_DATE.year <= int(text[:4]) <= LAST_DATE.year:
            raise ValueError(text)
        if found := re.fullmatch(r"(\d{4})-W(\d{2})", text, re.ASCII):
            return period_of_date(date.fromisocalendar(int(found[1]), int(found[2]), 1), "week")
        if re.fullmatch(r"\d{4}-\d{2}", text, re.ASCII):
            return period_of_date(date.fromisoformat(f"{text}-01"), "month")
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return period_of_date(date.fromisoformat(text), "day")
    except (ValueError, OverflowError):
        pass
    raise ValueError(_not_a_period(text))


def _parse_range(text: str) -> Period:
    first, _dots, last = text.partition("..")
    if not all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", day, re.ASCII) for day in (first, last)):
        raise ValueError(_not_a_period(text))
    start, end = parse_date(first), parse_date(last)
    if end < start:
        raise ValueError(_("%(text)s ends before it starts: write the first day before the last one") % {"text": repr(text)})
    return Period(start, end + ONE_DAY, RANGE)


def _not_a_period(text: str) -> str:
    return _("%(text)s is not a valid period: write %(formats)s") % {"text": repr(text), "formats": _(PERIOD_FORMATS)}


def period_name(period: Period) -> str:
    """Return the period as a text that `parse_period` can read, such as 2026-W07."""
    match period.kind:
        case "week":
            year, week, _day = period.start.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{period.start:%Y-%m}"
        case "range":
            return f"{period.start.isoformat()}..{(period.end - ONE_DAY).isoformat()}"
    return period.start.isoformat()


def check_order(start: date | None, end: date | None, *, names: tuple[str, str] = ("from", "to")) -> None:
    """Raise ValueError if `end` is not after `start`. Nothing is checked if either is None.

    `names`: the names of the two options or parameters, for the message.
    """
    if start and end and end <= start:
        values = {"end_name": names[1], "end": end, "start_name": names[0], "start": start}
        raise ValueError(_("%(end_name)s %(end)s is not after %(start_name)s %(start)s: the period would end before it starts") % values)


def report_range(start: date | None, end: date | None, *, by: str, today: date) -> tuple[date, date]:
    """Return the range [start, end) of a report. A bound that is None gets its default. `by`: day, week, month or range.

    The default start is the start of the 12th period before the current one. The default end is the day after today, or the day after
    `start` if that is later. A report by range has whole days: its default end is today (exclusive), and its default start 30 days before
    its end.
    """
    if by == RANGE:
        end = end or max(today, start + ONE_DAY if start else today)
        return start or max(FIRST_DATE, end - DEFAULT_DAYS * ONE_DAY), end
    return start or _default_start(today, by), end or max(today, start or today) + ONE_DAY


def _default_start(today: date, by: str) -> date:
    period = period_of_date(today, by)
    for _period in range(DEFAULT_PERIODS):
        period = period_of_date(period.start - ONE_DAY, by)
    return period.start
