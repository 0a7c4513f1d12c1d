"""The SQL store keeps the same promises as the Cassandra store."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from etl_tasks.loaders.log_store import open_log_store
from etl_tasks.loaders.sql import SqlLogStore
from etl_tasks.sources.logs.event import LogEvent

pytestmark = pytest.mark.django_db
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = ("shop", START, START + timedelta(days=1))


@pytest.fixture
def store(settings) -> SqlLogStore:
    settings.CASSANDRA_CONTACT_POINTS = []
    store = open_log_store()
    assert isinstance(store, SqlLogStore)
    store.ensure_schema()
    return store


def events(count: int) -> list[LogEvent]:
    return [
        LogEvent(event_id=f"{number:05}", source="shop", time=START + timedelta(seconds=number), level="info", extra={"n": str(number)})
        for number in range(count)
    ]


def test_an_event_is_read_as_it_was_written_to_the_millisecond(store):
    event = msgspec.structs.replace(events(1)[0], time=START + timedelta(microseconds=123_456), status=500, duration_ms=1.5, level="error")

    store.write([event])

    assert store.read(*DAY) == [msgspec.structs.replace(event, time=START + timedelta(milliseconds=123))]


def test_writing_twice_keeps_once_and_the_newest_is_first(store):
    written = events(1200)
    store.write(written)
    store.write(written)
    store.write([])

    assert store.count(*DAY) == 1200
    assert store.read(*DAY, limit=3) == written[:-4:-1]
    assert store.read(*DAY, limit=0) == []


def test_a_period_a_source_and_a_level_choose_the_events(store):
    written = events(10)
    written[5] = msgspec.structs.replace(written[5], level="error")
    store.write([*written, msgspec.structs.replace(written[0], event_id="other", source="other")])

    assert store.count("shop", START + timedelta(seconds=2), START + timedelta(seconds=5)) == 3
    assert store.read(*DAY, level="error") == [written[5]]
    store.ping()
