"""From the tables of versions 1 and 2 of the schema, which old workers may still write to, to those of today.

A partition is copied and then deleted as it was before the copy began: what an old worker writes meanwhile or later stays, and
the next run moves it. A run that is killed leaves a partition to be copied again, to the same rows.
"""

import logging
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cassandra import ReadFailure
from cassandra.cluster import Session
from django.conf import settings

from log_store.cassandra import reading, schema, writing
from log_store.cassandra.connection import READING, connection
from log_store.counts import HOUR_MS, day_of
from log_store.event import LogEvent, milliseconds
from log_store.write_parts import parts_of

logger = logging.getLogger(__name__)

# What is younger is copied and not yet deleted: it may have come in while the hour was read, with a time from before that.
MARGIN_US = 60_000_000
# In the native protocol's list of a replica's reasons: it reads past so many rows that are gone, and no more.
TOO_MANY_TOMBSTONES = 0x0001


class Former(NamedTuple):
    """A table of an older version. Its partitions are asked for by `partitions`, which answers source, hour and the rest of `key`."""

    table: str
    key: tuple[str, ...]
    partitions: str
    fields: tuple[str, ...]
    # Of all that was copied into a partition, for its sums are counted there and not added up.
    mark: bytes


FORMER = (
    # The hours stay known until they expire: a worker names one before it writes to it.
    Former(
        table="log_events",
        key=("source", "bucket"),
        partitions="SELECT source, bucket FROM {keyspace}.log_buckets",
        fields=tuple(name for name in reading.FIELDS if name != "service"),
        mark=b"version1",
    ),
    # From its index, for a search for keys among expired rows ends in an error.
    Former(
        table="events",
        key=("source", "hour", "segment"),
        partitions="SELECT source, hour, segment FROM {keyspace}.partitions",
        fields=reading.FIELDS,
        mark=b"version2",
    ),
)


def move(session: Session) -> None:
    existing = schema.tables(session)
    for former in FORMER:
        if former.table not in existing:
            continue
        moved = 0
        for source, hour, *rest in session.execute(former.partitions.format(keyspace=schema.keyspace()), execution_profile=READING):
            try:
                moved += _move_partition(session, former, (source, hour.replace(tzinfo=UTC), *rest))
            except ReadFailure as exc:
                if TOO_MANY_TOMBSTONES not in (exc.error_code_map or {}).values():
                    raise
                # Its events have expired and are not yet merged away. What may still live among them stays, for the next run.
                logger.warning("log_store_events_not_moved", extra={"from": former.table, "source": source, "hour": hour.isoformat()})
        if moved:
            logger.info("log_store_events_moved", extra={"events": moved, "from": former.table})


def _move_partition(session: Session, former: Former, key: tuple[Any, ...]) -> int:
    source, hour = key[:2]
    before_us = time.time_ns() // 1000 - MARGIN_US
    where = " AND ".join(f"{name} = ?" for name in former.key)
    columns = ", ".join(("time", "event_id", *former.fields))
    query = connection.prepare(f"SELECT ttl(level), {columns} FROM {schema.keyspace()}.{former.table} WHERE {where}")  # noqa: S608 (our own words)
    question = query.bind(key)
    question.fetch_size = reading.PAGE_ROWS
    answer = session.execute(question, execution_profile=READING)
    moved, segments = 0, set[str]()
    while rows := list(answer.current_rows):
        segments |= _copy(session, former, source, hour, rows)
        moved += len(rows)
        if not answer.has_more_pages:
            break
        answer.fetch_next_page()
    if moved:
        # Later than the sums there, even if an old worker's clock goes before ours.
        settled_us = {row.segment: row.settled_us for row in reading.index_rows(session, source, day_of(hour), hour, hour)}
        times_us = {segment: max(time.time_ns() // 1000, settled_us.get(segment, 0) + 1) for segment in segments}
        writing.settle(session, [(reading.tally_of(session, source, hour, segment), former.mark, at_us) for segment, at_us in times_us.items()])
        delete = connection.prepare(f"DELETE FROM {schema.keyspace()}.{former.table} USING TIMESTAMP ? WHERE {where}")  # noqa: S608 (our own words)
        session.execute(delete.bind((before_us, *key)))
    return moved


def _copy(session: Session, former: Former, source: str, hour: datetime, rows: list[tuple[Any, ...]]) -> set[str]:
    """To live no longer than they had to, by the day. Answers the segments."""
    parts = parts_of(_event(former, source, row[1:]) for row in rows)
    # One mark has one span, and the next page of the partition may lie elsewhere.
    whole_hour = milliseconds(hour), milliseconds(hour) + HOUR_MS - 1
    writing.announce(session, [(source, hour, part.segment, former.mark, whole_hour) for part in parts])
    longest_s = max(row[0] or settings.CASSANDRA_TTL_DAYS * schema.DAY_S for row in rows)
    # In whole days, for each time to live is a statement of its own.
    writing.insert(session, parts, -(-longest_s // schema.DAY_S) * schema.DAY_S)
    return {part.segment for part in parts}


def _event(former: Former, source: str, row: tuple[Any, ...]) -> LogEvent:
    fields = dict(zip(former.fields, row[2:], strict=True))
    return reading.event(source, (*row[:2], *(fields.get(name) for name in reading.FIELDS)))
