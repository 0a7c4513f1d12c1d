"""Periods in words, and the periods before and after one."""

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from dora_metrics.calculators.periods import ONE_DAY, RANGE, Period, period_of_date
from dora_metrics.period_input import FIRST_DATE, LAST_DATE


def previous_period(period: Period) -> Period | None:
    """Return the period of the same kind that ends where this one begins; for a range, the range of as many days. None: it is too early."""
    if period.start - (period.end - period.start) < FIRST_DATE:
        return None
    if period.kind == RANGE:
        return Period(period.start - (period.end - period.start), period.start, RANGE)
    return period_of_date(period.start - ONE_DAY, period.kind)


def next_period(period: Period) -> Period | None:
    """Return the period of the same kind that begins where this one ends; for a range, the range of as many days. None: it is too late."""
    if period.end + (period.end - period.start) > LAST_DATE:
        return None
    if period.kind == RANGE:
        return Period(period.end, period.end + (period.end - period.start), RANGE)
    return period_of_date(period.end, period.kind)


def short_period_label(period: Period) -> str:
    """Return the period in the reader's language, a week without its days."""
    if period.kind != "week":
        return period_label(period)
    year, week, _day = period.start.isocalendar()
    return _("week %(week)s of %(year)s") % {"week": week, "year": year}


def period_label(period: Period) -> str:
    """Return the period in the reader's language."""
    last = period.end - ONE_DAY
    if period.kind == "month":
        return date_format(period.start, _("F Y"), use_l10n=True)
    if period.kind == "day" or period.start == last:
        return date_format(period.start, _("j M Y"), use_l10n=True)
    days = f"{date_format(period.start, _('j M Y'), use_l10n=True)} – {date_format(last, _('j M Y'), use_l10n=True)}"
    return f"{short_period_label(period)} ({days})" if period.kind == "week" else days
