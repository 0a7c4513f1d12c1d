"""Behaviour of the Cassandra store alone: its tables, concurrent and killed writes, the size of partitions, and its session."""

import os
import time
import uuid
import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import hypothesis
import hypothesis.strategies as st
import msgspec
import pytest
from pytest_django import Settings

from log_store.event import SEGMENT_BYTES, LogEvent
from log_store.store import LogStore, LogStoreUnavailable
from tests.log_store.conftest import CONTACT_POINTS
from tests.log_store.log_events import HOUR, START, counted, events, everything, in_order, read_all, tallied
from tests.tcp_proxy import Proxy

if not CONTACT_POINTS:
    pytest.skip("CASSANDRA_CONTACT_POINTS is unset: the Cassandra store is NOT TESTED here", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    from log_store.cassandra import writing
    from log_store.cassandra.connection import connection
    from log_store.write_parts import parts_of

DAY_S = 86_400
MOST_BYTES = 100_000_000


# --- schema ---------------------------------------------------------------------------------------------------------


def test_the_schema_is_made_once_with_its_compaction_and_time_to_live(cassandra: LogStore, keyspace: str) -> None:
    cassandra.ensure_schema()

    session = connection.session()
    assert session.execute(f"SELECT version FROM {keyspace}.schema_version WHERE name = 'log_store'").one().version == 1
    row = session.execute(
        "SELECT compaction, default_time_to_live FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 'log'", (keyspace,)
    ).one()
    assert row.compaction["class"].endswith("TimeWindowCompactionStrategy")
    assert (row.compaction["compaction_window_size"], row.compaction["compaction_window_unit"]) == ("3", "DAYS")
    assert row.compaction["min_threshold"] == "16"
    assert row.default_time_to_live == 90 * DAY_S


def test_an_event_lives_as_long_as_the_settings_say_now_and_its_sums_a_day_longer(
    cassandra: LogStore, settings: Settings, source: str, keyspace: str
) -> None:
    settings.CASSANDRA_TTL_DAYS = 2
    cassandra.write(events(source, 1))

    session = connection.session()
    [event] = (row for row in session.execute(f"SELECT source, ttl(event) AS ttl_s FROM {keyspace}.log") if row.source == source)
    assert DAY_S < event.ttl_s <= 2 * DAY_S
    [sums] = (row for row in session.execute(f"SELECT source, ttl(levels) AS ttl_s FROM {keyspace}.parts") if row.source == source)
    assert 2 * DAY_S < sums.ttl_s <= 3 * DAY_S


def test_without_its_tables_the_store_is_unavailable_and_works_again_with_them(cassandra: LogStore, settings: Settings, source: str) -> None:
    keyspace, settings.CASSANDRA_KEYSPACE = settings.CASSANDRA_KEYSPACE, "not_there"

    with pytest.raises(LogStoreUnavailable, match="init_log_store"):
        cassandra.write(events(source, 1))

    settings.CASSANDRA_KEYSPACE = keyspace
    cassandra.write(events(source, 1))
    assert cassandra.count(source, START, START + HOUR) == 1


def test_a_value_of_extra_is_found_by_its_name_whatever_order_the_line_had(cassandra: LogStore, source: str, keyspace: str) -> None:
    [event] = events(source, 1)
    cassandra.write([msgspec.structs.replace(event, extra={"queue": "sales", "\u00e9": "2", "agent": "1"})])
    [part] = parts_of([event])

    values = ", ".join(f"event.extra['{name}']" for name in ("agent", "queue", "\u00e9"))
    row = connection.session().execute(
        f"SELECT {values} FROM {keyspace}.log WHERE source = %s AND hour = %s AND segment = %s",
        (source, part.hour, part.segment),
    )

    assert tuple(row.one()) == ("1", "sales", "2")


# --- concurrent and killed writes -------------------------------------------------------------------------------------


def registered_by_another(written: list[LogEvent]) -> list[bytes]:
    """Do only the first step of another process's write: register it. Return its marks, a random id for each part that it registers."""
    parts = parts_of(written)
    marks = [uuid.uuid4().bytes[:8] for _ in parts]
    session = connection.session()
    writing.register(session, [(part.source, part.hour, part.segment, mark, part.span) for part, mark in zip(parts, marks, strict=True)])
    return marks


def assert_exact(store: LogStore, source: str, held: list[LogEvent]) -> None:
    assert read_all(store, everything(source)) == in_order(held)
    assert store.counts(source, START - 40 * HOUR, START + 40 * HOUR) == counted(held)
    assert store.count(source, START - 40 * HOUR, START + 40 * HOUR) == len(held)


def test_sums_are_exact_between_the_steps_of_a_write_that_is_killed(cassandra: LogStore, source: str) -> None:
    written = events(source, 400, step=timedelta(seconds=30), level="error")
    cassandra.write(written[:100])

    registered_by_another(written[100:300])
    assert_exact(cassandra, source, written[:100])

    writing.insert(connection.session(), parts_of(written[100:200]), DAY_S)
    assert_exact(cassandra, source, written[:200])
    assert read_all(cassandra, everything(source, levels=frozenset({"error"}))) == in_order(written[:200])

    cassandra.write(written[100:300])
    assert_exact(cassandra, source, written[:300])

    cassandra.write(written)
    assert_exact(cassandra, source, written)


STEPS_DONE = st.sampled_from(["registered", "half inserted", "inserted", "written"])
SLICE = st.tuples(st.integers(0, 100), st.integers(1, 60))


@hypothesis.settings(max_examples=20, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(st.lists(st.tuples(STEPS_DONE, SLICE), min_size=1, max_size=6))
def test_sums_are_exact_whatever_writes_were_killed_wherever(cassandra: LogStore, writes: list[tuple[str, tuple[int, int]]]) -> None:
    """Each write is a slice of 120 lines, killed after the given step. The lines cover three hours and two segments (mebibytes of the file)."""
    source = f"source-{uuid.uuid4().hex[:8]}"
    lines = events(source, 120, step=timedelta(minutes=1), line_bytes=16_000)
    held: set[int] = set()
    for steps, (first, length) in writes:
        chosen = range(first, min(first + length, 120))
        if steps == "written":
            told = cassandra.write([lines[number] for number in chosen])
            held |= set(chosen)
            truth = tallied(lines[number] for number in held)
            assert all((one.levels, one.minutes) == truth[one.segment, one.hour] for one in told)
            continue
        registered_by_another([lines[number] for number in chosen])
        done = chosen[: {"registered": 0, "half inserted": length // 2, "inserted": length}[steps]]
        writing.insert(connection.session(), parts_of(lines[number] for number in done), DAY_S)
        held |= set(done)

    assert_exact(cassandra, source, [lines[number] for number in held])


def test_of_two_that_write_into_one_partition_at_once_both_are_counted(cassandra: LogStore, source: str) -> None:
    """The other write registers first, inserts events before and after ours, and counts last."""
    written = events(source, 90)
    session = connection.session()
    marks = registered_by_another(written[:60])
    writing.insert(session, parts_of(written[:30]), DAY_S)

    cassandra.write(written[60:])
    writing.insert(session, parts_of(written[30:60]), DAY_S)
    assert_exact(cassandra, source, written)

    [told] = cassandra.write(written[60:])
    writing.store_counts(session, [(told, mark, time.time_ns() // 1000) for mark in marks])
    assert told.levels == {"info": 90}
    assert_exact(cassandra, source, written)


def test_sums_of_a_worker_whose_clock_goes_before_ours_are_replaced(cassandra: LogStore, source: str) -> None:
    written = events(source, 20)
    [told] = cassandra.write(written[:10])
    [mark] = registered_by_another(written[:10])
    an_hour_on_us = time.time_ns() // 1000 + 3_600_000_000
    writing.store_counts(connection.session(), [(told, mark, an_hour_on_us)])

    cassandra.write(written[10:])

    assert_exact(cassandra, source, written)


def test_events_that_a_deletion_by_a_clock_ahead_of_ours_would_hide_are_refused(cassandra: LogStore, source: str) -> None:
    """In Cassandra, a deletion hides what was written before its timestamp, even if that is written after the deletion."""
    written = events(source, 20)
    cassandra.write(written[:10])
    clock = connection.session().cluster.timestamp_generator
    a_second_on_us = clock() + 1_000_000
    clock.last = a_second_on_us  # it never runs backwards
    list(cassandra.forget(source))
    connection.drop()  # the next session has a clock of its own, as another machine has

    with pytest.raises(LogStoreUnavailable, match="deleted with a clock that is ahead"):
        cassandra.write(written)

    time.sleep(max(0.0, a_second_on_us / 1e6 - time.time()) + 0.1)
    [told] = cassandra.write(written)
    assert told.levels == {"info": 20}
    assert_exact(cassandra, source, written)


def test_the_same_write_again_counts_from_memory_and_another_one_reads(cassandra: LogStore, source: str, keyspace: str) -> None:
    written = events(source, 10)
    cassandra.write(written)
    cassandra.write(written[::-1])
    assert marks_of(source, keyspace) == 1

    [told] = cassandra.write(written[3:5])
    assert marks_of(source, keyspace) == 2
    assert told.levels == {"info": 10}


def marks_of(source: str, keyspace: str) -> int:
    [row] = (row for row in connection.session().execute(f"SELECT source, spans FROM {keyspace}.parts") if row.source == source)
    return len(row.spans)


def test_a_page_opens_only_the_partitions_that_it_needs(cassandra: LogStore, source: str) -> None:
    """One hour has sixty partitions, one per mebibyte of the file, each with later events than the one before. The errors are in another hour."""
    written = events(source, 60, step=timedelta(minutes=1), line_bytes=SEGMENT_BYTES)
    errors = [msgspec.structs.replace(event, time=event.time - HOUR, level="error") for event in events(source, 5, file="b")]
    cassandra.write(written + errors)
    session = connection.session()
    asked: list[str] = []
    session.add_request_init_listener(lambda request: asked.append(request.query.prepared_statement.query_string))

    assert cassandra.read(everything(source), limit=1).events == [written[-1]]
    assert sum(".log " in query for query in asked) == 2
    asked.clear()
    assert cassandra.read(everything(source, levels=frozenset({"error"}))).events == errors[::-1]
    assert sum(".log " in query for query in asked) == 1
    asked.clear()
    assert sum(cassandra.counts(source, START - HOUR, START + HOUR).values()) == 65
    assert sum(".log " in query for query in asked) == 0
    connection.drop()  # the session has a listener, so no later test may use it


# --- the size of a batch and of a partition -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message", "sizes"),
    [(4500, "", [2000, 2000, 500]), pytest.param(3, "x" * writing.BATCH_BYTES, [1, 1, 1], id="large lines"), (1, "", [1])],
)
def test_a_batch_ends_at_so_many_rows_or_bytes(cassandra: LogStore, source: str, lines: int, message: str, sizes: list[int]) -> None:
    batches = list(writing.event_batches(parts_of(events(source, lines, step=timedelta(0), message=message)), DAY_S))

    assert [len(batch) for batch in batches] == sizes
    assert len({batch.routing_key for batch in batches}) == 1  # the driver chooses the host by this key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line_bytes", "lines", "at_most"),
    [
        pytest.param(150, SEGMENT_BYTES // 150, 2 * 2**20, id="usual lines"),
        pytest.param(2, SEGMENT_BYTES // 2, MOST_BYTES, id="the most lines that there can be, none of them of its format"),
    ],
)
def test_a_partition_stays_small_at_any_rate(own_keyspace: str, line_bytes: int, lines: int, at_most: int) -> None:
    """The table holds one whole segment within one hour. The server itself measures its uncompressed size on disk."""
    said: dict[str, Any] = {"message": "x" * (line_bytes - 1)}
    if line_bytes == 2:
        said |= {"level": "unknown", "extra": {"unparsed": "no line of this format, as far as can be seen", "time_is": "inferred"}}
    written = events("source", lines, step=timedelta(milliseconds=1), line_bytes=line_bytes, **said)
    assert len(parts_of(written)) == 1

    for start in range(0, lines, 50_000):
        writing.insert(connection.session(), parts_of(written[start : start + 50_000]), DAY_S)

    assert lines * line_bytes / 2 < on_disk(own_keyspace) <= at_most


@pytest.fixture
def own_keyspace(settings: Settings, cassandra: LogStore) -> Iterator[str]:
    name = settings.CASSANDRA_KEYSPACE = f"test_{uuid.uuid4().hex[:12]}"
    cassandra.ensure_schema()
    connection.session().execute(f"ALTER TABLE {name}.log WITH compression = {{'enabled': false}}", timeout=60)
    yield name
    connection.session().execute(f"DROP KEYSPACE {name}", timeout=60)


def on_disk(keyspace: str) -> int:
    """Return the size of the table `log` in bytes, after the server has flushed it to disk (here every second)."""
    session = connection.session()
    session.execute(f"ALTER TABLE {keyspace}.log WITH memtable_flush_period_in_ms = 1000", timeout=60)
    query = "SELECT mebibytes FROM system_views.disk_usage WHERE keyspace_name = %s AND table_name = 'log'"
    before, mebibytes = -1, 0
    while not mebibytes or mebibytes != before:
        time.sleep(2.5)  # two equal measurements count only if the server had time to write between them
        before, mebibytes = mebibytes, session.execute(query, (keyspace,)).one().mebibytes
    return mebibytes * 2**20


# --- the session ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_not_there_is_unavailable_and_the_next_call_connects(cassandra: LogStore, settings: Settings) -> None:
    connection.drop()
    port, settings.CASSANDRA_PORT = settings.CASSANDRA_PORT, 1

    with pytest.raises(LogStoreUnavailable, match="cannot be reached"):
        cassandra.ping()

    settings.CASSANDRA_PORT = port
    cassandra.ping()


def test_a_session_that_was_shut_down_is_made_anew(cassandra: LogStore) -> None:
    former = connection.session()
    former.cluster.shutdown()

    cassandra.ping()

    assert connection.session() is not former
    assert not connection.session().is_shutdown


@pytest.mark.filterwarnings("ignore")
def test_a_failed_request_drops_the_session(cassandra: LogStore, source: str, settings: Settings) -> None:
    cassandra.write(events(source, 1))
    connection.drop()
    port = settings.CASSANDRA_PORT
    with Proxy(port) as proxy:
        settings.CASSANDRA_PORT = proxy.port
        assert cassandra.count(source, START, START + HOUR) == 1
        session = connection.session()
        for profile in session.cluster.profile_manager.profiles.values():
            profile.request_timeout = 0.5
        proxy.freeze()

        with pytest.raises(LogStoreUnavailable, match="OperationTimedOut"):
            cassandra.count(source, START, START + HOUR)

        settings.CASSANDRA_PORT = port
        assert session.is_shutdown
        assert cassandra.count(source, START, START + HOUR) == 1


@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_of_a_process_with_a_session_makes_its_own(cassandra: LogStore, source: str) -> None:
    cassandra.write(events(source, 1))

    child = os.fork()
    if child == 0:
        try:
            cassandra.write(events(source, 5))
            os._exit(0 if cassandra.count(source, START, START + HOUR) == 5 else 1)
        except BaseException:  # noqa: BLE001 (the child process must end here in any case)
            os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cassandra.count(source, START, START + HOUR) == 5
