"""The quick periods of the log page, such as the last 24 hours."""

from datetime import datetime, timedelta, tzinfo

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from log_store.search import InvalidQuery

DEFAULT_PERIOD = "24h"
PERIODS: dict[str, tuple[timedelta, Promise]] = {
    "15m": (timedelta(minutes=15), gettext_lazy("Last 15 minutes")),
    "1h": (timedelta(hours=1), gettext_lazy("Last hour")),
    "24h": (timedelta(days=1), gettext_lazy("Last 24 hours")),
    "7d": (timedelta(days=7), gettext_lazy("Last 7 days")),
    "30d": (timedelta(days=30), gettext_lazy("Last 30 days")),
}


def period_start(period: str, now: datetime, zone: tzinfo) -> datetime:
    """Return the beginning of a period that ends now. Raises InvalidQuery for an unknown period.

    It is the beginning of a minute, an hour or (of more than a week) a day in `zone`, so that the first bar of the chart is whole.
    """
    if period not in PERIODS:
        raise InvalidQuery(_("there is no period %(name)s: choose one of %(names)s") % {"name": repr(period), "names": ", ".join(PERIODS)})
    length = PERIODS[period][0]
    start = now - length
    if length < timedelta(days=1):
        return start.replace(second=0, microsecond=0)
    if length <= timedelta(days=7):
        return start.replace(minute=0, second=0, microsecond=0)
    return start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
