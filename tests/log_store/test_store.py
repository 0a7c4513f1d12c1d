"""Behaviour of both log stores: each test runs with the SQL store and with Cassandra."""

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import hypothesis
import hypothesis.strategies as st
import msgspec
import pytest

from log_store.event import SEGMENT_BYTES, LogEvent, event_id, file_key
from log_store.store import LogQuery, LogStore, around, event_at, position
from tests.log_store.log_events import HOUR, SECOND, START, counted, events, everything, in_order, read_all, tallied

# All examples may share the store, because each has a source of its own.
PATIENT = hypothesis.settings(max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])


def test_an_event_is_read_as_it_was_written(store: LogStore, source: str) -> None:
    full = LogEvent(
        event_id="e1",
        source=source,
        time=START + timedelta(milliseconds=123),
        level="error",
        service="billing",
        host="web-1",
        logger="shop",
        message="café \U0001f600",
        method="GET",
        path="/cart",
        status=500,
        duration_ms=12.5,
        trace_id="t1",
        extra={"user": "7", "empty": "", "ñ": "é"},
    )
    bare = LogEvent(event_id="e2", source=source, time=START, level="unknown")

    store.write([bare, full])

    assert store.read(everything(source)).events == [full, bare]


def test_no_line_is_too_long_for_a_field_and_no_batch_for_a_request(store: LogStore, source: str) -> None:
    text = "x" * 300_000
    written = [
        msgspec.structs.replace(event, host=text[:2000], method=text[:2000], trace_id=text[:2000], message=text) for event in events(source, 30)
    ]

    store.write(written)

    assert read_all(store, everything(source)) == written[::-1]


def test_times_are_kept_to_the_millisecond_and_in_utc(store: LogStore, source: str) -> None:
    event = msgspec.structs.replace(events(source, 1)[0], time=datetime(2026, 3, 1, 9, 0, 0, 123_456, tzinfo=timezone(-3 * HOUR)))

    store.write([event])

    assert store.read(everything(source)).events[0].time == datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
    assert store.counts(source, START, START + HOUR) == {(START, "info"): 1}


def test_nothing_is_written_of_nothing(store: LogStore, source: str) -> None:
    assert store.write([]) == []
    assert store.read(everything(source)).events == []
    assert store.count(source, START, START + HOUR) == 0
    assert store.counts(source, START, START + HOUR) == {}
    store.ensure_schema()
    store.ping()


def test_writing_twice_keeps_once_and_tells_the_same(store: LogStore, source: str) -> None:
    written = events(source, 250, step=timedelta(minutes=1))

    first = store.write(written)
    second = store.write(written)

    assert sorted(first, key=lambda one: one.hour) == sorted(second, key=lambda one: one.hour)
    assert store.count(source, START, START + 5 * HOUR) == 250
    assert read_all(store, everything(source)) == written[::-1]


def test_a_write_tells_what_its_segments_hold_in_all(store: LogStore, source: str) -> None:
    written = events(source, 300, step=timedelta(seconds=20), line_bytes=8192)
    written = [
        msgspec.structs.replace(event, level="error" if n % 7 == 0 else "info", status=503 if n % 5 == 0 else None) for n, event in enumerate(written)
    ]

    store.write(written[:100])
    told = store.write(written[50:220] + written[60:70])

    truth = tallied(written[:220])
    assert told
    assert {(one.segment, one.hour): (one.levels, one.minutes) for one in told} == {
        key: value for key, value in truth.items() if key in tallied(written[50:220])
    }
    assert {one.source for one in told} == {source}


def test_an_event_written_again_with_another_level_is_counted_once(store: LogStore, source: str) -> None:
    [event] = events(source, 1)
    store.write([event])

    [told] = store.write([msgspec.structs.replace(event, level="error")])

    [kept] = store.read(everything(source)).events
    assert told.levels == {kept.level: 1}
    assert store.counts(source, START, START + HOUR) == {(START, kept.level): 1}


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_follow_each_other_through_ties_segments_and_days(store: LogStore, source: str, oldest_first: bool) -> None:
    tied = events(source, 40, step=timedelta(0))
    spread = events(source, 60, step=timedelta(minutes=47), file="b", line_bytes=60_000)
    beside = events(source, 60, step=timedelta(seconds=1), file="c", line_bytes=300_000)
    store.write(tied + spread)
    store.write(beside)

    for limit in (1, 7, 1000):
        assert read_all(store, everything(source), limit=limit, oldest_first=oldest_first) == in_order(
            tied + spread + beside, oldest_first=oldest_first
        )


def test_a_page_that_is_exactly_full_is_the_last_one(store: LogStore, source: str) -> None:
    written = events(source, 10)
    store.write(written)

    assert store.read(everything(source), limit=10).following == ""
    assert store.read(everything(source), limit=9).following == position(written[1])


def test_a_period_has_its_start_and_not_its_end(store: LogStore, source: str) -> None:
    written = events(source, 10)
    store.write(written)

    assert store.read(LogQuery(source, START + 2 * SECOND, START + 5 * SECOND)).events == written[2:5][::-1]
    assert store.count(source, START + 2 * SECOND, START + 5 * SECOND) == 3
    assert store.count(source, START + timedelta(microseconds=1), START + 2 * SECOND) == 1
    assert store.count(source, START, START + timedelta(microseconds=1)) == 1
    assert store.count(source, START, START) == 0
    assert store.count(source, START + HOUR, START) == 0
    assert store.count("another", START, START + timedelta(days=1)) == 0
    assert store.read(LogQuery(source, START + HOUR, START)).events == []


def test_events_of_some_levels_are_found_among_many(store: LogStore, source: str) -> None:
    written = events(source, 3000)
    written[5] = msgspec.structs.replace(written[5], level="error")
    written[2005] = msgspec.structs.replace(written[2005], level="critical")
    written[7] = msgspec.structs.replace(written[7], level="unknown")
    store.write(written)

    assert read_all(store, everything(source, levels=frozenset({"error", "critical"})), limit=1) == [written[2005], written[5]]
    assert store.read(everything(source, levels=frozenset({"unknown"}))).events == [written[7]]
    assert store.read(everything(source, levels=frozenset({"debug"}))).events == []


def test_a_text_is_found_whatever_its_case_in_message_path_and_trace(store: LogStore, source: str) -> None:
    written = events(source, 6)
    for number, field in ((1, {"message": "Straße IN FLAMES"}), (3, {"path": "/in flames"}), (5, {"trace_id": "In Flames-7"})):
        written[number] = msgspec.structs.replace(written[number], **field)
    store.write(written)

    assert store.read(everything(source, contains="in flames")).events == [written[5], written[3], written[1]]
    assert store.read(everything(source, contains="STRASSE")).events == [written[1]]
    assert store.read(everything(source, contains="100%")).events == []


def test_a_search_ends_after_so_many_events_and_goes_on(store: LogStore, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("log_store.store.MOST_SCANNED", 50)
    written = events(source, 120)
    written[3] = msgspec.structs.replace(written[3], message="the needle")
    store.write(written)
    query = everything(source, contains="needle")

    first = store.read(query)
    assert (first.events, first.following) == ([], position(written[70]))
    assert read_all(store, query) == [written[3]]


def test_an_event_has_a_lasting_place_and_neighbours(store: LogStore, source: str) -> None:
    written = events(source, 30, step=timedelta(0)) + events(source, 30, file="b")
    store.write(written)
    ordered = in_order(written, oldest_first=True)

    assert event_at(store, source, position(ordered[20])) == ordered[20]
    assert event_at(store, source, f"{position(ordered[20])}0") is None
    assert around(store, ordered[20], before=5, after=15) == ordered[15:36]
    with pytest.raises(ValueError, match="not a position"):
        store.read(everything(source), after="nonsense")


lines = st.lists(
    st.tuples(
        st.integers(0, 3),  # the file's segment
        st.integers(0, 40),  # the line in the segment
        st.integers(-90, 90),  # minutes after START
        st.sampled_from([0, 1, 59_999]),  # milliseconds after that minute
    ),
    max_size=12,
)


@PATIENT
@hypothesis.given(writes=st.lists(lines, min_size=1, max_size=4))
def test_reads_and_sums_are_those_of_a_list(store: LogStore, writes: list[list[tuple[int, int, int, int]]]) -> None:
    source = f"source-{uuid.uuid4().hex[:8]}"
    held: dict[str, LogEvent] = {}
    for write in writes:
        made = [_line(source, *line) for line in write]
        made = [held.get(event.event_id, event) for event in made]
        made = list({event.event_id: event for event in made}.values())
        held |= {event.event_id: event for event in made}
        told = store.write(made)
        truth = tallied(held.values())
        assert {(one.segment, one.hour): (one.levels, one.minutes) for one in told} == {key: truth[key] for key in tallied(made)}

    ordered = in_order(held.values())
    assert read_all(store, everything(source), limit=5) == ordered
    assert read_all(store, everything(source), limit=5, oldest_first=True) == ordered[::-1]
    assert store.counts(source, START - 40 * HOUR, START + 40 * HOUR) == counted(ordered)
    for start, end in ((START - HOUR, START + HOUR), (START - timedelta(minutes=31), START + timedelta(minutes=7, milliseconds=1))):
        assert store.count(source, start, end) == sum(start <= event.time < end for event in ordered)


def test_events_are_counted_by_minute_within_a_period(store: LogStore, source: str) -> None:
    store.write(events(source, 200, step=timedelta(seconds=17)))
    held = read_all(store, everything(source), limit=1000)
    start, end = START + timedelta(minutes=7, seconds=3), START + timedelta(minutes=41, milliseconds=1)
    expected = Counter((event.time.replace(second=0, microsecond=0), event.level) for event in held if start <= event.time < end)
    assert store.minute_counts(source, start, end) == expected
    assert store.minute_counts(source, end, end) == {}


def _line(source: str, segment: int, number: int, minutes: int, milliseconds: int) -> LogEvent:
    return LogEvent(
        event_id=event_id(file_key(1, source), segment * SEGMENT_BYTES + number),
        source=source,
        time=START + timedelta(minutes=minutes, milliseconds=milliseconds),
        level=("debug", "info", "warning", "error", "critical", "unknown")[number % 6],
        status=(None, 200, 500)[number % 3],
    )


def test_a_source_is_forgotten_in_bounded_batches_and_its_neighbour_is_not(store: LogStore, source: str) -> None:
    neighbour = f"{source}-2"
    written = events(source, 3000, step=timedelta(minutes=1))
    store.write(written)
    store.write([msgspec.structs.replace(event, source=neighbour, event_id=f"n{event.event_id}") for event in written[:50]])

    gone = list(store.forget(source))

    assert len(gone) >= 3  # one number per day (Cassandra) or per batch of rows (SQL)
    assert max(gone) <= 1000
    assert store.read(everything(source)).events == []
    assert (store.count(source, START, START + 60 * HOUR), store.counts(source, START, START + 60 * HOUR)) == (0, {})
    assert store.count(neighbour, START, START + 60 * HOUR) == 50
    assert list(store.forget(source)) == []


def test_forgetting_that_was_killed_goes_on_where_it_stood(store: LogStore, source: str) -> None:
    store.write(events(source, 3000, step=timedelta(minutes=1)))
    forgetting = store.forget(source)
    next(forgetting)
    forgetting.close()  # type: ignore[attr-defined]

    assert list(store.forget(source))
    assert store.count(source, START, START + 60 * HOUR) == 0


def test_what_is_written_after_a_source_was_forgotten_is_kept(store: LogStore, source: str) -> None:
    written = events(source, 100)
    store.write(written)
    list(store.forget(source))

    store.write(written[:40])

    assert store.count(source, START, START + HOUR) == 40
    assert read_all(store, everything(source)) == written[:40][::-1]
