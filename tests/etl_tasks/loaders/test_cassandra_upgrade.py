"""From version 1 of Cassandra's schema to today's, while workers of the older release go on writing."""

import multiprocessing
import os
import threading
import uuid
import warnings
from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest
from pytest_django import Settings

from etl_tasks.loaders.log_store import LogStore, open_log_store
from etl_tasks.sources.logs.event import LogEvent
from tests.etl_tasks.loaders.conftest import CONTACT_POINTS
from tests.etl_tasks.loaders.eventful import HOUR, START, counted, everything, in_order, read_all

if not CONTACT_POINTS:
    pytest.skip("CASSANDRA_CONTACT_POINTS is unset: the Cassandra store is NOT TESTED here", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from etl_tasks.loaders.cassandra.connection import connection

DAY_S = 86_400
# As the release with version 1 made them.
VERSION_1 = (
    "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}}",
    """CREATE TABLE {keyspace}.log_events (
        source text, bucket timestamp, time timestamp, event_id text, level text, host text, logger text, message text,
        method text, path text, status int, duration_ms double, trace_id text, extra frozen<map<text, text>>,
        PRIMARY KEY ((source, bucket), time, event_id)
    ) WITH CLUSTERING ORDER BY (time DESC, event_id ASC) AND default_time_to_live = 7776000""",
    "CREATE TABLE {keyspace}.log_buckets (source text, bucket timestamp, PRIMARY KEY (source, bucket)) WITH CLUSTERING ORDER BY (bucket DESC)",
    "CREATE TABLE {keyspace}.schema_version (name text PRIMARY KEY, version int)",
    "INSERT INTO {keyspace}.schema_version (name, version) VALUES ('log_store', 1)",
)


@pytest.fixture
def old_keyspace(settings: Settings) -> Iterator[str]:
    """Version 1's tables, and the settings for the store of today."""
    settings.CASSANDRA_CONTACT_POINTS = CONTACT_POINTS.split(",")
    name = settings.CASSANDRA_KEYSPACE = f"test_{uuid.uuid4().hex[:12]}"
    for statement in VERSION_1:
        connection.session().execute(statement.format(keyspace=name), timeout=60)
    yield name
    connection.session().execute(f"DROP KEYSPACE {name}", timeout=60)


class OldWriter:
    """Writes as version 1 did: first the hour, then the event."""

    def __init__(self, keyspace: str) -> None:
        self.session = connection.session()
        self.add_hour = self.session.prepare(f"INSERT INTO {keyspace}.log_buckets (source, bucket) VALUES (?, ?) USING TTL ?")
        self.add_event = self.session.prepare(
            f"INSERT INTO {keyspace}.log_events (source, bucket, time, event_id, level, message, extra) VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?"
        )

    def write(self, event: LogEvent, *, ttl_s: int = 90 * DAY_S) -> None:
        hour = event.time.replace(minute=0, second=0, microsecond=0)
        self.session.execute(self.add_hour, (event.source, hour, ttl_s + DAY_S))
        self.session.execute(self.add_event, (event.source, hour, event.time, event.event_id, event.level, event.message, event.extra, ttl_s))


def old_event(number: int, source: str) -> LogEvent:
    time = START + number * timedelta(seconds=7)
    return LogEvent(event_id=f"{source}:0:{number}", source=source, time=time, level="info", message=f"m {number}", extra={"n": str(number)})


def assert_all_there_once(store: LogStore, source: str, written: list[LogEvent]) -> None:
    assert read_all(store, everything(source)) == in_order(written)
    assert store.counts(source, START, START + 400 * HOUR) == counted(written)
    assert store.count(source, START, START + 400 * HOUR) == len(written)


def test_a_rolling_upgrade_keeps_every_event_once(old_keyspace: str, source: str) -> None:
    """A writer of the older release starts before and ends after the schema is upgraded; then the upgrade runs again."""
    writer = OldWriter(old_keyspace)
    store = open_log_store()
    written = [old_event(number, source) for number in range(1500)]
    for event in written:
        writer.write(event)
    is_upgraded = threading.Event()

    def go_on_writing() -> None:
        for number in count(len(written)):
            written.append(old_event(number, source))
            writer.write(written[-1])
            if is_upgraded.is_set():
                return

    working = threading.Thread(target=go_on_writing)
    working.start()
    store.ensure_schema()
    is_upgraded.set()
    working.join()
    assert len(written) > 1501
    store.ensure_schema()

    assert_all_there_once(store, source, written)
    # An old batch that is loaded again, after a kill, finds its events where they were moved to.
    store.write(written[:700])
    assert_all_there_once(store, source, written)


def test_what_was_moved_is_deleted_but_for_the_last_minute_and_lives_no_longer(old_keyspace: str, source: str) -> None:
    session = connection.session()
    writer = OldWriter(old_keyspace)
    moved, fresh = old_event(0, source), old_event(1, source)
    writer.write(moved, ttl_s=3 * DAY_S - 100)
    session.execute(
        f"UPDATE {old_keyspace}.log_events USING TIMESTAMP 1 AND TTL 200000 SET level = 'info' "
        "WHERE source = %s AND bucket = %s AND time = %s AND event_id = %s",
        (source, START, START, "long ago"),
    )
    writer.write(fresh, ttl_s=3 * DAY_S - 100)

    open_log_store().ensure_schema()

    assert {row.event_id for row in session.execute(f"SELECT event_id FROM {old_keyspace}.log_events")} == {moved.event_id, fresh.event_id}
    lives = {row.event_id: row.ttl_s for row in session.execute(f"SELECT event_id, ttl(event) AS ttl_s FROM {old_keyspace}.log")}
    assert set(lives) == {moved.event_id, fresh.event_id, "long ago"}
    assert max(lives.values()) <= 3 * DAY_S


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_several_processes_may_make_the_schema_at_once(settings: Settings) -> None:
    settings.CASSANDRA_CONTACT_POINTS = CONTACT_POINTS.split(",")
    name = settings.CASSANDRA_KEYSPACE = f"test_{uuid.uuid4().hex[:12]}"
    context = multiprocessing.get_context("fork")
    makers = [context.Process(target=_make_and_exit) for _ in range(4)]
    try:
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join(60)
        assert [maker.exitcode for maker in makers] == [0, 0, 0, 0]
        tables = {
            row.table_name for row in connection.session().execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (name,))
        }
        assert tables == {"log", "partitions", "days", "schema_version"}
    finally:
        connection.session().execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)


def _make_and_exit() -> None:
    try:
        open_log_store().ensure_schema()
        os._exit(0)
    except BaseException:  # noqa: BLE001 (the child ends here whatever happens)
        os._exit(1)
