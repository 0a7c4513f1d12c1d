"""Turn a search that a user entered, in a command or on the log page, into a query of the log store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _

from log_store.store import LEVELS, LogQuery, level_or_worse

LEVEL_CHOICES = (*LEVELS, "unknown")
DEFAULT_SPAN = timedelta(days=1)
# The years that the log formats accept. Other years are refused, because near the limits of Python's calendar, converting a time to another zone or
# subtracting a day would overflow.
FIRST_YEAR, LAST_YEAR = 1970, 2999


class InvalidQuery(ValueError):
    """The search is invalid. The message says how to correct it."""


def moment_of(text: str) -> datetime:
    """Parse an ISO 8601 time. A time without an offset is in ETL_TIME_ZONE. A date means its first instant. Raises InvalidQuery."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        problem = _("%(text)s is not a valid time: write it as 2026-02-28, 2026-02-28T01:30 or 2026-02-28T01:30:00+01:00")
        raise InvalidQuery(problem % {"text": repr(text)}) from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        problem = _("%(text)s is not a time of a log event: years go from %(first)s to %(last)s")
        raise InvalidQuery(problem % {"text": repr(text), "first": FIRST_YEAR, "last": LAST_YEAR})
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(settings.ETL_TIME_ZONE))
    return moment.astimezone(UTC)


def query_of(source: str, *, known: Sequence[str], start: str = "", end: str = "", level: str = "", contains: str = "", now: datetime) -> LogQuery:
    """Return the query for what a user entered. `known`: the names of the log sources. `level`: events of this level or worse are found.

    If `end` is empty, the period ends a minute after `now`, because the clocks of machines differ. If `start` is empty, it begins a day before its
    end. Raises InvalidQuery.
    """
    if source not in known:
        if not known:
            raise InvalidQuery(_("there is no log source %(name)s; there is none yet: add one with add_log_source") % {"name": repr(source)})
        problem = _("there is no log source %(name)s; known sources: %(known)s")
        raise InvalidQuery(problem % {"name": repr(source), "known": ", ".join(known)})
    if level and level not in LEVEL_CHOICES:
        problem = _("there is no level %(level)s: choose one of %(levels)s; it comes with those that are worse")
        raise InvalidQuery(problem % {"level": repr(level), "levels": ", ".join(LEVEL_CHOICES)})
    until = moment_of(end) if end else now + timedelta(minutes=1)
    since = moment_of(start) if start else until - DEFAULT_SPAN
    if since >= until:
        raise InvalidQuery(_("the period ends before it begins: swap the two times"))
    return LogQuery(source, since, until, level_or_worse(level) if level else frozenset(), contains)
