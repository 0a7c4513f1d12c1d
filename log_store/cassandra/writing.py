"""Write events, and keep the counts of each partition correct, even if writes are killed, repeated or run at the same time.

1. A write registers itself in the row of `parts` of each partition to which it will write. It adds its mark, and the first and last time of its
   events.
2. It inserts the events.
3. It reads the rows of `parts` again. If its own mark is missing, a deletion with a later timestamp hides it and the events, and the write fails.
   If a row has only the mark of this write, no other write had registered before all events of this write were inserted. So the partition holds
   exactly these events, and they need not be counted. Otherwise the write counts the events of the partition.
4. It stores the counts, and adds its mark to the marks that are counted. The timestamp of the counts is taken before step 3, and it is later than
   the timestamp of the counts that step 3 found. So if two writes count at the same time, the counts of the write that read later remain.

If a mark is registered but not counted, its write is still running or was killed. Readers then count the events of the partition themselves. A mark
is a digest of the keys that are written, so a write that is repeated has the same mark.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from struct import Struct

import msgspec
from cassandra.cluster import Session
from cassandra.marshal import int32_pack, int64_pack
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement
from django.conf import settings
from django.utils.translation import gettext as _

from log_store.cassandra import reading
from log_store.cassandra.connection import READING, connection, finish, in_flight
from log_store.cassandra.schema import DAY_S, keyspace
from log_store.counts import DAY, day_of
from log_store.event import LogEvent, of_milliseconds
from log_store.store import LogStoreUnavailable, Tally
from log_store.write_parts import Part, parts_of

KEYS_AT_ONCE = 100
# A request takes the driver about 0.3 ms, whatever the size of the request is. Measured: with batches of 256 KiB, a row takes a sixth less time
# than with batches of 64 KiB. Larger batches are not faster.
BATCH_ROWS = 2000
BATCH_BYTES = 256 * 1024
NULL = b"\xff\xff\xff\xff"
# The bytes of the fields after `extra` if all of them are null, as for a line that was not parsed. They are not sent, because a value may end before
# its last fields, and with these bytes the largest possible partition would exceed 100 MB.
TRAILING_NULLS = 8 * NULL
MARK_BYTES = 8
_length_and_double, _two_ints = Struct(">id").pack, Struct(">ii").pack


def write(session: Session, events: Sequence[LogEvent]) -> list[Tally]:
    """Store the events, and return the new totals per segment and hour. Raises LogStoreUnavailable if an earlier deletion would hide them."""
    parts = parts_of(events)
    marks = [_mark(part) for part in parts]
    register(session, [(part.source, part.hour, part.segment, mark, part.span) for part, mark in zip(parts, marks, strict=True)])
    insert(session, parts, settings.CASSANDRA_TTL_DAYS * DAY_S)
    began_us = session.cluster.timestamp_generator()  # the inserts above used this clock too, and it never runs backwards
    rows = {(row.source, row.hour, row.segment): row for row in _index_rows(session, parts)}
    totals = []
    for part, mark in zip(parts, marks, strict=True):
        row = rows.get((part.source, part.hour, part.segment))
        if row is None or mark not in row.marks:
            reason = _(
                "The events of %(source)s would not be found: earlier ones were deleted with a clock that is ahead of the one here. Correct the "
                "clocks. The events are stored as soon as the clock here has reached the time of the deletion."
            )
            raise LogStoreUnavailable(reason % {"source": part.source})
        total = part.tally() if row.marks == {mark} else reading.tally_of(session, part.source, part.hour, part.segment)
        # The timestamp is later than that of the counts that were read, even if the clock of the worker that wrote them is ahead.
        totals.append((total, mark, max(began_us, row.counted_us + 1)))
    store_counts(session, totals)
    return [total for total, _, _ in totals]


def register(session: Session, writes: Iterable[tuple[str, datetime, str, bytes, tuple[int, int]]]) -> None:
    """Register writes in `parts` before their events are inserted. `writes`: source, hour, segment, mark, and first and last time in milliseconds."""
    # These rows live one day longer than the events, so that no event outlives the rows that lead to its partition.
    ttl_s = settings.CASSANDRA_TTL_DAYS * DAY_S + DAY_S
    add_day = connection.prepare(f"INSERT INTO {keyspace()}.days (source, day) VALUES (?, ?) USING TTL {ttl_s}")  # noqa: S608 (no user input)
    add_span = connection.prepare(
        f"UPDATE {keyspace()}.parts USING TTL {ttl_s} SET spans = spans + ? WHERE source = ? AND day = ? AND hour = ? AND segment = ?"  # noqa: S608
    )
    by_day = defaultdict(list)
    for source, hour, segment, mark, (first, last) in writes:
        day = day_of(hour)
        span = of_milliseconds(first), of_milliseconds(last)
        by_day[source, day].append(add_span.bind(({mark: span}, source, day, hour, segment)))
    statements = [add_day.bind(key) for key in by_day] + [batch for updates in by_day.values() for batch in _batches(updates)]
    finish(in_flight(session, statements))


def store_counts(session: Session, totals: Iterable[tuple[Tally, bytes, int]]) -> None:
    """Store the counts of partitions. `totals`: the counts, the mark of the write that they include, and their timestamp in microseconds."""
    ttl_s = settings.CASSANDRA_TTL_DAYS * DAY_S + DAY_S
    update = connection.prepare(
        f"UPDATE {keyspace()}.parts USING TTL {ttl_s} AND TIMESTAMP ? SET levels = ?, counted = counted + ? "  # noqa: S608 (no user input)
        "WHERE source = ? AND day = ? AND hour = ? AND segment = ?"
    )
    by_day = defaultdict(list)
    for total, mark, at_us in totals:
        day = day_of(total.hour)
        by_day[total.source, day].append(update.bind((at_us, total.levels, {mark}, total.source, day, total.hour, total.segment)))
    finish(in_flight(session, (batch for updates in by_day.values() for batch in _batches(updates))))


def forget_day(session: Session, source: str, day: datetime) -> int:
    """Delete a source's events of a day, and return the number of parts deleted.

    The row of the day is deleted last, so that after a deletion that was killed, the next one finds the rest. The timestamp of the deletes is later
    than that of the counts, which was taken after the events were inserted. So the deletes take effect even if the clock of the worker that wrote
    the events is ahead.
    """
    parts = reading.index_rows(session, source, day, day, day + DAY)
    at_us = max([session.cluster.timestamp_generator(), *(part.counted_us + 1 for part in parts)])
    delete_events = connection.prepare(f"DELETE FROM {keyspace()}.log USING TIMESTAMP ? WHERE source = ? AND hour = ? AND segment = ?")  # noqa: S608
    finish(in_flight(session, (delete_events.bind((at_us, source, part.hour, part.segment)) for part in parts)))
    for table in ("parts", "days"):
        delete_day = connection.prepare(f"DELETE FROM {keyspace()}.{table} USING TIMESTAMP ? WHERE source = ? AND day = ?")  # noqa: S608
        session.execute(delete_day.bind((at_us, source, day)))
    return len(parts)


def insert(session: Session, parts: Iterable[Part], ttl_s: int) -> None:
    """Insert the events, without registering the write or storing counts."""
    finish(in_flight(session, event_batches(parts, ttl_s)))


def _index_rows(session: Session, parts: Iterable[Part]) -> Iterator[reading.IndexRow]:
    """Yield the rows of the table `parts` for the parts of a write. A row that does not exist is left out."""
    query = connection.prepare(f"{reading.INDEX.format(keyspace=keyspace())} AND (hour, segment) IN ?")
    keys = defaultdict(list)
    for part in parts:
        keys[part.source, day_of(part.hour)].append((part.hour, part.segment))
    statements = [
        (source, query.bind((source, day, keys_of_day[start : start + KEYS_AT_ONCE])))
        for (source, day), keys_of_day in keys.items()
        for start in range(0, len(keys_of_day), KEYS_AT_ONCE)
    ]
    results = in_flight(session, (statement for _, statement in statements), profile=READING)
    for (source, _statement), rows in zip(statements, results, strict=True):
        yield from (reading.index_row(source, row) for row in rows)


def event_batches(parts: Iterable[Part], ttl_s: int) -> Iterator[BatchStatement]:
    """Yield batches that insert the events of the parts. Each batch is for one partition."""
    # The time to live is explicit, because the table's default is what the setting was when the table was created.
    statement = connection.prepare(
        f"INSERT INTO {keyspace()}.log (source, hour, segment, time, event_id, event) VALUES (?, ?, ?, ?, ?, ?) USING TTL {ttl_s}"  # noqa: S608 (no user input)
    )
    return chain.from_iterable(_batches_of_part(statement, part) for part in parts)


def _batches_of_part(statement: PreparedStatement, part: Part) -> Iterator[BatchStatement]:
    """Yield unlogged batches that insert the part's events. `statement`: an INSERT of source, hour, segment, time, event_id and event.

    `statement.bind` is not called for each row, because it would encode the key again, and look for a column encryption policy for each value.
    The driver still makes the bytes of the whole request. docs/log-store.md has the cost of both ways.
    """
    row = statement.bind((part.source, part.hour, part.segment))
    key = row.values[:3]
    batch, batch_bytes = _unlogged_batch(), 0
    for (time_ms, event_id), value in zip(part.events, event_values(part.events.values()), strict=True):
        if batch_bytes and (batch_bytes + len(value) > BATCH_BYTES or len(batch) == BATCH_ROWS):
            yield batch
            batch, batch_bytes = _unlogged_batch(), 0
        row.values = [*key, int64_pack(time_ms), event_id.encode(), value]
        batch.add(row)
        batch_bytes += len(value)
    yield batch


class _Encoded(dict[str | int | None, bytes]):
    """Maps a value to its bytes: its length and the value itself. For values that many events share, which are encoded once."""

    def __missing__(self, value: str | int) -> bytes:
        encoded = int32_pack(value) if isinstance(value, int) else value.encode()
        self[value] = encoded = int32_pack(len(encoded)) + encoded
        return encoded


def event_values(events: Iterable[LogEvent]) -> Iterator[bytes]:
    """Yield each event as a value of Cassandra's type `event`: the lengths and bytes of its fields, in the order of the type.

    An empty field is null. Its length is -1. The driver's own types would take three times as long.
    """
    shared, keys = _Encoded({"": NULL, None: NULL}), _Encoded()
    pack = int32_pack
    for event in events:
        message, host, path, trace_id = event.message.encode(), event.host.encode(), event.path.encode(), event.trace_id.encode()
        yield b"".join(
            (
                shared[event.level],
                pack(len(message) or -1),
                message,
                _map(event.extra, keys) if event.extra else NULL,
                shared[event.service],
                pack(len(host) or -1),
                host,
                shared[event.logger],
                shared[event.method],
                pack(len(path) or -1),
                path,
                shared[event.status],
                NULL if event.duration_ms is None else _length_and_double(8, event.duration_ms),
                pack(len(trace_id) or -1),
                trace_id,
            )
        ).removesuffix(TRAILING_NULLS)


def _map(texts: Mapping[str, str], encoded_keys: _Encoded) -> bytes:
    """Return a map as a field of an event: its length, the number of its entries, and the keys and values.

    The keys are sorted, because the server stores a nested map in the order in which it is sent, and `event.extra['queue']` only finds a key if
    they are in the order of their bytes.
    """
    pieces: list[bytes] = []
    for key in sorted(texts):
        value = texts[key].encode()
        pieces += encoded_keys[key], int32_pack(len(value)), value
    entries = b"".join(pieces)
    return _two_ints(4 + len(entries), len(texts)) + entries


def _batches(statements: Sequence[BoundStatement]) -> Iterator[BatchStatement]:
    """Yield the statements, which must be for one partition, in unlogged batches."""
    for start in range(0, len(statements), KEYS_AT_ONCE):
        batch = _unlogged_batch()
        for statement in statements[start : start + KEYS_AT_ONCE]:
            batch.add(statement)
        yield batch


def _unlogged_batch() -> BatchStatement:
    """Return an empty batch. The statements in it must be for one partition: the server then applies it as one write."""
    batch = BatchStatement(batch_type=BatchType.UNLOGGED)
    batch.is_idempotent = True
    return batch


def _mark(part: Part) -> bytes:
    """Return a digest of the keys (time and id) of a part's events. The order of the events makes no difference."""
    return hashlib.blake2b(msgspec.json.encode(sorted(part.events)), digest_size=MARK_BYTES).digest()
