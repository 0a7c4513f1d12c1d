"""Helpers that parse log lines with given format options."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.formats.interface import BodyOrigin, FormatOptions
from etl_tasks.sources.logs.formats.known_formats import format_of
from log_store.event import LogEvent

KEY = "0123456789abcdef"
WRITTEN_AT = datetime(2026, 3, 2, tzinfo=UTC)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def origin(
    *, start: int = 0, written_at: datetime = WRITTEN_AT, previous: Callable[[], datetime | None] = lambda: None, cut_bytes: int = 0
) -> BodyOrigin:
    return BodyOrigin(source="shop", key=KEY, start=start, written_at=written_at, previous=previous, cut_bytes=cut_bytes)


def results(reading: FormatOptions, body: bytes, **where: Any) -> list[Good | Bad]:
    found = list(format_of(reading).read(body, origin(**where)))
    assert format_of(reading).count(body) == len(found)
    return found


def events(log_format: str, body: bytes | str, *, where: dict[str, Any] | None = None, **how: Any) -> list[LogEvent]:
    body = body if isinstance(body, bytes) else body.encode()
    found = results(FormatOptions(log_format=log_format, **how), body, **(where or {}))
    assert [one for one in found if isinstance(one, Bad)] == []
    return [one.fact for one in found]


def event(log_format: str, line: bytes | str, *, where: dict[str, Any] | None = None, **how: Any) -> LogEvent:
    (found,) = events(log_format, line, where=where, **how)
    return found


def previous_is(moment: datetime) -> dict[str, Any]:
    return {"previous": lambda: moment}
