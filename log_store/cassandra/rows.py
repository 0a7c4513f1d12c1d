"""Events as rows of Cassandra's native protocol, in whole batches.

The driver takes each value apart by itself: it costs three times what it takes to put a row's bytes together here. Of its own
interfaces this uses the one for other encodings, `Session.client_protocol_handler`.
"""

import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from cassandra.protocol import BatchMessage, ProtocolHandler
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement

from log_store.event import milliseconds
from log_store.write_parts import Part

# A request costs the driver some 0.3 ms whatever is in it. Measured: one of 256 KiB takes a sixth less time a row than four of 64;
# with larger ones still nothing is won.
BATCH_ROWS = 2000
BATCH_BYTES = 256 * 1024
PREPARED = b"\x01"
NULL = b"\xff\xff\xff\xff"
# All of an event but its level, message and extra. Fields at the end of a value may be left out, and of an unparsed line these are;
# nothing else ends so, for each value begins with its length.
ALL_NULL = 8 * NULL
COLUMNS = 6
BATCH_HEAD = 3  # its type and the number of its statements, a byte and a short

_short = struct.Struct(">H").pack
_int32 = struct.Struct(">i").pack
_int64 = struct.Struct(">q").pack
_time_and_length = struct.Struct(">iqi").pack
_sized_int32 = struct.Struct(">ii").pack
_sized_double = struct.Struct(">id").pack


class Rows(list[bytes]):
    """What stands for the values of a batch's only statement: the partition's key, by which the driver finds the host, and the rows."""

    statements = 0
    body = b""


class RowsHandler(ProtocolHandler):
    """The driver's own encoding but for batches of Rows."""

    @classmethod
    def encode_message(cls, msg: Any, *args: Any, **options: Any) -> bytes:
        if isinstance(msg, BatchMessage) and msg.queries and isinstance(msg.queries[0][2], Rows):
            msg = _RowsMessage(msg, msg.queries[0][2])
        return super().encode_message(msg, *args, **options)


class _RowsMessage(BatchMessage):
    def __init__(self, message: BatchMessage, rows: Rows) -> None:
        self.__dict__ |= message.__dict__ | {"queries": ()}
        self._rows = rows

    def send_body(self, f: Any, protocol_version: int) -> None:
        without_rows = BytesIO()
        super().send_body(without_rows, protocol_version)
        around = without_rows.getvalue()
        f.write(around[: BATCH_HEAD - 2] + _short(self._rows.statements))
        f.write(self._rows.body)
        f.write(around[BATCH_HEAD:])


def batches(statement: PreparedStatement, part: Part) -> Iterator[BatchStatement]:
    """Unlogged batches of one partition, where a batch is one write; over several the server would refuse it.

    `statement`: an INSERT of source, hour, segment, time, event_id and event.
    """
    key = [part.source.encode(), _int64(milliseconds(part.hour)), part.segment.encode()]
    head = b"".join((PREPARED, _short(len(statement.query_id)), statement.query_id, _short(COLUMNS), *map(_sized, key)))
    bound = BoundStatement(statement)
    rows: list[bytes] = []
    size = 0
    for row in _rows(part, head):
        if rows and (len(rows) == BATCH_ROWS or size + len(row) > BATCH_BYTES):
            yield _batch(bound, key, rows)
            rows, size = [], 0
        rows.append(row)
        size += len(row)
    yield _batch(bound, key, rows)


def _batch(bound: BoundStatement, key: list[bytes], rows: list[bytes]) -> BatchStatement:
    values = bound.values = Rows(key)
    values.statements, values.body = len(rows), b"".join(rows)
    batch = unlogged_batch()
    batch.add(bound)
    return batch


def unlogged_batch() -> BatchStatement:
    batch = BatchStatement(batch_type=BatchType.UNLOGGED)
    batch.is_idempotent = True
    return batch


def _rows(part: Part, head: bytes) -> Iterator[bytes]:
    texts, keys = _Texts(), _Keys()
    for (time_ms, event_id), event in part.events.items():
        id_, message, path, trace_id = event_id.encode(), event.message.encode(), event.path.encode(), event.trace_id.encode()
        status, duration_ms = event.status, event.duration_ms
        # In the order of the type's fields, in `schema.EVENT`.
        value = b"".join(
            (
                texts[event.level],
                _int32(len(message)) if message else NULL,
                message,
                _map(event.extra, keys) if event.extra else NULL,
                texts[event.service],
                texts[event.host],
                texts[event.logger],
                texts[event.method],
                _int32(len(path)) if path else NULL,
                path,
                NULL if status is None else _sized_int32(4, status),
                NULL if duration_ms is None else _sized_double(8, duration_ms),
                _int32(len(trace_id)) if trace_id else NULL,
                trace_id,
            )
        )
        if value.endswith(ALL_NULL):
            value = value[: -len(ALL_NULL)]
        yield b"".join((head, _time_and_length(8, time_ms, len(id_)), id_, _int32(len(value)), value))


class _Texts(dict[str, bytes]):
    """Of what many events of a write share, each text is encoded once."""

    def __missing__(self, text: str) -> bytes:
        value = self[text] = _sized(text.encode()) if text else NULL
        return value


class _Keys(dict[str, bytes]):
    def __missing__(self, key: str) -> bytes:
        value = self[key] = _sized(key.encode())
        return value


def _map(texts: Mapping[str, str], keys: Mapping[str, bytes]) -> bytes:
    parts = [_int32(len(texts))]
    # In the order of their bytes: the server takes them as they are, and looks for event.extra['queue'] no further than where it should be.
    for key in sorted(texts):
        value = texts[key].encode()
        parts.append(keys[key])
        parts.append(_int32(len(value)))
        parts.append(value)
    return _sized(b"".join(parts))


def _sized(value: bytes) -> bytes:
    return _int32(len(value)) + value
