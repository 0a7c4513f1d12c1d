"""How durations and times are written for people: in one form each, for commands and pages.

JSON, CSV and the database have seconds and ISO 8601 instead.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

UNKNOWN = "-"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
UNITS = ((1, 60, gettext_noop("%s s")), (MINUTE_S, 60, gettext_noop("%s min")), (HOUR_S, 24, gettext_noop("%s h")))  # and days


def duration_text(seconds: float | None) -> str:
    """Return the duration in its largest unit: 45 s, 12 min, 3.4 h, 2.8 d; "-" for None.

    A number below 10 has one decimal, a larger number has none; so the error is below 5 %.
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 0:
        return f"-{duration_text(-seconds)}"
    for size, limit, text in UNITS:
        if round(seconds / size) < limit:
            return _(text) % _short(seconds / size)
    return _("%s d") % _short(seconds / DAY_S)


def _short(number: float) -> str:
    decimals = 1 if 0 < number < 9.95 else 0
    return number_format(round(number, decimals), decimal_pos=decimals)  # number_format itself would cut off and not round


def instant_text(moment: datetime | None, *, time_zone: str | None = None) -> str:
    """Return the time in the zone, with the zone's name: 2026-11-26 01:00:04 UTC; "-" for None.

    `time_zone`: an IANA name; None for ETL_TIME_ZONE.
    """
    if moment is None:
        return UNKNOWN
    return moment.astimezone(ZoneInfo(time_zone or settings.ETL_TIME_ZONE)).strftime("%Y-%m-%d %H:%M:%S %Z")


def precise_text(moment: datetime, *, time_zone: str | None = None) -> str:
    """Return the time as `instant_text` does, with milliseconds: 2026-11-26 01:00:04.250 UTC."""
    local = moment.astimezone(ZoneInfo(time_zone or settings.ETL_TIME_ZONE))
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03} {local:%Z}"


def minute_text(moment: datetime | None, *, time_zone: str | None = None) -> str:
    """Return the time as `instant_text` does, without seconds: 2026-11-26 01:00 UTC."""
    if moment is None:
        return UNKNOWN
    return moment.astimezone(ZoneInfo(time_zone or settings.ETL_TIME_ZONE)).strftime("%Y-%m-%d %H:%M %Z")


def date_text(day: date | None) -> str:
    """Return the date as 2026-11-26; "-" for None."""
    return UNKNOWN if day is None else day.isoformat()


def share_text(share: float | None) -> str:
    """Return the share in percent, with one decimal: 40.7%; "-" for None."""
    return UNKNOWN if share is None else f"{number_format(round(share * 100, 1), decimal_pos=1)}%"
