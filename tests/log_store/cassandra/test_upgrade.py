"""From older versions of Cassandra's schema to today's, while workers of the older release go on writing."""

import multiprocessing
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count

import msgspec
import pytest
from pytest_django import Settings

from log_store.event import LogEvent, event_id, file_key
from log_store.opening import open_log_store
from log_store.store import LogStore
from tests.log_store.conftest import CONTACT_POINTS
from tests.log_store.eventful import HOUR, START, counted, everything, in_order, read_all

if not CONTACT_POINTS:
    pytest.skip("CASSANDRA_CONTACT_POINTS is unset: the Cassandra store is NOT TESTED here", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from cassandra.query import UNSET_VALUE, BatchStatement, BatchType

    from log_store.cassandra import writing
    from log_store.cassandra.connection import connection
    from log_store.counts import day_of
    from log_store.write_parts import parts_of

DAY_S = 86_400
KEYSPACE = "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'datacenter1': 1}}"
# As the releases with these versions made them.
VERSION_1 = (
    """CREATE TABLE {keyspace}.log_events (
        source text, bucket timestamp, time timestamp, event_id text, level text, host text, logger text, message text,
        method text, path text, status int, duration_ms double, trace_id text, extra frozen<map<text, text>>,
        PRIMARY KEY ((source, bucket), time, event_id)
    ) WITH CLUSTERING ORDER BY (time DESC, event_id ASC) AND default_time_to_live = 7776000""",
    "CREATE TABLE {keyspace}.log_buckets (source text, bucket timestamp, PRIMARY KEY (source, bucket)) WITH CLUSTERING ORDER BY (bucket DESC)",
    "CREATE TABLE {keyspace}.schema_version (name text PRIMARY KEY, version int)",
    "INSERT INTO {keyspace}.schema_version (name, version) VALUES ('log_store', 1)",
)
VERSION_2 = (
    """CREATE TABLE {keyspace}.events (
        source text, hour timestamp, segment text, time timestamp, event_id text, level text, service text, host text, logger text,
        message text, method text, path text, status int, duration_ms double, trace_id text, extra frozen<map<text, text>>,
        PRIMARY KEY ((source, hour, segment), time, event_id)
    ) WITH CLUSTERING ORDER BY (time DESC, event_id DESC) AND default_time_to_live = 7776000""",
    """CREATE TABLE {keyspace}.partitions (
        source text, day timestamp, hour timestamp, segment text,
        spans map<blob, frozen<tuple<timestamp, timestamp>>>, counted set<blob>, levels frozen<map<text, int>>,
        PRIMARY KEY ((source, day), hour, segment)
    ) WITH CLUSTERING ORDER BY (hour DESC, segment DESC)""",
    "CREATE TABLE {keyspace}.days (source text, day timestamp, PRIMARY KEY (source, day)) WITH CLUSTERING ORDER BY (day DESC)",
    "CREATE TABLE {keyspace}.schema_version (name text PRIMARY KEY, version int)",
    "INSERT INTO {keyspace}.schema_version (name, version) VALUES ('log_store', 2)",
)
VERSION_2_FIELDS = ("level", "service", "host", "logger", "message", "method", "path", "status", "duration_ms", "trace_id", "extra")


@pytest.fixture
def made(settings: Settings) -> Iterator[Callable[[tuple[str, ...]], str]]:
    """A keyspace with the tables of an older version, and the settings for the store of today in it."""
    settings.CASSANDRA_CONTACT_POINTS = CONTACT_POINTS.split(",")
    name = settings.CASSANDRA_KEYSPACE = f"test_{uuid.uuid4().hex[:12]}"

    def make(version: tuple[str, ...]) -> str:
        for statement in (KEYSPACE, *version):
            connection.session().execute(statement.format(keyspace=name), timeout=60)
        return name

    yield make
    connection.session().execute(f"DROP KEYSPACE {name}", timeout=60)


class WriterOf1:
    """Writes as version 1 did: first the hour, then the event."""

    def __init__(self, keyspace: str) -> None:
        self.session = connection.session()
        self.keyspace = keyspace
        self.add_hour = self.session.prepare(f"INSERT INTO {keyspace}.log_buckets (source, bucket) VALUES (?, ?) USING TTL ?")
        self.add_event = self.session.prepare(
            f"INSERT INTO {keyspace}.log_events (source, bucket, time, event_id, level, message, extra) VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?"
        )

    def write(self, event: LogEvent, *, ttl_s: int = 90 * DAY_S) -> None:
        hour = event.time.replace(minute=0, second=0, microsecond=0)
        self.session.execute(self.add_hour, (event.source, hour, ttl_s + DAY_S))
        self.session.execute(self.add_event, (event.source, hour, event.time, event.event_id, event.level, event.message, event.extra, ttl_s))


class WriterOf2:
    """Writes as version 2 did: its mark, then the event. Its sums, which it wrote last, nobody reads any more."""

    def __init__(self, keyspace: str) -> None:
        self.session = connection.session()
        self.add_span = self.session.prepare(
            f"UPDATE {keyspace}.partitions USING TTL ? SET spans = spans + ? WHERE source = ? AND day = ? AND hour = ? AND segment = ?"
        )
        names = "source, hour, segment, time, event_id", *VERSION_2_FIELDS
        self.add_event = self.session.prepare(f"INSERT INTO {keyspace}.events ({', '.join(names)}) VALUES (?{', ?' * 15}) USING TTL ?")

    def write(self, event: LogEvent, *, ttl_s: int = 90 * DAY_S) -> None:
        [part] = parts_of([event])
        span = {event.event_id.encode()[-8:]: (event.time, event.time)}
        self.session.execute(self.add_span, (ttl_s + DAY_S, span, part.source, day_of(part.hour), part.hour, part.segment))
        # What is empty was left unset.
        fields = [UNSET_VALUE if value in ("", None, {}) else value for value in (getattr(event, name) for name in VERSION_2_FIELDS)]
        self.session.execute(self.add_event, (part.source, part.hour, part.segment, event.time, event.event_id, *fields, ttl_s))


def old_event(number: int, source: str) -> LogEvent:
    time = START + number * timedelta(seconds=7)
    return LogEvent(event_id=f"{source}:0:{number}", source=source, time=time, level="info", message=f"m {number}", extra={"n": str(number)})


def assert_all_there_once(store: LogStore, source: str, written: list[LogEvent]) -> None:
    assert read_all(store, everything(source)) == in_order(written)
    assert store.counts(source, START, START + 400 * HOUR) == counted(written)
    assert store.count(source, START, START + 400 * HOUR) == len(written)


@pytest.mark.parametrize(("version", "writer_of", "events"), [(VERSION_1, WriterOf1, 1500), (VERSION_2, WriterOf2, 250)], ids=["1", "2"])
def test_a_rolling_upgrade_keeps_every_event_once(
    made: Callable[[tuple[str, ...]], str], version: tuple[str, ...], writer_of: type[WriterOf1 | WriterOf2], events: int, source: str
) -> None:
    """A writer of the older release starts before and ends after the schema is upgraded; then the upgrade runs again."""
    writer = writer_of(made(version))
    store = open_log_store()
    written = [old_event(number, source) for number in range(events)]
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
    assert len(written) > events + 1
    store.ensure_schema()

    assert_all_there_once(store, source, written)
    # An old batch that is loaded again, after a kill, finds its events where they were moved to.
    store.write(written[: events // 2])
    assert_all_there_once(store, source, written)


def test_what_was_moved_is_deleted_but_for_the_last_minute_and_lives_no_longer(made: Callable[[tuple[str, ...]], str], source: str) -> None:
    session = connection.session()
    old_keyspace = made(VERSION_1)
    writer = WriterOf1(old_keyspace)
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


def test_what_version_2_knew_of_an_event_is_all_there(made: Callable[[tuple[str, ...]], str], source: str) -> None:
    event = LogEvent(
        event_id=event_id(file_key(1, source), 70),
        source=source,
        time=START,
        level="error",
        service="calls",
        host="pbx-1",
        logger="calls.router",
        message="refused",
        method="POST",
        path="/api/calls",
        status=503,
        duration_ms=1.25,
        trace_id="abc",
        extra={"queue": "sales"},
    )
    WriterOf2(made(VERSION_2)).write(event)

    store = open_log_store()
    store.ensure_schema()

    assert_all_there_once(store, source, [event])


def test_an_hour_that_has_expired_and_is_not_yet_merged_away_holds_nothing_up(made: Callable[[tuple[str, ...]], str], source: str) -> None:
    """Reading it, the server meets more of what has expired than it reads past."""
    writer = WriterOf1(made(VERSION_1))
    fields = ("level", "host", "logger", "message", "method", "path", "trace_id")
    insert = writer.session.prepare(
        f"INSERT INTO {writer.keyspace}.log_events (source, bucket, time, event_id, {', '.join(fields)}) VALUES (?, ?, ?, ?{', ?' * 7}) USING TTL 2"
    )
    for first in range(0, 15_000, 500):
        batch = BatchStatement(batch_type=BatchType.UNLOGGED)
        for number in range(first, first + 500):
            batch.add(insert, (source, START, START + number * timedelta(milliseconds=1), str(number), *fields))
        writer.session.execute(batch)
    writer.session.execute(writer.add_hour, (source, START, DAY_S))
    alive = [msgspec.structs.replace(old_event(0, source), time=START + HOUR)]
    writer.write(alive[0])
    time.sleep(3)

    open_log_store().ensure_schema()

    assert_all_there_once(open_log_store(), source, alive)


def test_what_comes_late_into_an_old_table_is_counted_with_what_was_written_anew(made: Callable[[tuple[str, ...]], str], source: str) -> None:
    """Also if the worker of today, whose sums they join, has a clock that goes before ours."""
    writer = WriterOf2(made(VERSION_2))
    store = open_log_store()
    store.ensure_schema()
    written = [old_event(number, source) for number in range(20)]
    told = store.write(written[:10])
    ahead_us = time.time_ns() // 1000 + 600_000_000
    writing.settle(connection.session(), [(one, b"its mark", ahead_us) for one in told])
    for event in written[10:]:
        writer.write(event)

    store.ensure_schema()

    assert_all_there_once(store, source, written)


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
        assert tables == {"log", "parts", "days", "schema_version"}
    finally:
        connection.session().execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)


def _make_and_exit() -> None:
    try:
        open_log_store().ensure_schema()
        os._exit(0)
    except BaseException:  # noqa: BLE001 (the child ends here whatever happens)
        os._exit(1)
