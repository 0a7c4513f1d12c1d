"""The tables, their versions, and the way from one version to the next.

Version 1 had log_events and log_buckets, a partition for each source and hour; version 2 had events, where each field of an event
was a column. `upgrade` moves their rows.
"""

import logging
from collections.abc import Iterator

from cassandra.cluster import Session
from cassandra.metadata import protect_name
from django.conf import settings

logger = logging.getLogger(__name__)

VERSION = 3
TIMEOUT_S = 60.0
DAY_S = 86_400
# Time-window compaction works best with some thirty windows over the time to live.
COMPACTION_WINDOWS = 30

# Since a partition lies in the files of the few flushes that its write met, merging those early would win a reader nothing.
MERGED_AT_ONCE = 16

# An event is written once and as a whole. As one value it costs the servers half of what it costs as a dozen columns.
EVENT = """CREATE TYPE IF NOT EXISTS {keyspace}.event (
    level text, message text, extra frozen<map<text, text>>, service text, host text, logger text, method text, path text, status int,
    duration_ms double, trace_id text
)"""
TABLES = {
    # A segment is a mebibyte of a file, with at most half a million lines: a partition stays far under 100 MB at any rate.
    "log": """CREATE TABLE IF NOT EXISTS {keyspace}.log (
        source text, hour timestamp, segment text, time timestamp, event_id text, event frozen<event>,
        PRIMARY KEY ((source, hour, segment), time, event_id)
    ) WITH CLUSTERING ORDER BY (time DESC, event_id DESC)
      AND compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS',
                        'compaction_window_size': {window_days}, 'min_threshold': {merged_at_once}}}
      AND default_time_to_live = {ttl_s}""",
    # What the partitions of log hold. spans: first and last time of each write to it, by the write's mark; counted: the
    # writes that are in the sums; levels: the sums.
    "parts": """CREATE TABLE IF NOT EXISTS {keyspace}.parts (
        source text, day timestamp, hour timestamp, segment text,
        spans map<blob, frozen<tuple<timestamp, timestamp>>>, counted set<blob>, levels frozen<map<text, int>>,
        PRIMARY KEY ((source, day), hour, segment)
    ) WITH CLUSTERING ORDER BY (hour DESC, segment DESC)""",
    # So that a period of years asks for the days that have events, and no others.
    "days": """CREATE TABLE IF NOT EXISTS {keyspace}.days (
        source text, day timestamp, PRIMARY KEY (source, day)
    ) WITH CLUSTERING ORDER BY (day DESC)""",
    "schema_version": "CREATE TABLE IF NOT EXISTS {keyspace}.schema_version (name text PRIMARY KEY, version int)",
}


def keyspace() -> str:
    return protect_name(settings.CASSANDRA_KEYSPACE)


def create(session: Session) -> None:
    """What is missing. The driver waits until all nodes agree after each statement."""
    if version(session) >= VERSION:
        return
    for statement in _statements(session):
        session.execute(statement, timeout=TIMEOUT_S)
    logger.info("log_store_schema_created", extra={"version": VERSION})


def tables(session: Session) -> set[str]:
    found = session.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (settings.CASSANDRA_KEYSPACE,))
    return {row.table_name for row in found}


def version(session: Session) -> int:
    if "schema_version" not in tables(session):
        return 0
    row = session.execute(f"SELECT version FROM {keyspace()}.schema_version WHERE name = 'log_store'").one()  # noqa: S608 (our own name)
    return row.version if row is not None else 0


def _statements(session: Session) -> Iterator[str]:
    existing = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
    # Where an operator has made the keyspace, our account may not be allowed to.
    if session.execute(existing, (settings.CASSANDRA_KEYSPACE,)).one() is None:
        datacenter = settings.CASSANDRA_LOCAL_DC.replace("'", "''")
        yield (
            f"CREATE KEYSPACE IF NOT EXISTS {keyspace()} WITH replication = "
            f"{{'class': 'NetworkTopologyStrategy', '{datacenter}': {settings.CASSANDRA_REPLICATION_FACTOR}}}"
        )
    window_days = max(1, settings.CASSANDRA_TTL_DAYS // COMPACTION_WINDOWS)
    yield EVENT.format(keyspace=keyspace())
    known = tables(session)
    for name, statement in TABLES.items():
        if name not in known:
            ttl_s = settings.CASSANDRA_TTL_DAYS * DAY_S
            yield statement.format(keyspace=keyspace(), ttl_s=ttl_s, window_days=window_days, merged_at_once=MERGED_AT_ONCE)
    yield f"INSERT INTO {keyspace()}.schema_version (name, version) VALUES ('log_store', {VERSION})"  # noqa: S608 (our own name)
