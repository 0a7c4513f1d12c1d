"""How pages show values."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils.translation import override

from dashboard.templatetags import display
from dora_metrics.calculators.quality_flags import MEANING


@pytest.mark.parametrize(
    ("value", "metric", "expected"),
    [
        (0.5, "deployment_frequency", "0.50 a day"),
        (3.0, "deployment_frequency", "3 a day"),
        (86_400 * 3.3, "change_lead_time", "3.3 d"),
        (0.35, "change_fail_rate", "35.0%"),
        (None, "change_fail_rate", "–"),
        (None, "change_lead_time", "–"),
    ],
)
def test_a_value_is_shown_in_the_unit_of_its_metric(value: float | None, metric: str, expected: str) -> None:
    assert display.metric_value(value, metric) == expected


def test_a_value_that_a_template_does_not_find_is_unknown() -> None:
    assert display.metric_value("", "change_lead_time") == display.UNKNOWN


@pytest.mark.parametrize(("value", "text"), [(7 / 31, "0.23"), (0.995, "0.99"), (0.996, "1"), (1234.567, "1,234.57"), (-0.126, "-0.13")])
def test_numbers_are_rounded_and_not_cut_off(value: float, text: str) -> None:
    assert display.number(value) == text


def test_numbers_follow_the_language() -> None:
    with override("es"):
        assert display.number(0.5) == "0,50"


def test_a_time_is_in_the_zone_of_the_metrics_and_names_it(settings: Any) -> None:
    settings.ETL_TIME_ZONE = "America/Mexico_City"
    text = display.instant(datetime(2026, 3, 1, 3, 4, tzinfo=UTC))
    assert text == '<time datetime="2026-03-01T03:04:00+00:00">28 Feb 2026, 21:04 CST</time>'
    assert display.instant(None) == "–"


def test_a_status_is_a_word_and_a_sign_whatever_it_is() -> None:
    assert "partial" in display.status_badge("partial")
    assert "&lt;b&gt;" in display.status_badge("<b>")


def test_a_tier_is_a_word_and_nothing_if_there_is_none() -> None:
    assert "elite" in display.tier_badge("elite")
    assert display.tier_badge(None) == display.tier_badge("") == ""


def test_the_facts_behind_a_value_are_counted_in_the_form_and_the_words_of_the_language() -> None:
    assert display.counts_text("change_fail_rate", 1, part=1) == "1 of 1 attempt"
    assert display.counts_text("deployment_rework_rate", 1234, part=12.0) == "12 of 1,234 successes"
    assert display.counts_text("failed_deployment_recovery_time", None) == ""
    with override("es"):
        assert display.counts_text("change_fail_rate", 1234, part=12) == "12 de 1\u00a0234 intentos"


def test_a_word_agrees_with_what_it_speaks_of() -> None:
    with override("es"):
        assert "fallida" in display.status_badge("failed")  # la ejecución
        assert "descartado" in display.status_badge("discarded")  # el mensaje


def test_every_quality_flag_has_a_name() -> None:
    assert set(display.FLAG_NAMES) == set(MEANING)
