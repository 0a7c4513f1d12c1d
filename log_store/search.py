"""Turn the search that a user enters, by command or on the log page, into a query of the log store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from log_store.store import LEVELS, LogQuery, level_or_worse

LEVEL_CHOICES = (*LEVELS, "unknown")
DEFAULT_SPAN = timedelta(days=1)
# The years that the formats read. Near the calendar's limits, converting a time zone or subtracting a day would overflow.
FIRST_YEAR, LAST_YEAR = 1970, 2999


class InvalidQuery(ValueError):
    """The search is invalid. The message says how to correct it."""


def moment_of(text: str) -> datetime:
    """Parse an ISO 8601 time. Without an offset it is in ETL_TIME_ZONE; a date means its first instant."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidQuery(f"{text!r} is no time: write it as 2026-02-28, 2026-02-28T01:30 or 2026-02-28T01:30:00+01:00") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InvalidQuery(f"{text!r} is no time of a log: years go from {FIRST_YEAR} to {LAST_YEAR}")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(settings.ETL_TIME_ZONE))
    return moment.astimezone(UTC)


def query_of(source: str, *, known: Sequence[str], start: str = "", end: str = "", level: str = "", contains: str = "", now: datetime) -> LogQuery:
    """Return the query for what a user entered. `known`: the names of the log sources. `level`: this level or worse.

    The end defaults to a minute after `now`, because clocks differ; the start to a day before the end. Raises InvalidQuery.
    """
    if source not in known:
        has = f"known sources: {', '.join(known)}" if known else "there is none yet: add one with add_log_source"
        raise InvalidQuery(f"there is no log source {source!r}; {has}")
    if level and level not in LEVEL_CHOICES:
        raise InvalidQuery(f"there is no level {level!r}: choose one of {', '.join(LEVEL_CHOICES)}; it comes with those that are worse")
    until = moment_of(end) if end else now + timedelta(minutes=1)
    since = moment_of(start) if start else until - DEFAULT_SPAN
    if since >= until:
        raise InvalidQuery("the period ends before it begins: swap the two times")
    return LogQuery(source, since, until, level_or_worse(level) if level else frozenset(), contains)
