from datetime import UTC, date, datetime

import pytest
from django.utils import translation

from dora_metrics.display import date_text, duration_text, instant_text, minute_text, precise_text, share_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.4, "0.4 s"),
        (7.26, "7.3 s"),
        (9.96, "10 s"),
        (45, "45 s"),
        (59.4, "59 s"),
        (59.6, "1.0 min"),
        (90, "1.5 min"),
        (720, "12 min"),
        (3599, "1.0 h"),
        (3.4 * 3600, "3.4 h"),
        (14.3 * 3600, "14 h"),
        (23.6 * 3600, "1.0 d"),
        (2.8 * 86_400, "2.8 d"),
        (412 * 86_400, "412 d"),
        (-90, "-1.5 min"),
    ],
)
def test_a_duration_is_written_in_its_largest_unit(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_duration_has_the_decimal_sign_of_the_language() -> None:
    with translation.override("es"):
        assert duration_text(3.4 * 3600) == "3,4 h"


def test_a_time_is_in_the_pipelines_zone_and_names_it(settings) -> None:
    moment = datetime(2026, 11, 26, 1, 0, 4, tzinfo=UTC)
    assert instant_text(moment) == "2026-11-26 01:00:04 UTC"
    settings.ETL_TIME_ZONE = "America/Mexico_City"
    assert instant_text(moment) == "2026-11-25 19:00:04 CST"
    assert minute_text(moment) == "2026-11-25 19:00 CST"
    assert instant_text(moment, time_zone="UTC") == "2026-11-26 01:00:04 UTC"
    assert precise_text(moment.replace(microsecond=7900), time_zone="UTC") == "2026-11-26 01:00:04.007 UTC"
    assert instant_text(None) == minute_text(None) == "-"


def test_dates_and_shares_have_one_form() -> None:
    assert (date_text(date(2026, 2, 28)), date_text(None)) == ("2026-02-28", "-")
    assert (share_text(11 / 27), share_text(1.0), share_text(None)) == ("40.7%", "100.0%", "-")
