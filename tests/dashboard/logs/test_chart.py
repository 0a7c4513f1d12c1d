from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dashboard.logs.chart import HEIGHT, WIDTH, chart

MADRID = ZoneInfo("Europe/Madrid")


def no_link(start: datetime, end: datetime) -> str:
    return f"{start.isoformat()} {end.isoformat()}"


def test_a_bar_is_an_hour_and_the_highest_fills_the_chart() -> None:
    start = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
    hour = start.replace(minute=0)
    found = chart(
        {(hour, "info"): 6, (hour, "error"): 2, (hour + timedelta(hours=1), "warning"): 4}, start, start + timedelta(hours=3), link=no_link, zone=UTC
    )
    assert [bar.height for bar in found.bars] == [HEIGHT, HEIGHT / 2, 0, 0]
    assert found.bars[0].error_height == HEIGHT / 4
    assert found.bars[0].error_y == HEIGHT * 3 / 4
    assert (found.bars[1].warning_y, found.bars[1].warning_height) == (HEIGHT / 2, HEIGHT / 2)
    assert (found.events, found.most, found.step) == (12, 8, "hour")
    assert found.bars[0].title == "2026-03-01 10:00: 8 events, 0 warnings, 2 errors"
    assert found.bars[0].link == "2026-03-01T10:00:00+00:00 2026-03-01T11:00:00+00:00"
    assert found.bars[-1].x + found.bars[-1].width <= WIDTH


def test_a_long_period_is_shown_by_local_days_also_where_one_has_23_hours() -> None:
    start, end = datetime(2026, 3, 20, tzinfo=MADRID), datetime(2026, 4, 2, tzinfo=MADRID)
    change = datetime(2026, 3, 29, tzinfo=MADRID).astimezone(UTC)
    found = chart(
        {(change, "info"): 1, (change + timedelta(hours=22), "info"): 1, (change + timedelta(hours=23), "info"): 5},
        start,
        end,
        link=no_link,
        zone=MADRID,
    )
    assert found.step == "day"
    assert len(found.bars) == 13
    assert [bar.height for bar in found.bars[8:12]] == [0, HEIGHT * 2 / 5, HEIGHT, 0]


def test_a_period_without_events_has_bars_of_no_height() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    found = chart({}, start, start + timedelta(hours=2), link=no_link, zone=UTC)
    assert [bar.height for bar in found.bars] == [0, 0]
    assert found.most == 0
