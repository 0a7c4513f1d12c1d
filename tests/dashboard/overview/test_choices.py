"""The address of the overview says what it shows."""

from datetime import date

import pytest

from dashboard.overview.choices import chosen, neighbours, sorts_offered
from dora_metrics.calculators.periods import RANGE, Period

TODAY = date(2026, 11, 26)
OCTOBER = Period(date(2026, 10, 1), date(2026, 11, 1), "month")


@pytest.mark.parametrize(
    ("given", "period"),
    [
        ({}, Period(date(2026, 10, 27), TODAY, RANGE)),
        ({"period": ""}, Period(date(2026, 10, 27), TODAY, RANGE)),
        ({"period": "7d"}, Period(date(2026, 11, 19), TODAY, RANGE)),
        ({"period": "365d"}, Period(date(2025, 11, 26), TODAY, RANGE)),
        ({"period": "2026-10"}, OCTOBER),
        ({"period": "2026-W07"}, Period(date(2026, 2, 9), date(2026, 2, 16), "week")),
        ({"period": "2026-10-28..2026-11-26"}, Period(date(2026, 10, 28), date(2026, 11, 27), RANGE)),
        ({"period": "7d", "from": "2026-02-01", "to": "2026-02-03"}, Period(date(2026, 2, 1), date(2026, 2, 4), RANGE)),
    ],
)
def test_a_period_is_whole_days_up_to_yesterday_or_a_named_period_or_a_range(given, period):
    choice = chosen(given, today=TODAY)
    assert choice.query.period == period
    assert chosen({"period": choice.name}, today=TODAY).query.period == period


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"period": "31d"}, "'31d' is not a valid period"),
        ({"period": "1970-01-01..2026-01-01"}, "Choose one of at most 3660 days"),
        ({"from": "2026-02-01"}, "both the first and the last day"),
        ({"to": "2026-02-01"}, "both the first and the last day"),
        ({"from": "2026-02-02", "to": "2026-02-01"}, "ends before it starts"),
        ({"from": "2026-02-30", "to": "2026-03-01"}, "'2026-02-30' is not a valid date"),
        ({"from": "<script>", "to": "x"}, "is not a valid period"),
        ({"sort": "velocity"}, "cannot be sorted by 'velocity'"),
        ({"sort": "--name"}, "cannot be sorted by '--name'"),
        *(({"page": page}, "is not the number of a page") for page in ("0", "-1", "x", "1.5", "²", "9" * 30)),
    ],
)
def test_a_wrong_choice_is_refused_with_a_sentence(given, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        chosen(given, today=TODAY)


def test_an_address_keeps_the_other_choices_and_leads_to_the_first_page():
    choice = chosen({"period": "7d", "search": "bill & co", "environment": "staging", "page": "3", "unknown": "x"}, today=TODAY)
    assert choice.address(period="90d") == "?period=90d&environment=staging&search=bill+%26+co"
    assert choice.address(page=4) == "?period=7d&environment=staging&search=bill+%26+co&page=4"
    assert choice.address(search="") == "?period=7d&environment=staging"


def test_a_column_is_sorted_with_what_needs_attention_first_and_then_reversed():
    assert chosen({}, today=TODAY).sort_address("change_fail_rate") == "?period=30d&sort=-change_fail_rate"
    assert chosen({}, today=TODAY).sort_address("deployment_frequency") == "?period=30d&sort=deployment_frequency"
    by_rate = chosen({"sort": "-change_fail_rate"}, today=TODAY)
    assert (by_rate.query.sort, by_rate.query.is_descending) == ("change_fail_rate", True)
    assert by_rate.sort_address("change_fail_rate") == "?period=30d&sort=change_fail_rate"
    assert by_rate.sort_address("name") == "?period=30d&sort=name"
    assert [sort for sort, _label, is_current in sorts_offered(by_rate) if is_current] == ["-change_fail_rate"]
    assert len(sorts_offered(by_rate)) == 12
    assert len(sorts_offered(chosen({"environment": "staging"}, today=TODAY))) == 2


@pytest.mark.parametrize(
    ("period", "before", "after"),
    [
        (OCTOBER, "2026-09-01", "2026-11-01"),
        (Period(date(2026, 11, 1), date(2026, 12, 1), "month"), "2026-10-01", None),
        (Period(date(2026, 10, 27), TODAY, RANGE), "2026-09-27", None),
        (Period(date(2026, 10, 26), date(2026, 11, 25), RANGE), "2026-09-26", "2026-11-25"),
        (Period(TODAY, date(2026, 11, 27), RANGE), "2026-11-25", None),
        (Period(date(1970, 1, 5), date(1970, 2, 5), RANGE), None, "1970-02-05"),
    ],
)
def test_the_neighbours_are_the_periods_before_and_after_that_have_begun(period, before, after):
    assert [each.start.isoformat() if each else None for each in neighbours(period, today=TODAY)] == [before, after]
