"""Log events in Cassandra: a partition for each source and hour, the newest first.

An event's key is made of its own source, time and id, so writing it again writes the same row. log_buckets names the hours
that a source has events in, so that reading visits those and no others.
"""

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from cassandra import ConsistencyLevel, DriverException, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionException
from cassandra.metadata import protect_name
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import UNSET_VALUE, BatchStatement, BatchType, PreparedStatement, SimpleStatement
from django.conf import settings

from etl_tasks.loaders.log_store import LogStoreUnavailable
from etl_tasks.sources.logs.event import LogEvent, to_millisecond

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
SCHEMA_TIMEOUT_S = 60.0
# Measured: 100 rows of one partition cost a tenth of single inserts, larger batches win nothing.
BATCH_ROWS = 100
BATCH_BYTES = 64 * 1024
ROW_OVERHEAD_BYTES = 200
REQUESTS_IN_FLIGHT = 8
PAGE_ROWS = 1000
BUCKET = timedelta(hours=1)
DAY_S = 86_400
# Time-window compaction works best with some thirty windows over the time to live.
COMPACTION_WINDOWS = 30

# The statements are put together from these names and the settings, never from what an event says: hence the noqa.
COLUMNS = LogEvent.__struct_fields__
DRIVER_ERRORS = (DriverException, NoHostAvailable, ConnectionException, OSError)

SCHEMA_VERSION = 1
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS {keyspace}.log_events (
        source text, bucket timestamp, time timestamp, event_id text, level text, host text, logger text, message text,
        method text, path text, status int, duration_ms double, trace_id text, extra frozen<map<text, text>>,
        PRIMARY KEY ((source, bucket), time, event_id)
    ) WITH CLUSTERING ORDER BY (time DESC, event_id ASC)
      AND compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS',
                        'compaction_window_size': {window_days}}}
      AND default_time_to_live = {ttl_s}""",
    """CREATE TABLE IF NOT EXISTS {keyspace}.log_buckets (
        source text, bucket timestamp, PRIMARY KEY (source, bucket)
    ) WITH CLUSTERING ORDER BY (bucket DESC)""",
)


# --- the connection -------------------------------------------------------------------------------------------------


class _Connection:
    """One session for this process, made when first wanted. A session made before a fork hangs for ever in the child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process_id = 0
        self._session: Session | None = None
        self._prepared: dict[str, PreparedStatement] = {}
        # A parent's session is neither used nor closed here: its threads did not come along, and its sockets are the parent's.
        self._of_parents: list[Session] = []

    def forked(self) -> None:
        """Leave a lock behind that another thread of the parent may have held."""
        self._lock = threading.Lock()

    def session(self) -> Session:
        with self._lock:
            if self._process_id != os.getpid():
                if self._session is not None:
                    self._of_parents.append(self._session)
                self._process_id, self._session = os.getpid(), None
            if self._session is None or self._session.is_shutdown:
                self._prepared = {}
                self._session = _connect()
            return self._session

    def prepare(self, session: Session, query: str) -> PreparedStatement:
        prepared = self._prepared.get(query)
        if prepared is None:
            prepared = self._prepared[query] = session.prepare(query)
        return prepared

    def drop(self) -> None:
        """Close the session, so that the next call makes a new one."""
        with self._lock:
            if self._process_id != os.getpid() or self._session is None:
                return
            session, self._session = self._session, None
        session.cluster.shutdown()


def _connect() -> Session:
    datacenter = settings.CASSANDRA_LOCAL_DC
    authentication = None
    if settings.CASSANDRA_USERNAME:
        authentication = PlainTextAuthProvider(settings.CASSANDRA_USERNAME, settings.CASSANDRA_PASSWORD)
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=datacenter)),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=REQUEST_TIMEOUT_S,
    )
    cluster = Cluster(
        contact_points=list(settings.CASSANDRA_CONTACT_POINTS),
        port=settings.CASSANDRA_PORT,
        auth_provider=authentication,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        # Without it a request of more than 4 KiB waits 44 ms for an acknowledgement.
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        # The driver's own policy doubles its pause up to ten minutes.
        reconnection_policy=ConstantReconnectionPolicy(2.0, max_attempts=None),
        connect_timeout=CONNECT_TIMEOUT_S,
        control_connection_timeout=CONNECT_TIMEOUT_S,
    )
    try:
        return cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise


_connection = _Connection()
os.register_at_fork(after_in_child=_connection.forked)


@contextmanager
def _answering() -> Iterator[Session]:
    """The session; whatever the driver raises inside becomes a LogStoreUnavailable."""
    try:
        session = _connection.session()
    except DRIVER_ERRORS as exc:
        raise LogStoreUnavailable(
            "Cassandra cannot be reached: check CASSANDRA_CONTACT_POINTS, CASSANDRA_PORT, CASSANDRA_LOCAL_DC and the credentials."
        ) from exc
    try:
        yield session
    except InvalidRequest as exc:
        # The server is well and does not know what was asked: mostly tables that ensure_schema has yet to create.
        raise LogStoreUnavailable("Cassandra refused the request; if its tables are missing, create them with manage.py init_log_store.") from exc
    except DRIVER_ERRORS as exc:
        # The driver mends single connections itself; when no host is left or a host is frozen, a new start is sooner.
        _connection.drop()
        logger.warning("cassandra_session_dropped", extra={"error": type(exc).__name__})
        raise LogStoreUnavailable(f"Cassandra did not answer as it should ({type(exc).__name__}).") from exc


# --- the store ------------------------------------------------------------------------------------------------------


class CassandraLogStore:
    def __init__(self) -> None:
        self._keyspace = protect_name(settings.CASSANDRA_KEYSPACE)
        self._ttl_s = settings.CASSANDRA_TTL_DAYS * DAY_S

    def ensure_schema(self) -> None:
        with _answering() as session:
            if self._schema_version(session) >= SCHEMA_VERSION:
                return
            for statement in self._schema_statements(session):
                session.execute(statement, timeout=SCHEMA_TIMEOUT_S)
            logger.info("log_store_schema_created", extra={"version": SCHEMA_VERSION})

    def write(self, events: Sequence[LogEvent]) -> None:
        if not events:
            return
        ordered = sorted(events, key=_partition)
        with _answering() as session:
            # The hours first: no event may lie in an hour that reading does not know.
            _finish(_in_flight(session, self._bucket_inserts(session, ordered)))
            _finish(_in_flight(session, self._event_inserts(session, ordered)))

    def count(self, source: str, start: datetime, end: datetime) -> int:
        start, end = _ceiling(start), _ceiling(end)
        with _answering() as session:
            query = self._prepare(
                session, "SELECT count(*) AS events FROM {keyspace}.log_events WHERE source = ? AND bucket = ? AND time >= ? AND time < ?"
            )
            buckets = self._buckets(session, source, start, end)
            questions = (query.bind((source, bucket, start, end)) for bucket in buckets)
            return sum(answer.one().events for answer in _in_flight(session, questions))

    def read(self, source: str, start: datetime, end: datetime, *, level: str | None = None, limit: int = 1000) -> list[LogEvent]:
        if limit < 1:
            return []
        start, end = _ceiling(start), _ceiling(end)
        events: list[LogEvent] = []
        with _answering() as session:
            query = self._prepare(
                session,
                f"SELECT {', '.join(COLUMNS)} FROM {{keyspace}}.log_events WHERE source = ? AND bucket = ? AND time >= ? AND time < ?",  # noqa: S608
            )
            for bucket in self._buckets(session, source, start, end):
                question = query.bind((source, bucket, start, end))
                question.fetch_size = min(PAGE_ROWS, max(1, limit - len(events))) if level is None else PAGE_ROWS
                # Stops before it asks for a page that is not wanted.
                for row in session.execute(question):
                    if level is None or row.level == level:
                        events.append(_event(row))
                    if len(events) >= limit:
                        return events[:limit]
        return events

    def ping(self) -> None:
        with _answering() as session:
            # At ONE: what is asked is whether a node answers.
            session.execute(SimpleStatement("SELECT release_version FROM system.local", consistency_level=ConsistencyLevel.ONE))

    def _schema_version(self, session: Session) -> int:
        known = session.execute(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 'schema_version'",
            (settings.CASSANDRA_KEYSPACE,),
        ).one()
        if known is None:
            return 0
        row = session.execute(f"SELECT version FROM {self._keyspace}.schema_version WHERE name = 'log_store'").one()  # noqa: S608
        return row.version if row is not None else 0

    def _schema_statements(self, session: Session) -> Iterator[str]:
        existing = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = %s"
        # Where an operator has made the keyspace, our account may not be allowed to.
        if session.execute(existing, (settings.CASSANDRA_KEYSPACE,)).one() is None:
            datacenter = settings.CASSANDRA_LOCAL_DC.replace("'", "''")
            yield (
                f"CREATE KEYSPACE IF NOT EXISTS {self._keyspace} WITH replication = "
                f"{{'class': 'NetworkTopologyStrategy', '{datacenter}': {settings.CASSANDRA_REPLICATION_FACTOR}}}"
            )
        window_days = max(1, settings.CASSANDRA_TTL_DAYS // COMPACTION_WINDOWS)
        for statement in SCHEMA:
            yield statement.format(keyspace=self._keyspace, ttl_s=self._ttl_s, window_days=window_days)
        yield f"CREATE TABLE IF NOT EXISTS {self._keyspace}.schema_version (name text PRIMARY KEY, version int)"
        yield f"INSERT INTO {self._keyspace}.schema_version (name, version) VALUES ('log_store', {SCHEMA_VERSION})"  # noqa: S608

    def _prepare(self, session: Session, query: str) -> PreparedStatement:
        return _connection.prepare(session, query.format(keyspace=self._keyspace))

    def _buckets(self, session: Session, source: str, start: datetime, end: datetime) -> list[datetime]:
        """The hours of the period that have events, the newest first."""
        query = self._prepare(session, "SELECT bucket FROM {keyspace}.log_buckets WHERE source = ? AND bucket >= ? AND bucket < ?")
        return [row.bucket.replace(tzinfo=UTC) for row in session.execute(query, (source, _bucket(start), end))]

    def _bucket_inserts(self, session: Session, ordered: Sequence[LogEvent]) -> Iterator[Any]:
        # A day more than the events, so that an hour is known as long as one of its events lives.
        ttl_s = self._ttl_s + DAY_S
        insert = self._prepare(session, f"INSERT INTO {{keyspace}}.log_buckets (source, bucket) VALUES (?, ?) USING TTL {ttl_s}")  # noqa: S608
        for partition, _ in groupby(ordered, key=_partition):
            yield insert.bind(partition)

    def _event_inserts(self, session: Session, ordered: Sequence[LogEvent]) -> Iterator[BatchStatement]:
        # With its own time to live, for the table keeps the one of the day it was created.
        insert = self._prepare(
            session,
            f"INSERT INTO {{keyspace}}.log_events (bucket, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)}) USING TTL {self._ttl_s}",  # noqa: S608
        )
        for (_, bucket), events in groupby(ordered, key=_partition):
            for rows in _batches(events):
                # Unlogged is right within one partition, where a batch is one write; over several the server refuses it.
                batch = BatchStatement(batch_type=BatchType.UNLOGGED)
                batch.is_idempotent = True
                for event in rows:
                    batch.add(insert, (bucket, *_values(event)))
                yield batch


# --- requests and rows ----------------------------------------------------------------------------------------------


def _in_flight(session: Session, statements: Iterable[Any]) -> Iterator[Any]:
    """The answers in order, with a few requests under way at once."""
    under_way: deque[Any] = deque()
    for statement in statements:
        if len(under_way) == REQUESTS_IN_FLIGHT:
            yield under_way.popleft().result()
        under_way.append(session.execute_async(statement))
    while under_way:
        yield under_way.popleft().result()


def _finish(answers: Iterator[Any]) -> None:
    deque(answers, maxlen=0)


def _batches(events: Iterable[LogEvent]) -> Iterator[list[LogEvent]]:
    rows: list[LogEvent] = []
    size = 0
    for event in events:
        event_size = _size(event)
        if rows and (len(rows) == BATCH_ROWS or size + event_size > BATCH_BYTES):
            yield rows
            rows, size = [], 0
        rows.append(event)
        size += event_size
    if rows:
        yield rows


def _size(event: LogEvent) -> int:
    """About how many bytes the row takes in a request; a character counts as one."""
    extra = sum(len(key) + len(value) + 8 for key, value in event.extra.items())
    return ROW_OVERHEAD_BYTES + len(event.message) + len(event.path) + extra


def _values(event: LogEvent) -> Iterator[Any]:
    # A null would be written as a tombstone.
    for column in COLUMNS:
        value = getattr(event, column)
        if column == "time":
            value = to_millisecond(value)
        yield UNSET_VALUE if value is None else value


def _event(row: Any) -> LogEvent:
    return LogEvent(**{**row._asdict(), "time": row.time.replace(tzinfo=UTC), "extra": dict(row.extra or {})})


def _partition(event: LogEvent) -> tuple[str, datetime]:
    return event.source, _bucket(event.time)


def _bucket(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _ceiling(time: datetime) -> datetime:
    """The first millisecond not before `time`: what a bound with microseconds means for times that have none."""
    cut = to_millisecond(time.astimezone(UTC))
    return cut if cut.microsecond == time.microsecond else cut + timedelta(milliseconds=1)
