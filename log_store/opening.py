"""Open the configured log store: Cassandra if CASSANDRA_CONTACT_POINTS is set, the SQL database otherwise."""

from django.conf import settings

from log_store.sql import SqlLogStore
from log_store.store import LogStore


def open_log_store() -> LogStore:
    """Return the log store that the settings choose."""
    if not settings.CASSANDRA_CONTACT_POINTS:
        return SqlLogStore()
    # Imported only if Cassandra is used, because its driver takes 38 MB of memory.
    from log_store.cassandra import CassandraLogStore

    return CassandraLogStore()


def all_log_stores() -> list[LogStore]:
    """Return every log store that may hold events: the configured one, and the SQL one, which may hold events from before Cassandra was used."""
    configured = open_log_store()
    return [configured] if isinstance(configured, SqlLogStore) else [configured, SqlLogStore()]
