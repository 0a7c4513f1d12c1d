"""The keyspace, its tables, and the steps that bring it from one version of the schema to the next."""

import logging

from cassandra.cluster import Session
from cassandra.metadata import protect_name
from django.conf import settings
from django.utils.translation import gettext as _

from log_store.store import LogStoreUnavailable

logger = logging.getLogger(__name__)

TIMEOUT_S = 60.0
DAY_S = 86_400
# Time-window compaction works best with about thirty windows over the time to live.
COMPACTION_WINDOWS = 30
# How many files Cassandra waits for before it merges them. A partition is in only one or two files, those that were flushed while it was written. So
# if files were merged earlier, reading a partition would not be faster.
MERGED_AT_ONCE = 16

# An event is written once and as a whole, so it is stored as one value. This costs the servers half of what a dozen columns would cost.
EVENT = """CREATE TYPE IF NOT EXISTS {keyspace}.event (
    level text, message text, extra frozen<map<text, text>>, service text, host text, logger text, method text, path text, status int,
    duration_ms double, trace_id text
)"""
# A segment is one mebibyte of a file and has at most half a million lines. So a partition stays below 100 MB, however fast a log is written.
LOG = """CREATE TABLE IF NOT EXISTS {keyspace}.log (
    source text, hour timestamp, segment text, time timestamp, event_id text, event frozen<event>,
    PRIMARY KEY ((source, hour, segment), time, event_id)
) WITH CLUSTERING ORDER BY (time DESC, event_id DESC)
  AND compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS',
                    'compaction_window_size': {window_days}, 'min_threshold': {merged_at_once}}}
  AND default_time_to_live = {ttl_s}"""
# One row for each partition of `log`. `spans`: for the mark of each write, the first and last time of its events. `levels`: the number of events of
# each level. `counted`: the marks of the writes whose events are included in `levels`.
PARTS = """CREATE TABLE IF NOT EXISTS {keyspace}.parts (
    source text, day timestamp, hour timestamp, segment text,
    spans map<blob, frozen<tuple<timestamp, timestamp>>>, counted set<blob>, levels frozen<map<text, int>>,
    PRIMARY KEY ((source, day), hour, segment)
) WITH CLUSTERING ORDER BY (hour DESC, segment DESC)"""
# The days that have events. With this table, a query over years reads `parts` only for these days.
DAYS = """CREATE TABLE IF NOT EXISTS {keyspace}.days (
    source text, day timestamp, PRIMARY KEY (source, day)
) WITH CLUSTERING ORDER BY (day DESC)"""
SCHEMA_VERSION = "CREATE TABLE IF NOT EXISTS {keyspace}.schema_version (name text PRIMARY KEY, version int)"

# For each version of the schema, from 1 on, the statements that upgrade the schema to it. To add a version, append a tuple. A step that was killed
# is run again from its first statement, so each statement must be repeatable (IF NOT EXISTS). Workers of the old version may still be writing, so
# each statement must leave the old tables usable.
STEPS: tuple[tuple[str, ...], ...] = ((EVENT, LOG, PARTS, DAYS, SCHEMA_VERSION),)


def keyspace() -> str:
    """Return the name of the keyspace, quoted for CQL."""
    return protect_name(settings.CASSANDRA_KEYSPACE)


def upgrade(session: Session) -> None:
    """Create the keyspace if it does not exist, and run the steps that it lacks.

    Raises LogStoreUnavailable if the keyspace has a newer version than this code knows.

    After each statement the driver waits until all nodes have the same schema. The version is stored after each step.
    """
    found = version(session)
    if found > len(STEPS):
        reason = _(
            "The keyspace %(keyspace)s has version %(version)s of the log store's schema, but this release only knows versions up to "
            "%(latest)s: update this installation, or choose another keyspace by CASSANDRA_KEYSPACE."
        )
        raise LogStoreUnavailable(reason % {"keyspace": settings.CASSANDRA_KEYSPACE, "version": found, "latest": len(STEPS)})
    if found == 0:
        _create_keyspace(session)
    for number, statements in enumerate(STEPS[found:], start=found + 1):
        for statement in statements:
            session.execute(_filled_in(statement), timeout=TIMEOUT_S)
        session.execute(
            f"INSERT INTO {keyspace()}.schema_version (name, version) VALUES ('log_store', {number})",  # noqa: S608 (no user input)
            timeout=TIMEOUT_S,
        )
        logger.info("log_store_schema_created", extra={"version": number})


def version(session: Session) -> int:
    """Return the version of the keyspace's schema, or 0 if the keyspace has no tables yet."""
    query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 'schema_version'"
    if session.execute(query, (settings.CASSANDRA_KEYSPACE,)).one() is None:
        return 0
    row = session.execute(f"SELECT version FROM {keyspace()}.schema_version WHERE name = 'log_store'").one()  # noqa: S608 (no user input)
    return row.version if row is not None else 0


def _create_keyspace(session: Session) -> None:
    query = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
    # An operator may have created the keyspace because this account lacks the permission. So nothing is created if it exists.
    if session.execute(query, (settings.CASSANDRA_KEYSPACE,)).one() is None:
        datacenter = settings.CASSANDRA_LOCAL_DC.replace("'", "''")
        replication = f"{{'class': 'NetworkTopologyStrategy', '{datacenter}': {settings.CASSANDRA_REPLICATION_FACTOR}}}"
        session.execute(f"CREATE KEYSPACE IF NOT EXISTS {keyspace()} WITH replication = {replication}", timeout=TIMEOUT_S)


def _filled_in(statement: str) -> str:
    return statement.format(
        keyspace=keyspace(),
        ttl_s=settings.CASSANDRA_TTL_DAYS * DAY_S,
        window_days=max(1, settings.CASSANDRA_TTL_DAYS // COMPACTION_WINDOWS),
        merged_at_once=MERGED_AT_ONCE,
    )
