"""Log events in Cassandra. docs/log-store.md says how they lie there, and why counts stay exact."""

from etl_tasks.loaders.cassandra.store import CassandraLogStore

__all__ = ["CassandraLogStore"]
