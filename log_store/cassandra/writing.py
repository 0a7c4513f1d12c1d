"""Write events, and keep the counts of each partition correct, even if writes are killed, repeated or run at the same time.

1. A write registers itself in the row of `parts` of each partition to which it will write. It adds its mark, and the first and last time of its
   events.
2. It inserts the events.
3. It reads the rows of `parts` again. If a row has only the mark of this write, no other write had registered before all events of this write were
   inserted. So the partition holds exactly these events, and they need not be counted. Otherwise the write counts the events of the partition.
4. It stores the counts, and adds its mark to the marks that are counted. The timestamp of the counts is taken before step 3, and it is later than
   the timestamp of the counts that step 3 found. So if two writes count at the same time, the counts of the write that read later remain.

If a mark is registered but not counted, its write is still running or was killed. Readers then count the events of the partition themselves. A mark
is a digest of the keys that are written, so a write that is repeated has the same mark.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec
from cassandra.cluster import Session
from cassandra.marshal import int64_pack
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement
from django.conf import settings

from log_store.cassandra import reading
from log_store.cassandra.connection import READING, connection, finish, in_flight
from log_store.cassandra.schema import DAY_S, keyspace
from log_store.counts import DAY, day_of
from log_store.event import LogEvent, of_milliseconds
from log_store.store import Tally
from log_store.write_parts import Part, parts_of

KEYS_AT_ONCE = 100
# A request takes the driver about 0.3 ms, whatever the size of the request is. Measured: with batches of 256 KiB, a row takes a sixth less time
# than with batches of 64 KiB. Larger batches are not faster.
BATCH_ROWS = 2000
BATCH_BYTES = 256 * 1024
# The bytes of the fields after `extra` if all of them are null, as for a line that was not parsed. They are not sent, because a value may end before
# its last fields, and with these bytes the largest possible partition would exceed 100 MB.
TRAILING_NULLS = 8 * b"\xff\xff\xff\xff"
MARK_BYTES = 8


def write(session: Session, events: Sequence[LogEvent]) -> list[Tally]:
    """Store the events, and return the new totals per segment and hour."""
    parts = parts_of(events)
    marks = [_mark(part) for part in parts]
    register(session, [(part.source, part.hour, part.segment, mark, part.span) for part, mark in zip(parts, marks, strict=True)])
    insert(session, parts, settings.CASSANDRA_TTL_DAYS * DAY_S)
    began_us = session.cluster.timestamp_generator()  # the inserts above used this clock too, and it never runs backwards
    rows = {(row.source, row.hour, row.segment): row for row in _index_rows(session, parts)}
    totals = []
    for part, mark in zip(parts, marks, strict=True):
        row = rows.get((part.source, part.hour, part.segment))
        is_only_write = row is not None and row.marks == {mark}
        total = part.tally() if is_only_write else reading.tally_of(session, part.source, part.hour, part.segment)
        # The timestamp is later than that of the counts that were read, even if the clock of the worker that wrote them is ahead.
        totals.append((total, mark, max(began_us, row.counted_us + 1 if row else 0)))
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
    for (source, _), rows in zip(statements, results, strict=True):
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
    Instead, each row is encoded here with the driver's column types. The driver still makes the bytes of the whole request. docs/log-store.md has
    the cost of both ways.
    """
    row = statement.bind((part.source, part.hour, part.segment))
    key = row.values[:3]
    event_type = statement.column_metadata[-1].type
    batch, batch_bytes = _unlogged_batch(), 0
    for (time_ms, event_id), event in part.events.items():
        value = event_type.serialize(_fields(event), statement.protocol_version).removesuffix(TRAILING_NULLS)
        if batch_bytes and (batch_bytes + len(value) > BATCH_BYTES or len(batch) == BATCH_ROWS):
            yield batch
            batch, batch_bytes = _unlogged_batch(), 0
        row.values = [*key, int64_pack(time_ms), event_id.encode(), value]
        batch.add(row)
        batch_bytes += len(value)
    yield batch


def _fields(event: LogEvent) -> tuple[Any, ...]:
    """Return the fields of an event in the order of Cassandra's type `event`. An empty field is None."""
    return (
        event.level,
        event.message or None,
        # The keys are sorted, because the server stores a nested map in the order in which it is sent, and `event.extra['queue']` only finds a key
        # if they are in the order of their bytes.
        dict(sorted(event.extra.items())) if event.extra else None,
        event.service or None,
        event.host or None,
        event.logger or None,
        event.method or None,
        event.path or None,
        event.status,
        event.duration_ms,
        event.trace_id or None,
    )


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
