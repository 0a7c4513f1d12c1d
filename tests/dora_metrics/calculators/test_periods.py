from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.calculators.inputs import Coverage
from dora_metrics.calculators.periods import KINDS, Period, collected_part, is_partial, joined, local_date, period_of_date, periods_between, start_of
from tests.dora_metrics.calculators.examples import at

JANUARY = period_of_date(date(2026, 1, 1), "month")


def test_a_week_begins_on_monday_even_across_the_year():
    assert period_of_date(date(2026, 1, 1), "week") == Period(date(2025, 12, 29), date(2026, 1, 5), "week")


def test_a_month_ends_where_the_next_begins():
    assert period_of_date(date(2024, 2, 29), "month") == Period(date(2024, 2, 1), date(2024, 3, 1), "month")
    assert period_of_date(date(2025, 12, 31), "month").end == date(2026, 1, 1)


def test_another_kind_of_period_is_refused():
    with pytest.raises(ValueError, match="year"):
        period_of_date(date(2026, 1, 1), "year")


def test_whole_periods_are_listed_where_the_range_begins_and_ends_inside_them():
    months = list(periods_between(date(2026, 1, 31), date(2026, 2, 2), "month"))
    assert [month.start for month in months] == [date(2026, 1, 1), date(2026, 2, 1)]


def test_the_end_of_the_range_is_exclusive():
    assert [month.start for month in periods_between(date(2026, 1, 1), date(2026, 2, 1), "month")] == [date(2026, 1, 1)]


@pytest.mark.parametrize(
    ("instant", "zone", "day"),
    [
        (datetime(2026, 1, 31, 18, 29, tzinfo=UTC), "Asia/Kolkata", date(2026, 1, 31)),
        (datetime(2026, 1, 31, 18, 30, tzinfo=UTC), "Asia/Kolkata", date(2026, 2, 1)),
        (datetime(2026, 2, 1, 7, 59, tzinfo=UTC), "America/Los_Angeles", date(2026, 1, 31)),
        (datetime(2026, 2, 1, 8, 0, tzinfo=UTC), "America/Los_Angeles", date(2026, 2, 1)),
    ],
)
def test_an_instant_belongs_to_its_local_date(instant, zone, day):
    assert local_date(instant, zone) == day


def test_a_naive_instant_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        local_date(datetime(2026, 1, 1), "UTC")


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 3, 28), 24)])
def test_a_day_of_a_daylight_saving_change_has_23_or_25_hours(day, hours):
    assert start_of(day + timedelta(days=1), "Europe/Berlin") - start_of(day, "Europe/Berlin") == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        (at(-10), at(40), 31),
        (at(0), at(31), 31),
        (at(14, hours=12), at(40), 17),  # the day on which collection began counts as a whole day
        (at(-10), at(9, hours=1), 10),  # today counts as a whole day
        (at(40), at(50), 0),
        (at(-10), at(-5), 0),
    ],
)
def test_the_days_that_count_have_begun_and_were_collected(since, until, days):
    assert collected_part(JANUARY, Coverage(since, until), "UTC").days == days


def test_the_days_that_count_are_local():
    assert collected_part(JANUARY, Coverage(at(0), at(9, hours=19)), "Asia/Kolkata").days == 11


def test_a_period_is_partial_until_collection_has_passed_its_end():
    assert is_partial(JANUARY, Coverage(at(0), at(31) - timedelta(seconds=1)), "UTC")
    assert not is_partial(JANUARY, Coverage(at(0), at(31)), "UTC")


def test_a_period_is_partial_if_collection_began_inside_it():
    assert is_partial(JANUARY, Coverage(at(0, seconds=1), at(40)), "UTC")


def test_the_ends_of_a_partial_period_are_those_of_its_zone():
    coverage = Coverage(datetime(2025, 12, 31, 18, 30, tzinfo=UTC), datetime(2026, 1, 31, 18, 30, tzinfo=UTC))
    assert not is_partial(JANUARY, coverage, "Asia/Kolkata")
    assert is_partial(JANUARY, coverage, "UTC")


def test_joined_coverage_is_what_all_streams_cover():
    assert joined([Coverage(at(0), at(9)), Coverage(at(3), at(20))]) == Coverage(at(3), at(9))


@pytest.mark.parametrize("spans", [[], [None], [Coverage(at(0), at(9)), None], [Coverage(at(0), at(2)), Coverage(at(3), at(9))]])
def test_nothing_is_covered_where_one_stream_is_missing_or_they_never_meet(spans):
    assert joined(spans) is None


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.sampled_from(KINDS))
def test_every_date_lies_in_exactly_one_period_of_a_kind(day, kind):
    period = period_of_date(day, kind)
    assert day in period
    assert day not in period_of_date(period.end, kind)
    assert day not in period_of_date(period.start - timedelta(days=1), kind)
