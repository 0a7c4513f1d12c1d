"""Log events in a table of the ETL's own database, for where no Cassandra is configured."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Model, Q, QuerySet

from log_store.counts import HOUR, HOUR_MS, hour_of, tally
from log_store.event import LogEvent, has_offset, milliseconds, of_milliseconds, segment_of
from log_store.models import LogEventRow, LogSumRow
from log_store.paging import Bounds
from log_store.store import BEHIND_ID, LogPage, LogQuery, LogStoreUnavailable, Tally, filled
from log_store.write_parts import Part, parts_of

PAGE_ROWS = 1000
ROWS_AT_ONCE = 1000
FIELDS = LogEvent.__struct_fields__
EVENT_ID, TIME = FIELDS.index("event_id"), FIELDS.index("time")


class SqlLogStore:
    def ensure_schema(self) -> None:
        """The migrations make the tables."""

    def write(self, events: Sequence[LogEvent]) -> list[Tally]:
        """Events and sums in one transaction; the rows of the sums come first and hold back other writers of the same segments."""
        if not events:
            return []
        parts = sorted(parts_of(events), key=lambda part: (part.source, part.hour, part.segment))
        with _answering(), transaction.atomic():
            sums = [_claimed(part) for part in parts]
            _insert_new(parts)
            tallies = [part.tally() if not row.levels and _is_all_there_is(part) else _counted(part) for part, row in zip(parts, sums, strict=True)]
            for row, one in zip(sums, tallies, strict=True):
                if row.levels != one.levels:
                    LogSumRow.objects.filter(pk=row.pk).update(levels=one.levels)
        return tallies

    def write_each(self, pages: Iterable[Sequence[LogEvent]]) -> Iterator[list[Tally]]:
        return map(self.write, pages)

    def read(self, query: LogQuery, *, after: str = "", limit: int = 100, oldest_first: bool = False) -> LogPage:
        bounds = Bounds.of(query, after, oldest_first=oldest_first)
        rows_at_once = PAGE_ROWS if query.contains else min(PAGE_ROWS, limit + 1)
        # A level at a time: the index has the events of one level in order, and not those of several.
        of_levels = [{"source": query.source, "level": level} for level in sorted(query.levels)] or [{"source": query.source}]
        streams = [_in_order(LogEventRow.objects.filter(**one), bounds, rows_at_once, oldest_first=oldest_first) for one in of_levels]
        with _answering():
            return filled(heapq.merge(*streams, key=lambda event: (event.time, event.event_id), reverse=not oldest_first), query, limit=limit)

    def count(self, source: str, start: datetime, end: datetime) -> int:
        """The whole hours by their sums, the rest of the period by its events."""
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

    def forget(self, source: str) -> Iterator[int]:
        for model in (LogEventRow, LogSumRow):
            while keys := self._some_keys(model, source):
                with _answering():
                    model._default_manager.filter(pk__in=keys).delete()
                yield len(keys)

    def _some_keys(self, model: type[Model], source: str) -> list[int]:
        with _answering():
            return list(model._default_manager.filter(source=source).order_by().values_list("pk", flat=True)[:ROWS_AT_ONCE])

    def ping(self) -> None:
        with _answering():
            LogEventRow.objects.exists()


# --- writing --------------------------------------------------------------------------------------------------------


def _claimed(part: Part) -> LogSumRow:
    """Its row of the sums, held until the transaction ends; without levels if nothing was ever written to this part."""
    names = "source", "hour", "segment", "levels"
    with connection.cursor() as cursor:
        cursor.execute(_insert_once(LogSumRow, names, "segment"), (part.source, part.hour.strftime("%Y-%m-%d %H:00:00"), part.segment, "{}"))
    return LogSumRow.objects.select_for_update().get(source=part.source, hour=part.hour, segment=part.segment)


def _insert_new(parts: Iterable[Part]) -> None:
    """Without models, which cost more than the insert. In the order of the ids, so that two writers do not deadlock."""
    rows = sorted((row for part in parts for row in _rows(part)), key=itemgetter(0))
    with connection.cursor() as cursor:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            cursor.executemany(_insert_once(LogEventRow, FIELDS, "event_id"), rows[start : start + ROWS_AT_ONCE])


def _insert_once(model: type[Model], names: Sequence[str], key: str) -> str:
    """Not MySQL's INSERT IGNORE: it would also cut what is too long and drop what is wrong, in silence."""
    once = f"ON DUPLICATE KEY UPDATE {key} = {key}" if connection.vendor == "mysql" else "ON CONFLICT DO NOTHING"
    return f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) {once}"  # noqa: S608 (our own names)


def _rows(part: Part) -> Iterator[tuple[Any, ...]]:
    """In the order of FIELDS, as the database's driver wants them."""
    hour = part.hour.strftime("%Y-%m-%d %H")
    for (time, event_id), event in part.events.items():
        second, thousandth = divmod(time % HOUR_MS, 1000)
        yield (
            event_id,
            event.source,
            # As Django writes it: SQLite compares times as texts.
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


def _is_all_there_is(part: Part) -> bool:
    """Of a part without sums: whether all that was written is there now, and no event of it kept its place in another hour."""
    return has_offset(part.segment) and _of_segment(part).count() == len(part.events)


def _counted(part: Part) -> Tally:
    """Event by event, from what the table holds."""
    rows = _of_segment(part).values_list("event_id", "time", "level", "status").iterator(PAGE_ROWS)
    lines = ((milliseconds(time), level, status) for event_id, time, level, status in rows if segment_of(event_id) == part.segment)
    return tally(part.source, part.segment, part.hour, lines)


def _of_segment(part: Part) -> QuerySet[LogEventRow]:
    """By the range of their ids, where the segment is the beginning of the id; else all of the hour."""
    rows = _between(part.source, part.hour, part.hour + HOUR)
    if not has_offset(part.segment):
        return rows
    return rows.filter(event_id__gte=part.segment, event_id__lt=part.segment + BEHIND_ID)


# --- reading --------------------------------------------------------------------------------------------------------


def _between(source: str, start: datetime, end: datetime) -> QuerySet[LogEventRow]:
    return LogEventRow.objects.filter(source=source, time__gte=start, time__lt=end)


def page_of(rows: QuerySet[LogEventRow], bounds: Bounds, *, oldest_first: bool) -> QuerySet[LogEventRow]:
    """Those between the bounds, in order."""
    (low, low_id), (high, high_id) = bounds.low, bounds.high
    first, last = of_milliseconds(low), of_milliseconds(high)
    # The outer conditions on the time are what the index is entered by.
    return rows.filter(
        Q(time__gt=first) | Q(time=first, event_id__gt=low_id),
        Q(time__lt=last) | Q(time=last, event_id__lt=high_id),
        time__gte=first,
        time__lte=last,
    ).order_by(*(("time", "event_id") if oldest_first else ("-time", "-event_id")))


def _in_order(rows: QuerySet[LogEventRow], bounds: Bounds, rows_at_once: int, *, oldest_first: bool) -> Iterator[LogEvent]:
    """A page after the other, each from where the one before it ended."""
    while True:
        found = list(page_of(rows, bounds, oldest_first=oldest_first).values_list(*FIELDS)[:rows_at_once])
        for row in found:
            yield LogEvent(*row)
        if len(found) < rows_at_once:
            return
        place = milliseconds(found[-1][TIME]), found[-1][EVENT_ID]
        bounds = Bounds(place, bounds.high) if oldest_first else Bounds(bounds.low, place)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as exc:
        raise LogStoreUnavailable("The database that keeps the log events did not answer.") from exc
