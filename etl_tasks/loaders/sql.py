"""Log events in a table of the ETL's own database, for where no Cassandra is configured."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
from django.db import IntegrityError, InterfaceError, OperationalError, transaction

from etl_tasks.loaders.log_store import LogStoreUnavailable
from etl_tasks.models import LogEventRow
from etl_tasks.sources.logs.event import LogEvent, to_millisecond

BATCH_ROWS = 500
FIELDS = LogEvent.__struct_fields__


class SqlLogStore:
    def ensure_schema(self) -> None:
        """The migrations make the table."""

    def write(self, events: Sequence[LogEvent]) -> None:
        # In key order, so that two writers wait for each other and do not deadlock.
        rows = [_row(event) for event in sorted({event.event_id: event for event in events}.values(), key=lambda event: event.event_id)]
        with _answering():
            for start in range(0, len(rows), BATCH_ROWS):
                _insert_new(rows[start : start + BATCH_ROWS])

    def count(self, source: str, start: datetime, end: datetime) -> int:
        with _answering():
            return LogEventRow.objects.filter(source=source, time__gte=start, time__lt=end).count()

    def read(self, source: str, start: datetime, end: datetime, *, level: str | None = None, limit: int = 1000) -> list[LogEvent]:
        rows = LogEventRow.objects.filter(source=source, time__gte=start, time__lt=end).order_by("-time", "event_id")
        if level is not None:
            rows = rows.filter(level=level)
        with _answering():
            return [LogEvent(**row) for row in rows.values(*FIELDS)[:limit]]

    def ping(self) -> None:
        with _answering():
            LogEventRow.objects.exists()


def _insert_new(rows: list[LogEventRow]) -> None:
    """Not by ignoring conflicts: MySQL's INSERT IGNORE would also cut what is too long and drop what is wrong, in silence."""
    for is_last in (False, True):
        known = set(LogEventRow.objects.filter(event_id__in=[row.event_id for row in rows]).values_list("event_id", flat=True))
        try:
            with transaction.atomic():
                LogEventRow.objects.bulk_create([row for row in rows if row.event_id not in known])
            return
        except IntegrityError:  # another writer of the same events came in between
            if is_last:
                raise


def _row(event: LogEvent) -> LogEventRow:
    return LogEventRow(**{**msgspec.structs.asdict(event), "time": to_millisecond(event.time)})


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as exc:
        raise LogStoreUnavailable("The database that keeps the log events did not answer.") from exc
