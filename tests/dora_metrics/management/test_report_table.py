"""The table of `dora_report` adds up, says which metric a flag is about, and fits the terminal."""

from typing import Any

import pytest
from django.utils import translation

from dora_metrics.management.report_table import from_first_collected, table_lines
from dora_metrics.selectors import UNKNOWN

METRICS = list(UNKNOWN)


def period(start: str, *, flags: dict[str, list[str]] | None = None, is_partial: bool = False, **changed: dict[str, Any]) -> dict[str, Any]:
    values = {
        "deployment_frequency": {"value": 0.7096, "deployments": 22, "tier": "high"},
        "change_lead_time": {"p50": 2.9 * 86400, "n": 39, "tier": "high"},
        "change_fail_rate": {"value": 11 / 27, "failed": 11, "deployments": 27, "tier": "low"},
        "failed_deployment_recovery_time": {"p50": 8 * 3600.0, "n": 9, "n_open": 2, "tier": "high"},
        "deployment_rework_rate": {"value": 6 / 22, "unplanned": 6, "deployments": 22},
    }
    metric_flags: dict[str, list[str]] = {metric: (flags or {}).get(metric, []) for metric in METRICS}
    return {
        "start": start,
        "end": start[:5] + f"{int(start[5:7]) + 1:02}-01",
        "partial": is_partial,
        **{metric: {**UNKNOWN[metric], **values[metric], **changed.get(metric, {})} for metric in METRICS},
        "quality_flags": sorted({flag for one in metric_flags.values() for flag in one}),
        "metric_flags": metric_flags,
    }


def unknown(start: str) -> dict[str, Any]:
    nothing = period(start, flags={metric: ["not_collected"] for metric in METRICS})
    return nothing | {metric: dict(UNKNOWN[metric]) for metric in METRICS}


def lines(*periods: dict[str, Any], width: int = 150, **given: Any) -> list[str]:
    table, notes = table_lines(periods, by="month", before=given.pop("before", None), width=width, **given)
    return [*table, *notes]


def test_each_share_says_of_what_it_is_a_part() -> None:
    head, line, *_ = lines(period("2026-10-01"))
    assert head.split()[:3] == ["month", "deploys", "lead"]
    assert "0.71/day (22) high" in line
    assert "40.7% (11 of 27) low" in line
    assert "27.3% (6 of 22)" in line
    assert "8.0 h (9, 2 open) high" in line
    assert "2.9 d (39) high" in line


def test_a_flag_says_which_metrics_of_which_periods_have_it() -> None:
    first = period("2026-09-01", flags={"failed_deployment_recovery_time": ["low_n"]})
    second = period(
        "2026-10-01", flags={"failed_deployment_recovery_time": ["low_n"], "change_lead_time": ["low_n", "time_matched"]}, is_partial=True
    )
    shown = lines(first, second)
    at = shown.index("  low_n: a median of 1 to 9 values: one more can move it far")
    assert shown[at + 1 : at + 3] == ["    lead time (changes): 2026-10-01", "    recovery (failures): in every period"]
    assert "  time_matched: no deployment names its commit: changes were matched by time alone" in shown
    assert "~8.0 h" in shown[1]
    assert " 2.9 d" in shown[1]
    assert "~2.9 d" in shown[2]
    assert shown[2].startswith("  2026-10-01*")


def test_many_flagged_periods_are_counted() -> None:
    flagged = [period(f"2026-{month:02}-01", flags={"change_lead_time": ["low_n"]}) for month in range(1, 10)]
    assert any(
        line.endswith("lead time (changes): 2026-04-01, 2026-05-01, 2026-06-01, 2026-07-01, 2026-08-01, 2026-09-01 and 3 earlier periods")
        for line in lines(*flagged, period("2026-10-01"), width=200)
    )


def test_a_value_is_compared_with_the_period_before() -> None:
    worse = period("2026-10-01", change_fail_rate={"value": 0.5, "failed": 11, "deployments": 22}, change_lead_time={"p50": 86400.0})
    shown = lines(worse, before=period("2026-09-01"), width=200)
    assert "50.0% (11 of 22) low ↑ worse" in shown[1]
    assert "1.0 d (39) high ↓ better" in shown[1]
    assert "0.71/day (22) high = same" in shown[1]
    assert "↑ ↓ higher or lower than the period before (= within 5%)" in shown[2]
    assert "worse" not in "\n".join(lines(worse, before=None, width=200))
    assert "worse" not in "\n".join(lines(worse, before=unknown("2026-09-01"), width=200))


def test_a_narrower_terminal_gets_signs_and_a_narrow_one_a_line_a_metric() -> None:
    periods = [period(f"2026-{month:02}-01", change_lead_time={"p50": month * 86400.0}) for month in range(1, 4)]
    for width, expected in ((200, "↑ worse"), (130, "↑!"), (100, "↑ worse"), (70, "↑ worse")):
        shown = lines(*periods, width=width)
        assert max(map(len, shown)) <= width
        assert any(expected in line for line in shown), width
    narrow = lines(*periods, width=80)
    assert narrow[0] == "  2026-01-01"
    assert narrow[1].split() == ["deploys", "0.71/day", "(22)", "high"]
    assert narrow[3].split() == ["fail", "rate", "(attempts)", "40.7%", "(11", "of", "27)", "low"]
    assert narrow[8].split()[-2:] == ["↑", "worse"]


def test_without_arrows_it_is_ascii() -> None:
    shown = lines(period("2026-10-01", change_lead_time={"p50": 86400.0}), before=period("2026-09-01"), has_arrows=False)
    assert "\n".join(shown).isascii()
    assert "1.0 d (39) high v better" in shown[1]


def test_what_is_unknown_is_a_hyphen_and_never_a_number() -> None:
    none = lines(unknown("2026-09-01"), before=period("2026-08-01"))[1]
    assert none.split() == ["2026-09-01", "-", "-", "-", "-", "-"]
    no_attempts = period("2026-10-01", change_fail_rate={"value": None, "failed": 0, "deployments": 0, "tier": None})
    assert "0 of 0" not in lines(no_attempts)[1]


def test_a_report_begins_with_the_first_period_of_which_anything_was_collected() -> None:
    partly = unknown("2026-03-01") | {"metric_flags": {metric: ["not_collected"] for metric in METRICS} | {"deployment_frequency": []}}
    periods = [unknown("2026-01-01"), unknown("2026-02-01"), partly, unknown("2026-04-01")]
    assert [one["start"] for one in from_first_collected(periods)] == ["2026-03-01", "2026-04-01"]
    assert from_first_collected([unknown("2026-01-01")]) == []


@pytest.mark.parametrize("language", ["en", "es"])
def test_numbers_have_the_decimal_sign_of_the_language(language: str) -> None:
    with translation.override(language):
        assert ("0,71" if language == "es" else "0.71") in lines(period("2026-10-01"))[1]
