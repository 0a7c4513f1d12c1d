"""Writing events so that the sums of a partition are what the partition holds, whatever was written or killed before.

1. Each write announces itself in the rows of `parts` it is about to fill: its mark, and the times it spans there.
2. It writes the events.
3. It reads the marks there. Only its own: nobody else has written there before its events were in, so what it wrote is all
   there is. Others': it reads the partition and counts.
4. It writes the sums with a time taken before step 3 and after that of the sums there, and adds its mark to those counted: of two
   that count at once, the one that read later stays. Marks that were announced and never counted make readers count for themselves.
A mark is made of the keys that are written, so the same write again, after a kill, is the same write.
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
    parts = parts_of(events)
    marks = [_mark(part) for part in parts]
    announce(session, [(part.source, part.hour, part.segment, mark, part.span) for part, mark in zip(parts, marks, strict=True)])
    insert(session, parts, settings.CASSANDRA_TTL_DAYS * DAY_S)
    began_us = session.cluster.timestamp_generator()  # the clock of the events just written, which never goes back
    rows = {(row.source, row.hour, row.segment): row for row in _index_rows(session, parts)}
    sums = []
    for part, mark in zip(parts, marks, strict=True):
        row = rows.get((part.source, part.hour, part.segment))
        is_alone = row is not None and row.marks == {mark}
        told = part.tally() if is_alone else reading.tally_of(session, part.source, part.hour, part.segment)
        # Later than the sums that were read, even if another worker's clock goes before ours.
        sums.append((told, mark, max(began_us, row.settled_us + 1 if row else 0)))
    settle(session, sums)
    return [told for told, _, _ in sums]


def announce(session: Session, writes: Iterable[tuple[str, datetime, str, bytes, tuple[int, int]]]) -> None:
    """`writes`: source, hour, segment, mark and span of each."""
    # A day more than the events, so that a partition is known as long as one of its events lives.
    ttl_s = settings.CASSANDRA_TTL_DAYS * DAY_S + DAY_S
    add_day = connection.prepare(f"INSERT INTO {keyspace()}.days (source, day) VALUES (?, ?) USING TTL {ttl_s}")  # noqa: S608 (our own words)
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


def settle(session: Session, sums: Iterable[tuple[Tally, bytes, int]]) -> None:
    """Keep what each partition holds, and that the write of this mark is part of it; with the time, in microseconds, before it was read."""
    ttl_s = settings.CASSANDRA_TTL_DAYS * DAY_S + DAY_S
    update = connection.prepare(
        f"UPDATE {keyspace()}.parts USING TTL {ttl_s} AND TIMESTAMP ? SET levels = ?, counted = counted + ? "  # noqa: S608 (our own words)
        "WHERE source = ? AND day = ? AND hour = ? AND segment = ?"
    )
    by_day = defaultdict(list)
    for one, mark, at_us in sums:
        day = day_of(one.hour)
        by_day[one.source, day].append(update.bind((at_us, one.levels, {mark}, one.source, day, one.hour, one.segment)))
    finish(in_flight(session, (batch for updates in by_day.values() for batch in _batches(updates))))


def forget_day(session: Session, source: str, day: datetime) -> int:
    """Delete a day's events, then what names them, the day last: a deletion that is killed finds the rest again. Returns how many parts.

    With a time behind that of the sums, which their writer took after its events: so they go even if its clock goes before ours.
    """
    parts = reading.index_rows(session, source, day, day, day + DAY)
    at_us = max([session.cluster.timestamp_generator(), *(part.settled_us + 1 for part in parts)])
    of_events = connection.prepare(f"DELETE FROM {keyspace()}.log USING TIMESTAMP ? WHERE source = ? AND hour = ? AND segment = ?")  # noqa: S608
    finish(in_flight(session, (of_events.bind((at_us, source, part.hour, part.segment)) for part in parts)))
    for table in ("parts", "days"):
        of_day = connection.prepare(f"DELETE FROM {keyspace()}.{table} USING TIMESTAMP ? WHERE source = ? AND day = ?")  # noqa: S608
        session.execute(of_day.bind((at_us, source, day)))
    return len(parts)


def insert(session: Session, parts: Iterable[Part], ttl_s: int) -> None:
    """The events alone."""
    finish(in_flight(session, event_batches(parts, ttl_s)))


def _index_rows(session: Session, parts: Iterable[Part]) -> Iterator[reading.IndexRow]:
    query = connection.prepare(f"{reading.INDEX.format(keyspace=keyspace())} AND (hour, segment) IN ?")
    keys = defaultdict(list)
    for part in parts:
        keys[part.source, day_of(part.hour)].append((part.hour, part.segment))
    questions = [
        (source, query.bind((source, day, of_day[start : start + KEYS_AT_ONCE])))
        for (source, day), of_day in keys.items()
        for start in range(0, len(of_day), KEYS_AT_ONCE)
    ]
    answers = in_flight(session, (question for _, question in questions), profile=READING)
    for (source, _), rows in zip(questions, answers, strict=True):
        yield from (reading.index_row(source, row) for row in rows)


def event_batches(parts: Iterable[Part], ttl_s: int) -> Iterator[BatchStatement]:
    # With its own time to live, for the table keeps the one of the day it was created.
    statement = connection.prepare(
        f"INSERT INTO {keyspace()}.log (source, hour, segment, time, event_id, event) VALUES (?, ?, ?, ?, ?, ?) USING TTL {ttl_s}"  # noqa: S608 (our own words)
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
    """Equal for equal keys, times included, in whatever order."""
    return hashlib.blake2b(msgspec.json.encode(sorted(part.events)), digest_size=MARK_BYTES).digest()
