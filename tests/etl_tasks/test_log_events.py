"""The log_events command: its output, and its errors for invalid input."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import msgspec
import pytest
from django.core.management import CommandError, call_command

from dora_metrics.models import Service
from etl_tasks.models import Source
from log_store.cassandra.connection import connection as cassandra
from log_store.event import LogEvent, event_id, file_key
from log_store.opening import open_log_store
from log_store.store import position

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = ("--source", "calls", "--from", "2026-03-01", "--to", "2026-03-02")


@pytest.fixture(autouse=True)
def _sql_store(settings: Any) -> None:
    settings.CASSANDRA_CONTACT_POINTS = []


@pytest.fixture(autouse=True)
def events(db: None) -> list[LogEvent]:
    service = Service.objects.create(name="billing")
    Source.objects.create(name="calls", service=service, kind=Source.Kind.LOGS, path="/var/log/calls/*.log", log_format="json")
    key = file_key(1, "1:2:0")
    made = [
        LogEvent(
            event_id=event_id(key, number * 100),
            source="calls",
            time=NOW + timedelta(seconds=number),
            level="error" if number % 10 == 0 else "info",
            host="pbx-1",
            logger="router",
            message=f"call {number}",
        )
        for number in range(1205)
    ]
    open_log_store().write(made)
    return made


def printed(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("log_events", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_it_prints_the_newest_hundred() -> None:
    lines = printed(*DAY)
    assert len(lines) == 100
    assert lines[0] == "2026-03-01 12:20:04.000 UTC info     pbx-1 router: call 1204"


def test_without_a_limit_it_prints_all_page_by_page() -> None:
    lines = printed(*DAY, "--limit", "0")
    assert [line.rpartition(" ")[2] for line in lines] == [str(number) for number in reversed(range(1205))]


def test_a_limit_above_one_page_is_kept() -> None:
    assert len(printed(*DAY, "--limit", "1001")) == 1001


def test_level_and_text_narrow_it() -> None:
    assert len(printed(*DAY, "--level", "error", "--limit", "0")) == 121
    assert [line[-9:] for line in printed(*DAY, "--contains", "CALL 1200")] == ["call 1200"]


def test_nothing_in_a_line_can_move_a_terminal_s_cursor(events: list[LogEvent]) -> None:
    message = "call \x1b[2J\x9b2J ended\n\tat once\rnever"
    open_log_store().write([msgspec.structs.replace(events[0], event_id=event_id(file_key(1, "1:2:0"), 500_000), message=message, host="pbx\x1b[1A")])
    shown = printed(*DAY, "--contains", "at once")
    assert shown == [r"2026-03-01 12:00:00.000 UTC error    pbx\x1b[1A router: call \x1b[2J\x9b2J ended", "\tat once\\rnever"]


def test_as_json_a_line_has_all_an_event_says_and_where_it_stands(events: list[LogEvent]) -> None:
    [line] = printed(*DAY, "--limit", "1", "--format", "jsonl")
    found = json.loads(line)
    assert found["position"] == position(events[-1])
    assert found["message"] == "call 1204"
    assert found["extra"] == {}


def test_around_shows_an_event_among_its_neighbours(events: list[LogEvent]) -> None:
    lines = printed("--source", "calls", "--around", position(events[600]))
    assert [line.rpartition(" ")[2] for line in lines] == [str(number) for number in range(580, 621)]


def test_counts_are_by_hour_and_level() -> None:
    assert [line.split() for line in printed(*DAY, "--counts")] == [
        ["2026-03-01", "12:00", "UTC", "error", "121"],
        ["2026-03-01", "12:00", "UTC", "info", "1084"],
    ]
    assert [json.loads(line)["events"] for line in printed(*DAY, "--counts", "--level", "error", "--format", "jsonl")] == [121]


def test_counts_are_of_whole_hours_also_of_the_one_that_the_period_begins_in() -> None:
    lines = printed("--source", "calls", "--from", "2026-03-01T12:15", "--to", "2026-03-01T12:20", "--counts", "--level", "error")
    assert [line.split() for line in lines] == [["2026-03-01", "12:00", "UTC", "error", "121"]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--source", "nobody"), "there is no log source 'nobody'; known: calls"),
        ((*DAY, "--level", "loud"), "there is no level 'loud'"),
        (("--source", "calls", "--from", "soon"), "is not a valid time"),
        ((*DAY, "--limit", "-1"), "--limit is negative"),
        ((*DAY, "--counts", "--contains", "call"), "--counts are kept by level alone: leave --contains out"),
        (("--source", "calls", "--around", "nowhere"), "is not a position in a log: take it from"),
        (("--source", "calls", "--around", "1772366400000-" + "0" * 28), "has no event at"),
    ],
)
def test_wrong_input_is_refused_with_status_2(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        printed(*arguments)
    assert refused.value.returncode == 2


def test_a_store_that_does_not_answer_is_status_1(settings: Any) -> None:
    cassandra.drop()  # close the session of an earlier test
    settings.CASSANDRA_CONTACT_POINTS, settings.CASSANDRA_PORT = ["127.0.0.1"], 9
    with pytest.raises(CommandError, match="Cassandra cannot be reached") as refused:
        printed(*DAY)
    assert refused.value.returncode == 1
