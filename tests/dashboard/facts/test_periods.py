"""Periods in words, and their neighbours."""

import pytest

from dashboard.facts.periods import next_period, period_label, previous_period, short_period_label
from dora_metrics.period_input import parse_period, period_name


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("2026-03-01", "2026-02-28", "2026-03-02"),
        ("2026-W01", "2025-W52", "2026-W02"),
        ("2026-01", "2025-12", "2026-02"),
        ("2026-01-08..2026-01-14", "2026-01-01..2026-01-07", "2026-01-15..2026-01-21"),
    ],
)
def test_a_period_has_neighbours_of_its_kind(text, before, after):
    period = parse_period(text)
    neighbours = previous_period(period), next_period(period)
    assert [found and period_name(found) for found in neighbours] == [before, after]


@pytest.mark.parametrize("text", ["1970-01-01", "1970-01", "1970-W01", "1970-01-01..2999-12-31"])
def test_there_is_nothing_before_the_first_date(text):
    assert previous_period(parse_period(text)) is None


@pytest.mark.parametrize("text", ["2999-12-31", "2999-12", "1970-01-01..2999-12-31"])
def test_there_is_nothing_after_the_last_date(text):
    assert next_period(parse_period(text)) is None


@pytest.mark.parametrize(
    ("text", "label", "short"),
    [
        ("2026-03-01", "1 Mar 2026", "1 Mar 2026"),
        ("2026-W01", "week 1 of 2026 (29 Dec 2025 – 4 Jan 2026)", "week 1 of 2026"),
        ("2026-02", "February 2026", "February 2026"),
        ("2026-01-08..2026-01-14", "8 Jan 2026 – 14 Jan 2026", "8 Jan 2026 – 14 Jan 2026"),
        ("2026-01-08..2026-01-08", "8 Jan 2026", "8 Jan 2026"),
    ],
)
def test_a_period_is_written_for_people(text, label, short):
    assert (period_label(parse_period(text)), short_period_label(parse_period(text))) == (label, short)
