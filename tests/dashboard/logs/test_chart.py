from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboard.logs.chart import Chart, chart
from dashboard.logs.counting import Counts

MADRID = ZoneInfo("Europe/Madrid")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def no_link(start: datetime, end: datetime) -> str:
    return f"{start.isoformat()} {end.isoformat()}"


def drawn(
    counts: Mapping[tuple[datetime, str], int],
    start: datetime,
    end: datetime,
    *,
    by_minute: bool = False,
    has_whole_hours: bool = False,
    zone: ZoneInfo | None = None,
) -> Chart:
    found = Counts(counts, by_minute=by_minute, has_whole_hours=has_whole_hours)
    return chart(found, start, end, link=no_link, zone=zone or ZoneInfo("UTC"))


def test_a_bar_is_an_hour_and_its_height_is_in_percent_of_the_axis() -> None:
    start = NOON.replace(hour=10, minute=30)
    hour = start.replace(minute=0)
    found = drawn({(hour, "info"): 6, (hour, "error"): 2, (hour + timedelta(hours=1), "warning"): 4}, start, start + timedelta(hours=3))
    assert [bar.height for bar in found.bars] == [100, 50, 0, 0]
    assert (found.bars[0].error_height, found.bars[0].error_y) == (25, 75)
    assert (found.bars[1].warning_y, found.bars[1].warning_height) == (50, 50)
    assert (found.events, found.most, found.top, found.middle, found.step) == (12, 8, 8, 4, "1 hour")
    assert found.bars[0].title == "1 Mar 2026, 10:00 UTC: 8 events, 0 warnings, 2 errors"
    assert found.bars[-1].x + found.bars[-1].width == 100


def test_a_bar_links_to_its_part_of_the_period_and_an_empty_bar_to_nothing() -> None:
    start, end = NOON.replace(minute=30), NOON + timedelta(hours=3)
    counts = {(NOON, "info"): 1}
    assert drawn(counts, start, end).bars[0].link == "2026-03-01T12:30:00+00:00 2026-03-01T13:00:00+00:00"
    assert drawn(counts, start, end, has_whole_hours=True).bars[0].link == "2026-03-01T12:00:00+00:00 2026-03-01T13:00:00+00:00"
    assert drawn(counts, start, end).bars[1].link == ""


@pytest.mark.parametrize(
    ("length", "by_minute", "bars", "step"),
    [
        (timedelta(minutes=15), True, 15, "1 minute"),
        (timedelta(hours=1), True, 12, "5 minutes"),
        (timedelta(hours=1), False, 1, "1 hour"),
        (timedelta(days=1), True, 24, "1 hour"),
        (timedelta(days=7), False, 56, "3 hours"),
        (timedelta(days=30), False, 31, "1 day"),
    ],
)
def test_the_length_of_a_bar_fits_the_period(length: timedelta, by_minute: bool, bars: int, step: str) -> None:
    found = drawn({}, NOON, NOON + length, by_minute=by_minute)
    assert (len(found.bars), found.step) == (bars, step)
    assert 1 <= len(found.ticks) <= 7


def test_the_axis_has_round_local_times_and_the_date_at_midnight() -> None:
    found = drawn({}, NOON, NOON + timedelta(days=1), zone=MADRID)
    assert [tick.label for tick in found.ticks] == ["18:00", "2 Mar", "06:00", "12:00"]
    assert found.ticks[0].x == pytest.approx(100 * 5 / 24)
    assert [tick.label for tick in drawn({}, NOON, NOON + timedelta(hours=12), zone=ZoneInfo("Asia/Kolkata")).ticks] == [
        "18:30",
        "21:30",
        "2 Mar",
        "03:30",
    ]


@pytest.mark.parametrize(("most", "top"), [(0, 2), (1, 2), (3, 4), (9, 10), (11, 20), (61, 80), (1001, 2000)])
def test_the_axis_ends_at_a_round_even_number(most: int, top: int) -> None:
    assert drawn({(NOON, "info"): most}, NOON, NOON + timedelta(hours=4)).top == top


def test_a_long_period_is_shown_by_local_days_also_where_one_has_23_hours() -> None:
    start, end = datetime(2026, 3, 20, tzinfo=MADRID), datetime(2026, 4, 2, tzinfo=MADRID)
    change = datetime(2026, 3, 29, tzinfo=MADRID).astimezone(UTC)
    found = drawn(
        {(change, "info"): 1, (change + timedelta(hours=22), "info"): 1, (change + timedelta(hours=23), "info"): 4}, start, end, zone=MADRID
    )
    assert found.step == "1 day"
    assert len(found.bars) == 13
    assert [bar.height for bar in found.bars[8:12]] == [0, 50, 100, 0]


def test_a_period_without_events_has_bars_of_no_height() -> None:
    found = drawn({}, NOON, NOON + timedelta(hours=2))
    assert [bar.height for bar in found.bars] == [0, 0]
    assert found.most == 0
