"""The Cassandra store against a real server; every test in a keyspace of its own run, dropped afterwards."""

import os
import uuid
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from etl_tasks.loaders.log_store import LogStoreUnavailable, open_log_store
from etl_tasks.sources.logs.event import LogEvent

CONTACT_POINTS = os.environ.get("CASSANDRA_CONTACT_POINTS", "")
if not CONTACT_POINTS:
    pytest.skip("CASSANDRA_CONTACT_POINTS is unset: the Cassandra store is NOT TESTED here", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from cassandra import OperationTimedOut

    from etl_tasks.loaders import cassandra as cassandra_store

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def keyspace() -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    cassandra_store._connection.session().execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)
    cassandra_store._connection.drop()


@pytest.fixture
def store(settings, keyspace) -> cassandra_store.CassandraLogStore:
    settings.CASSANDRA_CONTACT_POINTS = CONTACT_POINTS.split(",")
    settings.CASSANDRA_KEYSPACE = keyspace
    store = open_log_store()
    store.ensure_schema()
    return store


@pytest.fixture
def source() -> str:
    return f"source-{uuid.uuid4().hex[:8]}"


def events(source: str, count: int, *, step: timedelta = timedelta(seconds=1), **fields) -> list[LogEvent]:
    return [LogEvent(event_id=f"{source}-{number:05}", source=source, time=START + number * step, level="info", **fields) for number in range(count)]


def day(source: str) -> tuple[str, datetime, datetime]:
    return source, START - timedelta(hours=12), START + timedelta(hours=36)


def test_an_event_is_read_as_it_was_written(store, source):
    full = LogEvent(
        event_id="e1",
        source=source,
        time=START + timedelta(milliseconds=123),
        level="error",
        host="web-1",
        logger="shop",
        message="café \U0001f600",
        method="GET",
        path="/cart",
        status=500,
        duration_ms=12.5,
        trace_id="t1",
        extra={"user": "7", "empty": ""},
    )
    bare = LogEvent(event_id="e2", source=source, time=START, level="unknown")

    store.write([bare, full])

    assert store.read(*day(source)) == [full, bare]


def test_writing_twice_keeps_once(store, source):
    written = events(source, 250)

    store.write(written)
    store.write(written)

    assert store.count(*day(source)) == 250


def test_reading_goes_over_the_hours_newest_first_to_the_limit(store, source):
    written = events(source, 300, step=timedelta(minutes=5))
    store.write(written)

    assert store.read(*day(source)) == written[::-1]
    assert store.read(*day(source), limit=20) == written[:-21:-1]
    assert store.read(*day(source), limit=0) == []
    assert store.count(*day(source)) == 300


def test_a_period_has_its_start_and_not_its_end(store, source):
    store.write(events(source, 10))

    assert store.count(source, START + timedelta(seconds=2), START + timedelta(seconds=5)) == 3
    assert store.count(source, START + timedelta(microseconds=1), START + timedelta(seconds=2)) == 1
    assert store.count(source, START, START + timedelta(microseconds=1)) == 1
    assert store.count(source, START, START) == 0
    assert store.count("another", START, START + timedelta(days=1)) == 0


def test_events_of_one_level_are_found_among_many(store, source):
    written = events(source, 3000)
    written[5] = msgspec.structs.replace(written[5], level="error")
    store.write(written)

    assert store.read(*day(source), level="error", limit=5) == [written[5]]


def test_large_events_and_many_sources_in_one_write(store, source):
    large = events(source, 30, message="m" * 300_000)
    others = events(f"{source}-b", 30, step=timedelta(hours=1))

    store.write([event for pair in zip(large, others, strict=True) for event in pair])

    assert store.read(*day(source)) == large[::-1]
    assert store.count(*day(f"{source}-b")) == 30


def test_the_schema_is_made_once_and_nothing_is_an_event(store, keyspace):
    store.ensure_schema()
    store.write([])
    store.ping()

    session = cassandra_store._connection.session()
    assert session.execute(f"SELECT version FROM {keyspace}.schema_version WHERE name = 'log_store'").one().version == 1
    table = session.cluster.metadata.keyspaces[keyspace].tables["log_events"]
    assert "TimeWindowCompactionStrategy" in table.options["compaction"]["class"]
    assert table.options["default_time_to_live"] == 90 * 86_400


def test_an_event_lives_as_long_as_the_settings_say_now(store, settings, source, keyspace):
    settings.CASSANDRA_TTL_DAYS = 2
    cassandra_store.CassandraLogStore().write(events(source, 1))

    rows = cassandra_store._connection.session().execute(f"SELECT source, ttl(level) AS ttl_s FROM {keyspace}.log_events")
    assert 0 < next(row.ttl_s for row in rows if row.source == source) <= 2 * 86_400


def test_without_its_tables_the_store_is_unavailable_and_works_again_with_them(store, settings, source):
    settings.CASSANDRA_KEYSPACE = "not_there"

    with pytest.raises(LogStoreUnavailable, match="init_log_store"):
        cassandra_store.CassandraLogStore().write(events(source, 1))

    store.write(events(source, 1))
    assert store.count(*day(source)) == 1


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_not_there_is_unavailable_and_the_next_call_connects(store, settings):
    cassandra_store._connection.drop()
    port, settings.CASSANDRA_PORT = settings.CASSANDRA_PORT, 1

    with pytest.raises(LogStoreUnavailable, match="cannot be reached"):
        store.ping()

    settings.CASSANDRA_PORT = port
    store.ping()


def test_a_session_that_was_shut_down_is_made_anew(store):
    cassandra_store._connection.session().cluster.shutdown()

    store.ping()


def test_a_failed_request_drops_the_session(store, source, monkeypatch):
    store.write(events(source, 1))
    session = cassandra_store._connection.session()
    monkeypatch.setattr(session, "execute", _time_out)

    with pytest.raises(LogStoreUnavailable, match="OperationTimedOut"):
        store.count(*day(source))

    assert session.is_shutdown
    assert store.count(*day(source)) == 1


def _time_out(*args: object, **kwargs: object) -> None:
    raise OperationTimedOut


@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_of_a_process_with_a_session_makes_its_own(store, source):
    store.write(events(source, 1))

    child = os.fork()
    if child == 0:
        try:
            store.write(events(source, 5))
            os._exit(0 if store.count(*day(source)) == 5 else 1)
        except BaseException:  # noqa: BLE001 (the child ends here whatever happens)
            os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.count(*day(source)) == 5
