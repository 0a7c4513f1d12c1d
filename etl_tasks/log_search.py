"""What a person asks of the logs, by command or by page, as the log store wants it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from etl_tasks.loaders.log_store import LEVELS, LogQuery, level_or_worse
from etl_tasks.models import Source
from etl_tasks.sources.registry import kinds_with_log_events

LEVEL_CHOICES = (*LEVELS, "unknown")
DEFAULT_SPAN = timedelta(days=1)
# As the formats read years; at the ends of the calendar a zone's offset, or the day before, would lead out of it.
FIRST_YEAR, LAST_YEAR = 1970, 2999


class BadQuestion(ValueError):
    """What was asked cannot be answered; the sentence says how to ask."""


def moment_of(text: str) -> datetime:
    """ISO 8601; a time without an offset is one of the business's zone, a date its first instant."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadQuestion(f"{text!r} is no time: write it as 2026-02-28, 2026-02-28T01:30 or 2026-02-28T01:30:00+01:00") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise BadQuestion(f"{text!r} is no time of a log: years go from {FIRST_YEAR} to {LAST_YEAR}")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(settings.ETL_TIME_ZONE))
    return moment.astimezone(UTC)


def query_of(source: str, *, start: str = "", end: str = "", level: str = "", contains: str = "", now: datetime) -> LogQuery:
    """`level`: it or worse. Without an end: until `now` and a minute, for clocks differ; without a start: the day before the end.

    Raises BadQuestion.
    """
    names = log_sources()
    if source not in names:
        has = f"there are {', '.join(names)}" if names else "there is none yet: add one with add_log_source"
        raise BadQuestion(f"there is no log source {source!r}; {has}")
    if level and level not in LEVEL_CHOICES:
        raise BadQuestion(f"there is no level {level!r}: choose one of {', '.join(LEVEL_CHOICES)}; it comes with those that are worse")
    until = moment_of(end) if end else now + timedelta(minutes=1)
    since = moment_of(start) if start else until - DEFAULT_SPAN
    if since >= until:
        raise BadQuestion("the period ends before it begins: swap the two times")
    return LogQuery(source, since, until, level_or_worse(level) if level else frozenset(), contains)


def log_sources() -> list[str]:
    return list(Source.objects.filter(kind__in=kinds_with_log_events()).order_by("name").values_list("name", flat=True))
