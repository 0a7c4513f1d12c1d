"""The log store in the ETL's own SQL database, used if no Cassandra is configured."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import msgspec
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, Model, Q, QuerySet
from django.db.models.functions import TruncMinute
from django.utils.translation import gettext as _

from log_store.counts import HOUR, HOUR_MS, hour_of, tally
from log_store.event import LogEvent, milliseconds, of_milliseconds
from log_store.models import LogEventRow, LogSumRow
from log_store.paging import Bounds
from log_store.store import AFTER_ID, LogPage, LogQuery, LogStoreUnavailable, Tally, filled
from log_store.write_parts import Part, parts_of

PAGE_ROWS = 1000
# A search for a text that few events have examines many rows. It reads more of them with each query, so that it needs few queries.
GROWTH, MOST_PAGE_ROWS = 5, 25_000
ROWS_AT_ONCE = 1000
FIELDS = LogEvent.__struct_fields__
EVENT_ID, TIME = FIELDS.index("event_id"), FIELDS.index("time")


class SqlLogStore:
    def ensure_schema(self) -> None:
        """Does nothing: migrations create the tables."""

    def write(self, events: Sequence[LogEvent]) -> list[Tally]:
        """Write events and counts in one transaction.

        The rows of the counts are locked first, so two writers of the same part (segment and hour) take turns.
        """
        if not events:
            return []
        parts = sorted(parts_of(events), key=lambda part: (part.source, part.hour, part.segment))
        with _answering(), transaction.atomic():
            count_rows = [_locked_counts(part) for part in parts]
            _insert_new(parts)
            tallies = [part.tally() if not row.levels and _holds_only(part) else _counted(part) for part, row in zip(parts, count_rows, strict=True)]
            for row, counted in zip(count_rows, tallies, strict=True):
                if row.levels != counted.levels:
                    LogSumRow.objects.filter(pk=row.pk).update(levels=counted.levels)
        return tallies

    def write_each(self, pages: Iterable[Sequence[LogEvent]]) -> Iterator[list[Tally]]:
        return map(self.write, pages)

    def read(self, query: LogQuery, *, after: str = "", limit: int = 100, oldest_first: bool = False) -> LogPage:
        bounds = Bounds.of(query, after, oldest_first=oldest_first)
        rows_at_once = PAGE_ROWS if query.contains else min(PAGE_ROWS, limit + 1)
        # Read the events of each level separately and merge them, because in the index only events of the same level are in order of time.
        filters = [{"source": query.source, "level": level} for level in sorted(query.levels)] or [{"source": query.source}]
        streams = [_in_order(LogEventRow.objects.filter(**columns), bounds, rows_at_once, oldest_first=oldest_first) for columns in filters]
        with _answering():
            return filled(heapq.merge(*streams, key=lambda event: (event.time, event.event_id), reverse=not oldest_first), query, limit=limit)

    def count(self, source: str, start: datetime, end: datetime) -> int:
        """Return the number of events in a period. Whole hours are summed from the table of counts. In the rest of the period, events are counted."""
        first, last = hour_of(start + HOUR - datetime.resolution), hour_of(end)
        with _answering():
            if first >= last:
                return _between(source, start, end).count()
            return sum(self.counts(source, first, last).values()) + _between(source, start, first).count() + _between(source, last, end).count()

    def counts(self, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
        found: Counter[tuple[datetime, str]] = Counter()
        with _answering():
            rows = LogSumRow.objects.filter(source=source, hour__gte=start, hour__lt=end).values_list("hour", "levels")
            for hour, levels in rows.iterator():
                found.update({(hour, level): events for level, events in levels.items()})
        return dict(found)

    def minute_counts(self, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
        rows = _between(source, start, end).order_by().annotate(minute=TruncMinute("time", tzinfo=UTC)).values_list("minute", "level")
        with _answering():
            return {(minute, level): events for minute, level, events in rows.annotate(events=Count("pk"))}

    def forget(self, source: str) -> Iterator[int]:
        for model in (LogEventRow, LogSumRow):
            yield from _deleted(model._default_manager.filter(source=source))

    def expire(self, before: datetime) -> Iterator[int]:
        first_kept = hour_of(before)
        for source in self._sources():
            yield from _deleted(LogEventRow.objects.filter(source=source, time__lt=first_kept))
            for _batch in _deleted(LogSumRow.objects.filter(source=source, hour__lt=first_kept)):
                yield 0

    def expired(self, before: datetime) -> int:
        with _answering():
            return sum(LogEventRow.objects.filter(source=source, time__lt=hour_of(before)).count() for source in self._sources())

    def _sources(self) -> list[str]:
        with _answering():
            return list(LogSumRow.objects.order_by("source").values_list("source", flat=True).distinct())

    def missing_schema_steps(self) -> int:
        return 0  # migrations create the tables

    def ping(self) -> None:
        with _answering():
            LogEventRow.objects.exists()


def _deleted(rows: QuerySet[Any]) -> Iterator[int]:
    """Delete the rows in batches, and yield the size of each."""
    while True:
        with _answering():
            keys = list(rows.order_by().values_list("pk", flat=True)[:ROWS_AT_ONCE])
            rows.model._default_manager.filter(pk__in=keys).delete()
        if not keys:
            return
        yield len(keys)


# --- writing --------------------------------------------------------------------------------------------------------


def _locked_counts(part: Part) -> LogSumRow:
    """Return the row of the part's counts, locked until the transaction ends. If the part is new, the row is created with empty levels."""
    names = "source", "hour", "segment", "levels"
    with connection.cursor() as cursor:
        cursor.execute(_insert_once(LogSumRow, names, "segment"), (part.source, part.hour.strftime("%Y-%m-%d %H:00:00"), part.segment, "{}"))
    return LogSumRow.objects.select_for_update().get(source=part.source, hour=part.hour, segment=part.segment)


def _insert_new(parts: Iterable[Part]) -> None:
    """Insert the events that are not stored yet, in the order of their ids, so that two writers do not deadlock.

    The rows are written without model instances, because making these would take longer than the insert.
    """
    rows = sorted((row for part in parts for row in _rows(part)), key=itemgetter(0))
    with connection.cursor() as cursor:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            cursor.executemany(_insert_once(LogEventRow, FIELDS, "event_id"), rows[start : start + ROWS_AT_ONCE])


def _insert_once(model: type[Model], names: Sequence[str], key: str) -> str:
    """Return an INSERT statement that leaves a row unchanged if it exists. `key`: a column, which MySQL then sets to its own value.

    MySQL's INSERT IGNORE is not used, because it would also silently cut long values and drop invalid ones.
    """
    keep_existing = f"ON DUPLICATE KEY UPDATE {key} = {key}" if connection.vendor == "mysql" else "ON CONFLICT DO NOTHING"
    return f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) {keep_existing}"  # noqa: S608 (our own names)


def _rows(part: Part) -> Iterator[tuple[Any, ...]]:
    """Yield the part's events as rows. The values are in the order of FIELDS, in types that the database's driver takes."""
    hour = part.hour.strftime("%Y-%m-%d %H")
    for (time, event_id), event in part.events.items():
        second, thousandth = divmod(time % HOUR_MS, 1000)
        yield (
            event_id,
            event.source,
            # The time is in the format that Django writes, because SQLite compares times as texts.
            f"{hour}:{second // 60:02}:{second % 60:02}.{thousandth:03}000" if thousandth else f"{hour}:{second // 60:02}:{second % 60:02}",
            event.level,
            event.service,
            event.host,
            event.logger,
            event.message,
            event.method,
            event.path,
            event.status,
            event.duration_ms,
            event.trace_id,
            msgspec.json.encode(event.extra).decode() if event.extra else "{}",
        )


def _holds_only(part: Part) -> bool:
    """Return whether exactly the part's events are stored for its segment and hour. The part is new: it had no counts before.

    An event whose id was already stored with a time in another hour is not stored again, so it is missing here.
    """
    return _of_segment(part).count() == len(part.events)


def _counted(part: Part) -> Tally:
    """Count the stored events of a part."""
    rows = _of_segment(part).values_list("time", "level", "status").iterator(PAGE_ROWS)
    lines = ((milliseconds(time), level, status) for time, level, status in rows)
    return tally(part.source, part.segment, part.hour, lines)


def _of_segment(part: Part) -> QuerySet[LogEventRow]:
    """Return the rows of the part's segment and hour. They are selected by the range of the segment's ids."""
    rows = _between(part.source, part.hour, part.hour + HOUR)
    return rows.filter(event_id__gte=part.segment, event_id__lt=part.segment + AFTER_ID)


# --- reading --------------------------------------------------------------------------------------------------------


def _between(source: str, start: datetime, end: datetime) -> QuerySet[LogEventRow]:
    return LogEventRow.objects.filter(source=source, time__gte=start, time__lt=end)


def page_of(rows: QuerySet[LogEventRow], bounds: Bounds, *, oldest_first: bool) -> QuerySet[LogEventRow]:
    """Return the rows between the bounds, ordered by time and id."""
    (low, low_id), (high, high_id) = bounds.low, bounds.high
    first, last = of_milliseconds(low), of_milliseconds(high)
    # The last two conditions follow from the others. With them, the database can use the index.
    return rows.filter(
        Q(time__gt=first) | Q(time=first, event_id__gt=low_id),
        Q(time__lt=last) | Q(time=last, event_id__lt=high_id),
        time__gte=first,
        time__lte=last,
    ).order_by(*(("time", "event_id") if oldest_first else ("-time", "-event_id")))


def _in_order(rows: QuerySet[LogEventRow], bounds: Bounds, rows_at_once: int, *, oldest_first: bool) -> Iterator[LogEvent]:
    """Yield the events between the bounds in order. They are read in pages, and each page begins after the last event of the page before.

    `rows_at_once`: the size of the first page.
    """
    while True:
        found = list(page_of(rows, bounds, oldest_first=oldest_first).values_list(*FIELDS)[:rows_at_once])
        for row in found:
            yield LogEvent(*row)
        if len(found) < rows_at_once:
            return
        if rows_at_once >= PAGE_ROWS:
            rows_at_once = min(GROWTH * rows_at_once, MOST_PAGE_ROWS)
        place = milliseconds(found[-1][TIME]), found[-1][EVENT_ID]
        bounds = Bounds(place, bounds.high) if oldest_first else Bounds(bounds.low, place)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as exc:
        raise LogStoreUnavailable(_("The database that keeps the log events did not answer.")) from exc
