"""Where log events are kept: one small interface, Cassandra where it is configured, a SQL table else."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from django.conf import settings

from etl_tasks.errors import RetriableError
from etl_tasks.sources.logs.event import LogEvent


class LogStoreUnavailable(RetriableError):
    """The log store did not answer, or not well: what was asked may or may not be done, so it is done again."""


class LogStore(Protocol):
    """Periods are from `start`, included, to `end`, excluded; times are aware and kept to the millisecond.

    Every method raises LogStoreUnavailable when the store cannot be reached.
    """

    def ensure_schema(self) -> None:
        """Create what is missing; nothing happens when nothing is."""

    def write(self, events: Sequence[LogEvent]) -> None:
        """Keep the events; one that is already kept is not kept twice. After an error some of them may be kept."""

    def count(self, source: str, start: datetime, end: datetime) -> int: ...

    def read(self, source: str, start: datetime, end: datetime, *, level: str | None = None, limit: int = 1000) -> list[LogEvent]:
        """The newest first; events of one millisecond by their id."""

    def ping(self) -> None:
        """Return if the store answers."""


def open_log_store() -> LogStore:
    # Imported here: the driver costs 38 MB and is wanted only where Cassandra is.
    if settings.CASSANDRA_CONTACT_POINTS:
        from etl_tasks.loaders.cassandra import CassandraLogStore

        return CassandraLogStore()
    from etl_tasks.loaders.sql import SqlLogStore

    return SqlLogStore()
