"""What goes over the wire is, byte for byte, what the driver itself would send."""

import warnings
from datetime import timedelta
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from log_store.event import LogEvent, event_id, milliseconds
from tests.log_store.eventful import START

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from cassandra import ConsistencyLevel
    from cassandra.cqltypes import DoubleType, Int32Type, MapType, UserType, UTF8Type
    from cassandra.protocol import BatchMessage, ProtocolHandler
    from cassandra.query import BatchStatement, PreparedStatement

    from log_store.cassandra import rows
    from log_store.cassandra.schema import EVENT
    from log_store.write_parts import parts_of

COLUMN = SimpleNamespace(keyspace_name="logs")
STATEMENT = PreparedStatement([COLUMN], b"0123456789abcdef", [0, 1, 2], "INSERT", "logs", 5, None, None)
FIELDS = {
    "level": UTF8Type,
    "message": UTF8Type,
    "extra": MapType.apply_parameters([UTF8Type, UTF8Type]),
    **dict.fromkeys(("service", "host", "logger", "method", "path"), UTF8Type),
    "status": Int32Type,
    "duration_ms": DoubleType,
    "trace_id": UTF8Type,
}
VALUE = UserType.make_udt_class("logs", "event", tuple(FIELDS), tuple(FIELDS.values()))
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
EVENTS = st.builds(
    LogEvent,
    event_id=st.integers(0, 2**30).map(lambda offset: event_id("0123456789abcdef", offset)),
    source=st.just("web"),
    time=st.integers(0, 7200_000).map(lambda ms: START + timedelta(milliseconds=ms)),
    level=st.sampled_from(["info", "unknown"]),
    **dict.fromkeys(("service", "host", "logger", "message", "method", "path", "trace_id"), TEXTS),
    # Also such as end in bytes that a null consists of.
    status=st.one_of(st.none(), st.sampled_from([200, 511, 767])),
    duration_ms=st.one_of(st.none(), st.floats(allow_nan=False), st.sampled_from([float.fromhex("0x1.fffffffffffffp+1"), -1.0])),
    extra=st.dictionaries(TEXTS, TEXTS, max_size=3),
)


def message(batch: BatchStatement) -> BatchMessage:
    """As the driver's session makes it."""
    return BatchMessage(batch.batch_type, batch._statements_and_parameters, ConsistencyLevel.LOCAL_QUORUM, None, 1_700_000_000_000_000, None)


def as_the_driver_has_it(part: Any) -> list[tuple[bool, bytes, list[bytes]]]:
    hour = milliseconds(part.hour).to_bytes(8, "big")
    found = []
    for (time_ms, id_), event in part.events.items():
        # A map inside a value is taken by the server as it comes, and has to be in order.
        fields = {name: getattr(event, name) for name in FIELDS} | {"extra": dict(sorted(event.extra.items()))}
        value = VALUE.serialize(tuple(None if said in ("", {}) else said for said in fields.values()), 5)
        found.append((True, STATEMENT.query_id, [b"web", hour, part.segment.encode(), time_ms.to_bytes(8, "big"), id_.encode(), value]))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=6), st.sampled_from([3, 4, 5]))
def test_a_batch_is_what_the_driver_would_send(events: list[LogEvent], version: int) -> None:
    for part in parts_of(events):
        [batch] = rows.batches(STATEMENT, part)
        expected = message(batch)
        expected.queries = as_the_driver_has_it(part)
        # A value whose last fields are all null ends before them.
        for _, _, values in expected.queries:
            values[-1] = values[-1].removesuffix(rows.ALL_NULL)

        sent = rows.RowsHandler.encode_message(message(batch), 7, version, compressor=None, allow_beta_protocol_version=False)

        assert sent == ProtocolHandler.encode_message(expected, 7, version, None, allow_beta_protocol_version=False)


def test_the_fields_are_in_the_order_of_the_type() -> None:
    inside = EVENT[EVENT.index("(") + 1 : EVENT.rindex(")")]
    assert [field.split()[0] for field in inside.replace("<text, text>", "").split(",")] == list(FIELDS)


def test_other_messages_are_the_drivers_own() -> None:
    other = BatchMessage(BatchStatement().batch_type, [(True, b"id", [b"a", b"b"])], ConsistencyLevel.ONE)

    ours = rows.RowsHandler.encode_message(other, 7, 5, compressor=None, allow_beta_protocol_version=False)

    assert ours == ProtocolHandler.encode_message(other, 7, 5, None, allow_beta_protocol_version=False)


@pytest.mark.parametrize(("lines", "said", "sizes"), [(4500, "", [2000, 2000, 500]), (3, "x" * rows.BATCH_BYTES, [1, 1, 1]), (1, "", [1])])
def test_a_batch_ends_at_so_many_rows_or_bytes(lines: int, said: str, sizes: list[int]) -> None:
    events = [LogEvent(event_id("0123456789abcdef", number), "web", START, "info", message=said) for number in range(lines)]
    [part] = parts_of(events)

    sent = [message(batch).queries[0][2] for batch in rows.batches(STATEMENT, part)]

    assert [one.statements for one in sent] == sizes
    assert all(list(one) == sent[0] for one in sent)  # the key, by which the driver finds the host


def test_a_message_can_be_encoded_again_for_another_host() -> None:
    [part] = parts_of([LogEvent(event_id("0123456789abcdef", 1), "web", START, "info", message="x")])
    [batch] = rows.batches(STATEMENT, part)
    once = message(batch)

    bodies = []
    for _ in range(2):
        body = BytesIO()
        rows._RowsMessage(once, once.queries[0][2]).send_body(body, 5)
        bodies.append(body.getvalue())

    assert bodies[0] == bodies[1]
    assert once.queries
    assert batch.routing_key
