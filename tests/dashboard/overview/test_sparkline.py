"""The small chart beside a value."""

from datetime import date

import pytest

from dashboard.overview.sparkline import sparkline, titles_of
from dora_metrics.calculators.periods import RANGE, Period
from dora_metrics.selectors.trends import trend_periods

WEEKS = trend_periods(Period(date(2026, 10, 28), date(2026, 11, 27), RANGE))


def test_a_line_ends_where_a_value_is_unknown_and_a_single_value_is_a_dot():
    found = sparkline([0.5, 0.25, None, 1.0, None, None, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5], titles_of("change_fail_rate", WEEKS))
    assert [len(line.split()) for line in found.lines] == [2, 6]
    assert found.lines[0] == "3.0,12.0 10.1,16.5"
    assert found.dots == [("24.3", "3.0"), ("81.0", "12.0")]  # the single value, and the last one


def test_it_says_in_words_what_it_shows():
    found = sparkline([0.0] * 11 + [None], titles_of("deployment_frequency", WEEKS))
    assert found.title == "Deployment frequency, 12 weeks from 7 Sep 2026: lowest 0 a day, highest 0 a day, last unknown"
    assert found.lines[0].startswith("3.0,21.0 10.1,21.0")


@pytest.mark.parametrize("values", [[None] * 12])
def test_without_a_known_value_there_is_none(values):
    assert sparkline(values, titles_of("change_lead_time", WEEKS)) is None
