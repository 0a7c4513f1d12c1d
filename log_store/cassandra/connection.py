"""The one session of a process, its policies, and what becomes of the driver's errors."""

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

from log_store.store import LogStoreUnavailable

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
# Of each of the pages that are written at once (store.py): most pages have fewer.
REQUESTS_IN_FLIGHT = 8
BUSY_PAUSE_S = 0.02
# A read that a replica has not answered by then is also asked of another one.
SPECULATIVE_DELAY_S = 0.5
READING = "reading"
DRIVER_ERRORS = (DriverException, NoHostAvailable, ConnectionException, OSError)


class OnceMore(RetryPolicy):
    """A timeout among the replicas is tried once more: whatever is sent here is idempotent.

    By the same coordinator, for it asks all replicas anyway, and a single node has no other. One that is overloaded, starting,
    gone, or sees too few replicas is left for the next host, as the driver does by itself. After that the stage is retried.
    """

    def on_read_timeout(
        self, query: Any, consistency: int, required_responses: int, received_responses: int, data_retrieved: bool, retry_num: int
    ) -> tuple[int, None]:
        return (self.RETRY, None) if retry_num == 0 else (self.RETHROW, None)

    def on_write_timeout(
        self, query: Any, consistency: int, write_type: str, required_responses: int, received_responses: int, retry_num: int
    ) -> tuple[int, None]:
        return (self.RETRY, None) if retry_num == 0 else (self.RETHROW, None)


class Connection:
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

    def prepare(self, query: str) -> PreparedStatement:
        """Every statement of ours may be sent again."""
        session = self.session()
        prepared = self._prepared.get(query)
        if prepared is None:
            prepared = self._prepared[query] = session.prepare(query)
            prepared.is_idempotent = True
        return prepared

    def drop(self) -> None:
        """Close the session, so that the next call makes a new one."""
        with self._lock:
            if self._process_id != os.getpid() or self._session is None:
                return
            session, self._session = self._session, None
        session.cluster.shutdown()


def _connect() -> Session:
    policies: dict[str, Any] = {
        "load_balancing_policy": TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=settings.CASSANDRA_LOCAL_DC)),
        "retry_policy": OnceMore(),
        "consistency_level": ConsistencyLevel.name_to_value[settings.CASSANDRA_CONSISTENCY],
        "request_timeout": REQUEST_TIMEOUT_S,
    }
    # Reads only: somebody waits for them. A write that is slow because the servers are busy would make them busier.
    speculation = ConstantSpeculativeExecutionPolicy(SPECULATIVE_DELAY_S, 1)
    reading = ExecutionProfile(**policies, row_factory=tuple_factory, speculative_execution_policy=speculation)
    authentication = None
    if settings.CASSANDRA_USERNAME:
        authentication = PlainTextAuthProvider(settings.CASSANDRA_USERNAME, settings.CASSANDRA_PASSWORD)
    cluster = Cluster(
        contact_points=list(settings.CASSANDRA_CONTACT_POINTS),
        port=settings.CASSANDRA_PORT,
        auth_provider=authentication,
        ssl_context=_tls(),
        execution_profiles={EXEC_PROFILE_DEFAULT: ExecutionProfile(**policies), READING: reading},
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


def _tls() -> ssl.SSLContext | None:
    if not settings.CASSANDRA_TLS_CA:
        return None
    context = ssl.create_default_context(cafile=settings.CASSANDRA_TLS_CA)
    context.check_hostname = settings.CASSANDRA_TLS_CHECK_HOSTNAME
    if settings.CASSANDRA_TLS_CERT:
        context.load_cert_chain(settings.CASSANDRA_TLS_CERT, settings.CASSANDRA_TLS_KEY)
    return context


connection = Connection()
os.register_at_fork(after_in_child=connection.forked)


@contextmanager
def answering() -> Iterator[Session]:
    """The session; whatever the driver raises inside becomes a LogStoreUnavailable."""
    try:
        session = connection.session()
    except DRIVER_ERRORS as exc:
        raise LogStoreUnavailable(
            "Cassandra cannot be reached: check CASSANDRA_CONTACT_POINTS, CASSANDRA_PORT, CASSANDRA_LOCAL_DC, the credentials and CASSANDRA_TLS_CA."
        ) from exc
    try:
        yield session
    except InvalidRequest as exc:
        # The server is well and does not know what was asked: mostly tables that ensure_schema has yet to create.
        raise LogStoreUnavailable("Cassandra refused the request; if its tables are missing, create them with manage.py init_log_store.") from exc
    except DRIVER_ERRORS as exc:
        # The driver mends single connections itself; when no host is left or a host is frozen, a new start is sooner.
        connection.drop()
        logger.warning("cassandra_session_dropped", extra={"error": type(exc).__name__})
        raise LogStoreUnavailable(f"Cassandra did not answer as it should ({type(exc).__name__}).") from exc


def in_flight(session: Session, statements: Iterable[Any], *, profile: Any = EXEC_PROFILE_DEFAULT) -> Iterator[Any]:
    """The answers in order, with a few requests under way at once."""
    under_way: deque[tuple[Any, Any]] = deque()
    for statement in statements:
        if len(under_way) == REQUESTS_IN_FLIGHT:
            yield _answer(session, *under_way.popleft(), profile)
        under_way.append((statement, session.execute_async(statement, execution_profile=profile)))
    while under_way:
        yield _answer(session, *under_way.popleft(), profile)


def _answer(session: Session, statement: Any, future: Any, profile: Any) -> Any:
    """The driver refuses to send while the socket is full, and calls that an overloaded connection: the request waits, then, and goes again."""
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while True:
        try:
            answer = future.result()
        except NoHostAvailable as exc:
            is_busy = bool(exc.errors) and all(isinstance(error, ConnectionBusy) for error in exc.errors.values())
            if not is_busy or time.monotonic() > deadline:
                raise
        else:
            if isinstance(statement, BatchStatement):
                # The driver's future and its timer know each other, and would keep the rows until the collector comes.
                statement.clear()
            return answer
        time.sleep(BUSY_PAUSE_S)
        future = session.execute_async(statement, execution_profile=profile)


def finish(answers: Iterator[Any]) -> None:
    deque(answers, maxlen=0)
