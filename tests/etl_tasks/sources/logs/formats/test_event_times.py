"""Ambiguous times in lines: without a time zone or year, repeated or skipped by a clock change, or in the future."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl_tasks.sources.logs.formats import time_zones
from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import NOON, event, events, previous_is

MADRID, NEW_YORK, MEXICO = "Europe/Madrid", "America/New_York", "America/Mexico_City"


def lines(times: Iterable[str]) -> str:
    return "".join(f"{written} INFO shop: m\n" for written in times)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def moments(found: list[LogEvent]) -> list[datetime]:
    return [one.time for one in found]


def marks(found: list[LogEvent]) -> list[str]:
    return [one.extra.get("time_is", "") for one in found]


@pytest.mark.parametrize(
    ("zone", "written", "moment"),
    [
        ("UTC", "2026-03-01 12:00:00", "2026-03-01 12:00"),
        (MADRID, "2026-03-01 12:00:00", "2026-03-01 11:00"),
        (MADRID, "2026-07-01 12:00:00", "2026-07-01 10:00"),
        (MEXICO, "2026-03-01 12:00:00", "2026-03-01 18:00"),
        (MEXICO, "2022-07-01 12:00:00", "2022-07-01 17:00"),
        ("Asia/Kathmandu", "2026-03-01 12:00:00", "2026-03-01 06:15"),
        (MADRID, "2026-03-01 12:00:00Z", "2026-03-01 12:00"),
        (MADRID, "2026-03-01 12:00:00 UTC", "2026-03-01 12:00"),
        (MADRID, "2026-03-01 12:00:00+05:30", "2026-03-01 06:30"),
        (MADRID, "2026-03-01 12:00:00 -0600", "2026-03-01 18:00"),
    ],
)
def test_an_offset_in_the_line_wins_over_the_zone_that_is_set(zone: str, written: str, moment: str) -> None:
    found = event("python", lines([written]), time_zone=zone, where={"written_at": at("2026-12-31")})

    assert (found.time, found.extra) == (at(moment), {})


@pytest.mark.parametrize(
    ("zone", "day", "first_hour_twice"),
    # Two hours have the same local times. The last value is half past the first of them, in UTC.
    [(MADRID, "2026-10-25", "2026-10-25 00:30"), (NEW_YORK, "2026-11-01", "2026-11-01 05:30"), (MEXICO, "2022-10-30", "2022-10-30 06:30")],
)
def test_the_hour_that_comes_twice_in_autumn_is_told_by_the_order_of_the_lines(zone: str, day: str, first_hour_twice: str) -> None:
    first = at(first_hour_twice)
    local = first.astimezone(time_zones.zone_named(zone)).strftime("%H")
    body = lines(f"{day} {local}:{minute}:00" for minute in ("05", "30", "59", "02", "30", "58"))
    found = events("python", body, time_zone=zone, where={"written_at": at("2026-12-31"), **previous_is(first - timedelta(hours=1))})

    half_past = [first, first + timedelta(hours=1)]
    assert [moment for moment in moments(found) if moment.minute == 30] == half_past
    assert moments(found) == sorted(moments(found))
    assert set(marks(found)) == {""}


def test_an_hour_that_comes_twice_is_ambiguous_where_nothing_came_before() -> None:
    found = events("python", lines(["2026-10-25 02:30:00", "2026-10-25 02:40:00"]), time_zone=MADRID, where={"written_at": at("2026-12-31")})

    assert moments(found) == [at("2026-10-25 00:30"), at("2026-10-25 00:40")]
    assert marks(found) == ["ambiguous", ""]


def test_the_event_before_the_body_is_asked_for_only_where_it_decides() -> None:
    asked: list[int] = []

    def previous() -> datetime:
        asked.append(1)
        return at("2026-10-25 00:50")

    where = {"written_at": at("2026-12-31"), "previous": previous}
    events("python", lines(["2026-10-25 01:59:59", "2026-10-25 02:30:00"]), time_zone=MADRID, where=where)
    assert asked == []
    (found,) = events("python", lines(["2026-10-25 02:30:00"]), time_zone=MADRID, where=where)
    assert (found.time, found.extra, asked) == (at("2026-10-25 01:30"), {}, [1])


@pytest.mark.parametrize(
    ("zone", "written", "moment"),
    [
        (MADRID, "2026-03-29 02:30:00", "2026-03-29 01:30"),
        (NEW_YORK, "2026-03-08 02:30:00", "2026-03-08 07:30"),
        (MEXICO, "2022-04-03 02:30:00", "2022-04-03 08:30"),
    ],
)
def test_the_hour_that_never_was_in_spring_is_flagged(zone: str, written: str, moment: str) -> None:
    found = event("python", lines([written]), time_zone=zone, where={"written_at": at("2026-12-31")})

    assert (found.time, found.extra) == (at(moment), {"time_is": "impossible"})


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [(MADRID, "2026-03-29 01:59:59", "2026-03-29 03:00:00"), (NEW_YORK, "2026-03-08 01:59:59", "2026-03-08 03:00:00")],
)
def test_a_second_goes_by_over_the_change_of_spring(zone: str, before: str, after: str) -> None:
    found = events("python", lines([before, after]), time_zone=zone, where={"written_at": at("2026-12-31")})

    assert found[1].time - found[0].time == timedelta(seconds=1)
    assert marks(found) == ["", ""]


def test_a_local_zone_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(time_zones, "LOCAL_ZONE", str(tmp_path / "none"))  # normally /etc/localtime; UTC if there is no such file
    assert time_zones.zone_named("local") is UTC
    assert time_zones.zone_named("UTC") is UTC


def test_a_time_more_than_a_day_after_the_file_was_written_is_of_the_future() -> None:
    body = lines(["2026-03-01 12:00:00", "2026-03-02 11:59:59", "2026-03-02 12:00:01", "2026-03-01 12:00:00"])
    found = events("python", body, where={"written_at": NOON})

    assert marks(found) == ["", "", "future", ""]
    assert found[2].time == at("2026-03-02 12:00:01")


@pytest.mark.parametrize("written", ["2026-02-30 12:00:00", "2026-03-01 25:61:00", "2026-13-01 00:00:00", "0000-00-00 00:00:00"])
def test_a_time_that_cannot_be_is_that_of_the_event_before_and_flagged(written: str) -> None:
    found = events("python", lines(["2026-03-01 12:00:00", written]))

    assert moments(found) == [NOON, NOON]
    assert marks(found) == ["", "impossible"]


# --- syslog, whose times have no year ---------------------------------------------------------------------------------


def syslog(*times: str, written_at: str, **where: object) -> list[datetime]:
    body = "".join(f"{written} web-1 app: m\n" for written in times)
    return moments(events("syslog", body, where={"written_at": at(written_at), **where}))


def test_syslog_goes_right_across_a_new_year() -> None:
    found = syslog("Dec 31 23:59:59", "Jan  1 00:00:01", written_at="2026-01-01 00:00:01")

    assert found == [at("2025-12-31 23:59:59"), at("2026-01-01 00:00:01")]


def test_december_is_last_year_s_when_it_is_read_in_january() -> None:
    assert syslog("Dec 30 10:00:00", written_at="2026-01-02") == [at("2025-12-30 10:00")]
    assert syslog("Jan  2 10:00:00", written_at="2026-01-02") == [at("2026-01-02 10:00")]


def test_a_clock_that_is_a_little_ahead_is_not_a_year_behind() -> None:
    assert syslog("Jan  1 00:10:00", written_at="2025-12-31 23:59:00") == [at("2026-01-01 00:10")]


def test_a_line_that_comes_late_over_the_new_year_is_of_the_old_one() -> None:
    found = syslog("Dec 31 23:59:58", "Jan  1 00:00:01", "Dec 31 23:59:59", "Jan  1 00:00:02", written_at="2026-01-01 01:00")

    assert [moment.year for moment in found] == [2025, 2026, 2025, 2026]


def test_years_go_on_inside_a_body_that_is_longer_than_one() -> None:
    found = syslog("Jun 14 10:00:00", "Aug  1 10:00:00", "Jan 10 10:00:00", "Jul 20 10:00:00", written_at="2005-07-27")

    assert [moment.year for moment in found] == [2004, 2004, 2005, 2005]


def test_a_leap_day_is_of_a_leap_year() -> None:
    assert syslog("Feb 29 10:00:00", written_at="2026-03-01") == [at("2024-02-29 10:00")]
    assert syslog("Feb 29 10:00:00", "Mar  1 10:00:00", written_at="2024-03-01 12:00") == [at("2024-02-29 10:00"), at("2024-03-01 10:00")]
    assert syslog("Dec 31 10:00:00", "Feb 29 10:00:00", written_at="2026-03-01") == [at("2023-12-31 10:00"), at("2024-02-29 10:00")]


def test_a_year_that_is_not_written_is_of_the_zone_that_is_set() -> None:
    body = "Jan  1 00:30:00 web-1 app: m\n"
    (found,) = events("syslog", body, time_zone=MADRID, where={"written_at": at("2025-12-31 23:30")})

    assert found.time == at("2025-12-31 23:30")
