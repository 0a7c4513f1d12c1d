"""The log store in Cassandra. docs/log-store.md describes its tables and why its counts are exact."""

from log_store.cassandra.store import CassandraLogStore

__all__ = ["CassandraLogStore"]
