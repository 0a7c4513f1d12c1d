"""Counting the events of a search for its chart. The stores' own counts are tested in tests/log_store."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboard.logs import counting
from dashboard.logs.counting import counts_of_search
from log_store.event import LogEvent, event_id, file_key
from log_store.opening import open_log_store
from log_store.store import LogQuery, LogStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)


@pytest.fixture
def store(settings: Any, db: None) -> LogStore:
    settings.CASSANDRA_CONTACT_POINTS = []
    found = open_log_store()
    found.write(
        [
            LogEvent(
                event_id=event_id(file_key(1, "1:2:0"), minute),
                source="calls",
                time=NOON + timedelta(minutes=minute),
                level="error" if minute % 4 == 0 else "info",
            )
            for minute in range(360)
        ]
    )
    return found


def query(start: timedelta, end: timedelta, **fields: Any) -> LogQuery:
    return LogQuery("calls", NOON + start, NOON + end, **fields)


@pytest.mark.parametrize(("start", "end"), [(0, 360), (7, 19), (7, 187), (7, 359), (60, 301), (-90, 500)])
def test_exactly_the_events_of_the_period_and_level_are_counted(store: LogStore, start: int, end: int) -> None:
    for levels in (frozenset[str](), frozenset({"error"})):
        asked = query(timedelta(minutes=start), timedelta(minutes=end), levels=levels)
        found = counts_of_search(store, asked, now=LATER)
        assert found.is_exact
        assert sum(found.by_time.values()) == len(store.read(asked, limit=1000).events)


def test_a_short_period_is_counted_by_minute(store: LogStore) -> None:
    assert counts_of_search(store, query(timedelta(), timedelta(hours=3)), now=LATER).by_minute
    assert not counts_of_search(store, query(timedelta(), timedelta(hours=4)), now=LATER).by_minute


def test_hours_with_very_many_events_are_counted_as_a_whole(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 50)
    found = counts_of_search(store, query(timedelta(minutes=30), timedelta(minutes=90)), now=LATER)
    assert (found.has_whole_hours, found.is_exact, sum(found.by_time.values())) == (True, False, 120)


def test_the_current_hour_is_whole_and_text_is_not_counted(store: LogStore) -> None:
    moment = NOON + timedelta(hours=5, minutes=59)
    found = counts_of_search(store, query(timedelta(), timedelta(hours=6, minutes=0), contains="x"), now=moment)
    assert (found.has_whole_hours, found.ignores_text, sum(found.by_time.values())) == (False, True, 360)
