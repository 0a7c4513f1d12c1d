"""Write events, and keep the counts of each partition equal to what it holds, even if writes are killed, repeated or meet.

1. The write registers in each row of `parts` that it will fill: its mark, and the range of its times.
2. It inserts the events.
3. It reads the marks of these rows. If a row has only its own mark, no other write had registered before all its events were inserted, so the
   partition holds exactly these events. Otherwise it counts the events of the partition.
4. It stores the counts, and adds its mark to those that are counted. The timestamp of the counts is taken before step 3 and is later than that of
   the counts found there: if two writes count at once, the counts of the one that read later remain.

A mark that is registered and not counted belongs to a write that was killed. Readers then count the events themselves. A mark is a digest of the
keys that are written, so a write that is repeated has the same mark.
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
# A request costs the driver about 0.3 ms whatever its size. Measured: a batch of 256 KiB takes a sixth less time per row than four of 64 KiB, and
# larger batches gain nothing more.
BATCH_ROWS = 2000
BATCH_BYTES = 256 * 1024
# The fields after `extra`, if all are null, as after a line that was not parsed. A value may end before its last fields; sending these nulls would
# let the largest possible partition exceed 100 MB.
TRAILING_NULLS = 8 * b"\xff\xff\xff\xff"
MARK_BYTES = 8


def write(session: Session, events: Sequence[LogEvent]) -> list[Tally]:
    """Store the events, and return the new totals per segment and hour."""
    parts = parts_of(events)
    marks = [_mark(part) for part in parts]
    register(session, [(part.source, part.hour, part.segment, mark, part.span) for part, mark in zip(parts, marks, strict=True)])
    insert(session, parts, settings.CASSANDRA_TTL_DAYS * DAY_S)
    began_us = session.cluster.timestamp_generator()  # the clock of the inserts above, which never runs backwards
    rows = {(row.source, row.hour, row.segment): row for row in _index_rows(session, parts)}
    totals = []
    for part, mark in zip(parts, marks, strict=True):
        row = rows.get((part.source, part.hour, part.segment))
        is_only_write = row is not None and row.marks == {mark}
        total = part.tally() if is_only_write else reading.tally_of(session, part.source, part.hour, part.segment)
        # Later than the counts that were read, even if the clock of the worker that wrote them is ahead.
        totals.append((total, mark, max(began_us, row.counted_us + 1 if row else 0)))
    store_counts(session, totals)
    return [total for total, _, _ in totals]


def register(session: Session, writes: Iterable[tuple[str, datetime, str, bytes, tuple[int, int]]]) -> None:
    """Register writes in `parts` before their events are inserted. `writes`: source, hour, segment, mark, and first and last time in milliseconds."""
    # One day longer than the events, so that no event outlives the rows that lead to its partition.
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

    The row of the day is deleted last, so that a deletion that was killed finds the rest again. The timestamp of the deletes is later than that
    of the counts, which was taken after the events were inserted. So the deletes take effect even if the clock of the worker that wrote them is
    ahead.
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
    """Yield the rows of `parts` for the parts of a write."""
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
    """Yield the parts' events as batches to insert, each for one partition."""
    # With an explicit time to live, because the table's default is the setting of the day on which it was created.
    statement = connection.prepare(
        f"INSERT INTO {keyspace()}.log (source, hour, segment, time, event_id, event) VALUES (?, ?, ?, ?, ?, ?) USING TTL {ttl_s}"  # noqa: S608 (no user input)
    )
    return chain.from_iterable(_batches_of_part(statement, part) for part in parts)


def _batches_of_part(statement: PreparedStatement, part: Part) -> Iterator[BatchStatement]:
    """Yield the part's events as unlogged batches. `statement`: an INSERT of source, hour, segment, time, event_id and event.

    The driver's column types encode each row here, because `statement.bind` also encodes the key again and looks for a column encryption policy
    for each value. The bytes of a whole request are left to the driver. docs/log-store.md has the cost of each way.
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
    """Return the fields of the type `event`, in its order, with None for what is empty."""
    return (
        event.level,
        event.message or None,
        # Sorted by the keys' bytes: the server stores a nested map as it is sent, and `event.extra['queue']` expects this order.
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
    """Yield statements for one partition in unlogged batches."""
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
    """Return a digest of the keys (time and id) of a part's events, whatever their order."""
    return hashlib.blake2b(msgspec.json.encode(sorted(part.events)), digest_size=MARK_BYTES).digest()
