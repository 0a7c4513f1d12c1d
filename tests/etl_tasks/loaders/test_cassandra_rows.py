"""Rows put together here are, byte for byte, those of the driver, and its batches have bounds."""

import warnings
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from etl_tasks.loaders.log_parts import parts_of
from etl_tasks.sources.logs.event import LogEvent, event_id
from tests.etl_tasks.loaders.eventful import START

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from cassandra.cqltypes import DateType, DoubleType, Int32Type, MapType, UserType, UTF8Type
    from cassandra.protocol import BatchMessage, ProtocolHandler
    from cassandra.query import BatchStatement, BatchType, PreparedStatement

    from etl_tasks.loaders.cassandra.rows import ALL_NULL, BATCH_BYTES, BATCH_ROWS, Rows, RowsHandler, batches

FIELDS = ("level", "message", "extra", "service", "host", "logger", "method", "path", "status", "duration_ms", "trace_id")
TYPES = [
    *(UTF8Type, UTF8Type, MapType.apply_parameters([UTF8Type, UTF8Type])),
    *(UTF8Type, UTF8Type, UTF8Type, UTF8Type, UTF8Type, Int32Type, DoubleType, UTF8Type),
]
EVENT = UserType.make_udt_class("calls", "event", FIELDS, TYPES)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
EVENTS = st.builds(
    LogEvent,
    event_id=st.just(event_id("a" * 16, 0)),
    source=st.just("web"),
    time=st.integers(0, 3_599_999).map(lambda ms: START + timedelta(milliseconds=ms)),
    level=st.sampled_from(["", "info", "error"]),
    service=TEXTS,
    host=TEXTS,
    logger=TEXTS,
    message=TEXTS,
    method=TEXTS,
    path=TEXTS,
    status=st.none() | st.integers(100, 999),
    duration_ms=st.none() | st.floats(allow_nan=False),
    trace_id=TEXTS,
    extra=st.dictionaries(TEXTS, TEXTS, max_size=3),
)


class Column:
    keyspace_name, table_name = "calls", "log"

    def __init__(self, name: str, kind: Any) -> None:
        self.name, self.type = name, kind


def statement() -> PreparedStatement:
    kinds = {"source": UTF8Type, "hour": DateType, "segment": UTF8Type, "time": DateType, "event_id": UTF8Type, "event": EVENT}
    columns = [Column(name, kind) for name, kind in kinds.items()]
    return PreparedStatement(columns, b"q" * 16, [0, 1, 2], "INSERT", "calls", 4, None, None)


def sent(handler: Any, batch: BatchStatement, protocol_version: int) -> bytes:
    message = BatchMessage(batch.batch_type, batch._statements_and_parameters, 6, None, 1, "calls" if protocol_version > 4 else None)
    return bytes(handler.encode_message(message, 1, protocol_version, None, False))


@pytest.mark.parametrize("protocol_version", [3, 4, 5])
@settings(max_examples=100, deadline=None)
@given(events=st.lists(EVENTS, min_size=1, max_size=4))
def test_a_batch_is_that_of_the_driver_but_for_what_is_empty_at_the_end(protocol_version: int, events: list[LogEvent]) -> None:
    [part] = parts_of(events)
    theirs = BatchStatement(batch_type=BatchType.UNLOGGED)
    for event in part.events.values():
        values = [getattr(event, name) for name in FIELDS]
        values[2] = dict(sorted(event.extra.items()))
        value = EVENT.serialize(tuple(None if value in ("", {}) else value for value in values), protocol_version)
        whole = statement().bind((event.source, part.hour, part.segment, event.time, event.event_id, (None,) * len(FIELDS)))
        whole.values[-1] = value.removesuffix(ALL_NULL)
        theirs.add(whole)

    [ours] = batches(statement(), part)

    assert sent(RowsHandler, ours, protocol_version) == sent(ProtocolHandler, theirs, protocol_version)
    assert sent(RowsHandler, ours, protocol_version) == sent(RowsHandler, ours, protocol_version)  # as it is when it is sent again
    assert ours.routing_key == theirs.routing_key


@pytest.mark.parametrize(("message_bytes", "rows"), [(0, BATCH_ROWS), (100_000, BATCH_BYTES // 100_000), (BATCH_BYTES, 1)])
def test_a_batch_ends_before_it_has_too_many_rows_or_bytes_and_has_one_at_least(message_bytes: int, rows: int) -> None:
    times = (START + timedelta(milliseconds=number) for number in range(2 * rows + 1))
    [part] = parts_of(LogEvent(event_id("a" * 16, 0), "web", time, "info", message="x" * message_bytes) for time in times)

    found = [batch._statements_and_parameters[0][2] for batch in batches(statement(), part)]

    assert all(isinstance(one, Rows) for one in found)
    assert [one.statements for one in found] == [rows, rows, 1]
