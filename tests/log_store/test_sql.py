"""Behaviour of the SQL store alone: its indexes, and concurrent transactions."""

import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import connection

from log_store.models import LogEventRow, LogSumRow
from log_store.paging import Bounds
from log_store.sql import page_of
from log_store.store import LogStore, event_at, position
from tests.log_store.log_events import HOUR, START, counted, events, everything, read_all


@pytest.mark.django_db
def test_an_event_that_is_kept_in_another_hour_stays_there(sql: LogStore, source: str) -> None:
    """The line was read again with another time zone, so its event has the same id and another time."""
    written = events(source, 3)
    sql.write(written)

    told = sql.write([msgspec.structs.replace(event, time=event.time + HOUR) for event in events(source, 4)])

    assert [(one.hour, one.levels) for one in told] == [(START + HOUR, {"info": 1})]
    assert sql.counts(source, START, START + 2 * HOUR) == {(START, "info"): 3, (START + HOUR, "info"): 1}


@pytest.mark.django_db
@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize(("filters", "index"), [({}, "event_in_order"), ({"level": "error"}, "event_of_level")])
def test_a_page_is_read_in_the_order_of_an_index(sql: LogStore, source: str, filters: dict[str, str], index: str, oldest_first: bool) -> None:
    sql.write(events(source, 3000, level="error"))
    bounds = Bounds.of(everything(source), f"{1_772_366_400_000 + 5000}-x", oldest_first=oldest_first)

    plan = page_of(LogEventRow.objects.filter(source=source, **filters), bounds, oldest_first=oldest_first)[:100].explain()

    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "filesort" not in plan


@pytest.mark.django_db
def test_an_event_is_found_at_once_among_thousands_of_its_millisecond(sql: LogStore, source: str, django_assert_num_queries: Any) -> None:
    """Lines without a time get the same time, so many events can share one millisecond."""
    written = events(source, 3000, step=timedelta(0))
    sql.write(written)

    with django_assert_num_queries(1):
        assert event_at(sql, source, position(written[0])) == written[0]


@pytest.mark.django_db(transaction=True)
def test_writers_of_the_same_events_wait_for_each_other(sql: LogStore, source: str) -> None:
    written = events(source, 2000, step=timedelta(seconds=5), line_bytes=2000)
    failed: list[Exception] = []

    def write(order: int) -> None:
        try:
            for start in range(0, 1900, 300):
                sql.write(written[start : start + 500][::order])
        except Exception as exc:  # noqa: BLE001 (reported by the test itself)
            failed.append(exc)
        finally:
            connection.close()

    writers = [threading.Thread(target=write, args=(order,)) for order in (1, -1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert failed == []
    assert read_all(sql, everything(source)) == written[::-1]
    assert sql.counts(source, START, START + 4 * HOUR) == counted(written)
    assert sum(sum(levels.values()) for levels in LogSumRow.objects.values_list("levels", flat=True)) == 2000


@pytest.mark.django_db
def test_a_search_for_a_rare_text_needs_few_queries(sql: LogStore, source: str, django_assert_num_queries: Any) -> None:
    sql.write(events(source, 7000))
    with django_assert_num_queries(3):  # of 1000, 5000 and 1000 rows
        assert not sql.read(msgspec.structs.replace(everything(source), contains="nowhere")).events
