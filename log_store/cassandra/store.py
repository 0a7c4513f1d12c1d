"""The log store in Cassandra. It implements the interface in log_store/store.py."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from cassandra import ConsistencyLevel
from cassandra.query import SimpleStatement

from log_store.cassandra import reading, schema, writing
from log_store.cassandra.connection import open_session
from log_store.event import LogEvent
from log_store.paging import Bounds
from log_store.store import LogPage, LogQuery, Tally, filled

PAGES_AT_ONCE = 2


class CassandraLogStore:
    def ensure_schema(self) -> None:
        with open_session() as session:
            schema.upgrade(session)

    def write(self, events: Sequence[LogEvent]) -> list[Tally]:
        if not events:
            return []
        with open_session() as session:
            return writing.write(session, events)

    def write_each(self, pages: Iterable[Sequence[LogEvent]]) -> Iterator[list[Tally]]:
        """Write each page in a thread, two pages at the same time, so that the next page is prepared while the servers store the page before."""
        pending: deque[Future[list[Tally]]] = deque()
        with ThreadPoolExecutor(PAGES_AT_ONCE) as threads:
            for events in pages:
                pending.append(threads.submit(self.write, events))
                if len(pending) == PAGES_AT_ONCE:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def read(self, query: LogQuery, *, after: str = "", limit: int = 100, oldest_first: bool = False) -> LogPage:
        bounds = Bounds.of(query, after, oldest_first=oldest_first)
        page_rows = reading.PAGE_ROWS if query.levels or query.contains else min(reading.PAGE_ROWS, limit + 1)
        with open_session() as session:
            return filled(reading.scan(session, query, bounds, oldest_first=oldest_first, page_rows=page_rows), query, limit=limit)

    def count(self, source: str, start: datetime, end: datetime) -> int:
        with open_session() as session:
            return reading.count(session, source, Bounds.of(LogQuery(source, start, end), "", oldest_first=True))

    def counts(self, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
        with open_session() as session:
            return reading.counts(session, source, start, end)

    def minute_counts(self, source: str, start: datetime, end: datetime) -> dict[tuple[datetime, str], int]:
        with open_session() as session:
            return reading.minute_counts(session, source, Bounds.of(LogQuery(source, start, end), "", oldest_first=True))

    def forget(self, source: str) -> Iterator[int]:
        for day in self._days_of(source):
            with open_session() as session:
                parts = writing.forget_day(session, source, day)
            yield parts

    def expire(self, before: datetime) -> Iterator[int]:
        return iter(())  # each event is written with its time to live

    def expired(self, before: datetime) -> int:
        return 0

    def _days_of(self, source: str) -> list[datetime]:
        with open_session() as session:
            return reading.all_days(session, source)

    def missing_schema_steps(self) -> int:
        with open_session() as session:
            return len(schema.STEPS) - schema.version(session)

    def ping(self) -> None:
        with open_session() as session:
            # Consistency ONE is enough, because the question is whether any node answers.
            session.execute(SimpleStatement("SELECT release_version FROM system.local", consistency_level=ConsistencyLevel.ONE))
