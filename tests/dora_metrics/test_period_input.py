"""What people write for a period, and what a report takes if they write nothing."""

from datetime import date

import pytest

from dora_metrics.calculators.periods import Period
from dora_metrics.period_input import parse_period, period_name, report_range

TODAY = date(2026, 11, 26)


@pytest.mark.parametrize(
    ("text", "start", "end", "kind"),
    [
        ("2026-02-28", date(2026, 2, 28), date(2026, 3, 1), "day"),
        ("2026-W53", date(2026, 12, 28), date(2027, 1, 4), "week"),
        ("2026-02", date(2026, 2, 1), date(2026, 3, 1), "month"),
        ("2026-10-28..2026-11-26", date(2026, 10, 28), date(2026, 11, 27), "range"),
        ("2026-10-28..2026-10-28", date(2026, 10, 28), date(2026, 10, 29), "range"),
    ],
)
def test_a_period_is_read_and_written_in_one_form(text, start, end, kind):
    period = parse_period(text)
    assert period == Period(start, end, kind)
    assert period_name(period) == text


@pytest.mark.parametrize(
    "text",
    ["", "..", "2026", "2026-1", "20260228", "2026-02-28..", "..2026-02-28", "2026-02-28..2026-02-28..2026-03-01", "2026-02..2026-03", "x" * 99],
)
def test_anything_else_is_refused_with_the_forms(text):
    with pytest.raises(ValueError, match=r"a range as 2026-10-28\.\.2026-11-26 \(both days belong to it\)"):
        parse_period(text)


@pytest.mark.parametrize(
    ("by", "start", "end", "expected"),
    [
        ("month", None, None, (date(2025, 11, 1), date(2026, 11, 27))),
        ("day", date(2027, 1, 1), None, (date(2027, 1, 1), date(2027, 1, 2))),
        ("range", None, None, (date(2026, 10, 27), date(2026, 11, 26))),
        ("range", None, date(2026, 3, 1), (date(2026, 1, 30), date(2026, 3, 1))),
        ("range", date(2026, 11, 1), None, (date(2026, 11, 1), date(2026, 11, 26))),
        ("range", TODAY, None, (TODAY, date(2026, 11, 27))),
        ("range", None, date(1970, 1, 2), (date(1970, 1, 1), date(1970, 1, 2))),
    ],
)
def test_a_bound_that_is_missing_has_its_default(by, start, end, expected):
    assert report_range(start, end, by=by, today=TODAY) == expected
