"""From version 1 of the schema, which old workers may still write to, to the tables of today.

An hour is copied and then deleted as it was before the copy began: what an old worker writes meanwhile or later stays, and
the next run moves it. A run that is killed leaves an hour to be copied again, to the same rows.
"""

import logging
import time
from datetime import UTC, datetime
from typing import Any

from cassandra.cluster import Session
from django.conf import settings

from etl_tasks.loaders.cassandra import reading, schema, writing
from etl_tasks.loaders.cassandra.connection import READING, connection
from etl_tasks.loaders.log_parts import HOUR_MS, parts_of
from etl_tasks.sources.logs.event import milliseconds

logger = logging.getLogger(__name__)

# What is younger is copied and not yet deleted: it may have come in while the hour was read, with a time from before that.
MARGIN_US = 60_000_000
# Of all that was copied into a partition, for its sums are counted there and not added up.
MARK = b"version1"


def move(session: Session) -> None:
    if "log_events" not in schema.tables(session):
        return
    moved = 0
    # The hours stay known until they expire: an old worker names one before it writes to it.
    for row in session.execute(f"SELECT source, bucket FROM {schema.keyspace()}.log_buckets"):  # noqa: S608 (our own words)
        moved += _move_hour(session, row.source, row.bucket.replace(tzinfo=UTC))
    if moved:
        logger.info("log_store_events_moved", extra={"events": moved, "from_version": 1})


def _move_hour(session: Session, source: str, hour: datetime) -> int:
    before_us = time.time_ns() // 1000 - MARGIN_US
    names = ", ".join(name for name in reading.COLUMNS if name != "service")
    query = connection.prepare(f"SELECT ttl(level), {names} FROM {schema.keyspace()}.log_events WHERE source = ? AND bucket = ?")  # noqa: S608
    question = query.bind((source, hour))
    question.fetch_size = reading.PAGE_ROWS
    answer = session.execute(question, execution_profile=READING)
    moved, segments = 0, set[str]()
    while rows := list(answer.current_rows):
        segments |= _copy(session, source, hour, rows)
        moved += len(rows)
        if not answer.has_more_pages:
            break
        answer.fetch_next_page()
    if moved:
        counted_us = time.time_ns() // 1000
        writing.settle(session, [(reading.tally_of(session, source, hour, segment), MARK, counted_us) for segment in segments])
        session.execute(
            f"DELETE FROM {schema.keyspace()}.log_events USING TIMESTAMP {before_us} WHERE source = %s AND bucket = %s",  # noqa: S608
            (source, hour),
        )
    return moved


def _copy(session: Session, source: str, hour: datetime, rows: list[tuple[Any, ...]]) -> set[str]:
    """To live no longer than they had to, by the day. Answers the segments."""
    parts = parts_of(reading.event(source, (*row[1:4], None, *row[4:])) for row in rows)
    whole_hour = milliseconds(hour), milliseconds(hour) + HOUR_MS - 1
    writing.announce(session, [(source, hour, part.segment, MARK, whole_hour) for part in parts])
    longest_s = max(row[0] or settings.CASSANDRA_TTL_DAYS * schema.DAY_S for row in rows)
    # In whole days, for each time to live is a statement of its own.
    writing.insert(session, parts, -(-longest_s // schema.DAY_S) * schema.DAY_S)
    return {part.segment for part in parts}
