"""Log events in Cassandra. docs/log-store.md says how they lie there, and why counts stay exact."""

from log_store.cassandra.store import CassandraLogStore

__all__ = ["CassandraLogStore"]
