"""The Cassandra session of a process, its policies, and the conversion of the driver's errors."""

import logging
import os
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cassandra import ConsistencyLevel, DriverException, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import BatchStatement, PreparedStatement, tuple_factory
from django.conf import settings
from django.utils.translation import gettext as _

from log_store.store import LogStoreUnavailable

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
# The most requests that wait for an answer at the same time, for each page that is being written (store.py). Most pages need fewer requests.
REQUESTS_IN_FLIGHT = 8
BUSY_PAUSE_S = 0.02
# If a replica has not answered a read after this time, the read is also sent to another replica.
SPECULATIVE_DELAY_S = 0.5
READING = "reading"
DRIVER_ERRORS = (DriverException, NoHostAvailable, ConnectionException, OSError)


class RetryOnce(RetryPolicy):
    """Retry a request once if the replicas timed out. This is safe because every request is idempotent.

    The request is sent to the same coordinator again, because a coordinator asks all replicas anyway, and a cluster of one node has no other. If a
    coordinator is overloaded, starting or gone, or sees too few replicas, the driver tries the next host, as it does by default. If this fails too,
    the request fails, and the stage of the pipeline that sent it is retried.
    """

    def on_read_timeout(
        self, query: Any, consistency: int, required_responses: int, received_responses: int, data_retrieved: bool, retry_num: int
    ) -> tuple[int, None]:
        return (self.RETRY, None) if retry_num == 0 else (self.RETHROW, None)

    def on_write_timeout(
        self, query: Any, consistency: int, write_type: str, required_responses: int, received_responses: int, retry_num: int
    ) -> tuple[int, None]:
        return (self.RETRY, None) if retry_num == 0 else (self.RETHROW, None)


class LargeWrites(Cluster.connection_class):
    """A connection that hands a request to the socket in pieces of 64 KiB. The driver's 4 KiB are sixty calls for each batch of events."""

    out_buffer_size = 64 * 1024


class Connection:
    """Holds the session of this process, created at its first use. A session created before a fork would block forever in the child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process_id = 0
        self._session: Session | None = None
        self._prepared: dict[str, PreparedStatement] = {}
        # Sessions of parent processes. They are not used, because their threads do not exist here, and not closed, because the parent uses
        # their sockets. They are kept so that garbage collection does not close them.
        self._sessions_of_parents: list[Session] = []

    def replace_lock(self) -> None:
        """Create a new lock after a fork, because another thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def session(self) -> Session:
        with self._lock:
            if self._process_id != os.getpid():
                if self._session is not None:
                    self._sessions_of_parents.append(self._session)
                self._process_id, self._session = os.getpid(), None
            if self._session is None or self._session.is_shutdown:
                self._prepared = {}
                self._session = _connect()
            return self._session

    def prepare(self, query: str) -> PreparedStatement:
        """Return the prepared statement, marked as idempotent: every statement of the log store may be sent again."""
        session = self.session()
        prepared = self._prepared.get(query)
        if prepared is None:
            prepared = self._prepared[query] = session.prepare(query)
            prepared.is_idempotent = True
        return prepared

    def drop(self) -> None:
        """Close the session. The next use creates a new one."""
        with self._lock:
            if self._process_id != os.getpid() or self._session is None:
                return
            session, self._session = self._session, None
        session.cluster.shutdown()


def _connect() -> Session:
    policies: dict[str, Any] = {
        "load_balancing_policy": TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=settings.CASSANDRA_LOCAL_DC)),
        "retry_policy": RetryOnce(),
        "consistency_level": ConsistencyLevel.name_to_value[settings.CASSANDRA_CONSISTENCY],
        "request_timeout": REQUEST_TIMEOUT_S,
    }
    # If a replica is slow, a read is sent to a second one, too, because a person may be waiting. A write is not: it would make busy servers busier.
    speculation = ConstantSpeculativeExecutionPolicy(SPECULATIVE_DELAY_S, 1)
    reading = ExecutionProfile(**policies, row_factory=tuple_factory, speculative_execution_policy=speculation)
    authentication = None
    if settings.CASSANDRA_USERNAME:
        authentication = PlainTextAuthProvider(settings.CASSANDRA_USERNAME, settings.CASSANDRA_PASSWORD)
    cluster = Cluster(
        contact_points=list(settings.CASSANDRA_CONTACT_POINTS),
        port=settings.CASSANDRA_PORT,
        connection_class=LargeWrites,
        auth_provider=authentication,
        ssl_context=_tls(),
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(**policies), READING: reading},
        # Without TCP_NODELAY a request of more than 4 KiB waits 44 ms for an acknowledgement.
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        # The driver's default policy doubles the delay up to ten minutes.
        reconnection_policy=ConstantReconnectionPolicy(2.0, max_attempts=None),
        connect_timeout=CONNECT_TIMEOUT_S,
        control_connection_timeout=CONNECT_TIMEOUT_S,
    )
    try:
        return cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise


def _tls() -> ssl.SSLContext | None:
    if not settings.CASSANDRA_TLS_CA:
        return None
    context = ssl.create_default_context(cafile=settings.CASSANDRA_TLS_CA)
    context.check_hostname = settings.CASSANDRA_TLS_CHECK_HOSTNAME
    if settings.CASSANDRA_TLS_CERT:
        context.load_cert_chain(settings.CASSANDRA_TLS_CERT, settings.CASSANDRA_TLS_KEY)
    return context


connection = Connection()
os.register_at_fork(after_in_child=connection.replace_lock)


@contextmanager
def open_session() -> Iterator[Session]:
    """Yield the session. An error of the driver, in connecting or in the block of the `with`, becomes LogStoreUnavailable."""
    try:
        session = connection.session()
    except DRIVER_ERRORS as exc:
        reason = _(
            "Cassandra cannot be reached: check CASSANDRA_CONTACT_POINTS, CASSANDRA_PORT, CASSANDRA_LOCAL_DC, the credentials and CASSANDRA_TLS_CA."
        )
        raise LogStoreUnavailable(reason) from exc
    try:
        yield session
    except InvalidRequest as exc:
        # The server works but does not know the table or keyspace, usually because ensure_schema has not run yet.
        reason = _("Cassandra refused the request; if its tables are missing, create them with manage.py init_log_store.")
        raise LogStoreUnavailable(reason) from exc
    except DRIVER_ERRORS as exc:
        # The driver repairs single connections itself. But if no host is left, or a host does not respond, a new session works again sooner.
        connection.drop()
        logger.warning("cassandra_session_dropped", extra={"error": type(exc).__name__})
        raise LogStoreUnavailable(_("Cassandra did not answer as it should (%(error)s).") % {"error": type(exc).__name__}) from exc


def in_flight(session: Session, statements: Iterable[Any], *, profile: Any = EXEC_PROFILE_DEFAULT) -> Iterator[Any]:
    """Send the statements, up to REQUESTS_IN_FLIGHT at the same time, and yield their results in order."""
    pending: deque[tuple[Any, Any]] = deque()
    for statement in statements:
        if len(pending) == REQUESTS_IN_FLIGHT:
            yield _result(session, *pending.popleft(), profile)
        pending.append((statement, session.execute_async(statement, execution_profile=profile)))
    while pending:
        yield _result(session, *pending.popleft(), profile)


def _result(session: Session, statement: Any, future: Any, profile: Any) -> Any:
    """Wait for the result of a request. If a socket is full, the driver raises ConnectionBusy, and the request is sent again after a pause."""
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while True:
        try:
            result = future.result()
        except NoHostAvailable as exc:
            is_busy = bool(exc.errors) and all(isinstance(error, ConnectionBusy) for error in exc.errors.values())
            if not is_busy or time.monotonic() > deadline:
                raise
        else:
            if isinstance(statement, BatchStatement):
                # The driver's future and its timer refer to each other, so they would keep the batch's rows in memory until garbage collection.
                statement.clear()
            return result
        time.sleep(BUSY_PAUSE_S)
        future = session.execute_async(statement, execution_profile=profile)


def finish(results: Iterator[Any]) -> None:
    """Wait for all results."""
    deque(results, maxlen=0)
