from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from log_store.search import InvalidQuery, moment_of, query_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_time_without_an_offset_is_of_the_business_s_zone(settings: Any) -> None:
    settings.ETL_TIME_ZONE = "America/Mexico_City"
    assert moment_of("2026-03-01") == datetime(2026, 3, 1, 6, tzinfo=UTC)
    assert moment_of("2026-03-01T10:30") == datetime(2026, 3, 1, 16, 30, tzinfo=UTC)
    assert moment_of("2026-03-01T10:30+01:00") == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def test_without_times_it_is_the_last_day() -> None:
    query = query_of("calls", known=["calls"], now=NOW)
    assert query.end - query.start == timedelta(days=1)
    assert query.start < NOW - timedelta(hours=23)
    assert query.end > NOW


def test_a_level_comes_with_those_that_are_worse() -> None:
    assert query_of("calls", known=["calls"], level="warning", now=NOW).levels == {"warning", "error", "critical"}
    assert query_of("calls", known=["calls"], level="unknown", now=NOW).levels == {"unknown"}
    assert query_of("calls", known=["calls"], now=NOW).levels == frozenset()


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ({"source": "call"}, "there is no log source 'call'; known sources: calls"),
        ({"start": "yesterday"}, "'yesterday' is not a valid time: write it as"),
        ({"level": "loud"}, "there is no level 'loud': choose one of debug, info"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "the period ends before it begins"),
        ({"end": "0001-01-01"}, "'0001-01-01' is not a time of a log event: years go from 1970 to 2999"),
        ({"start": "0001-01-01T00:00+05:00"}, "is not a time of a log event"),
        ({"end": "9999-12-31T23:59-05:00"}, "is not a time of a log event"),
    ],
)
def test_a_question_that_cannot_be_is_refused_with_what_to_do(question: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidQuery, match=sentence):
        query_of(**{"source": "calls", **question}, known=["calls"], now=NOW)


def test_without_any_log_source_it_says_how_to_add_one() -> None:
    with pytest.raises(InvalidQuery, match="add one with add_log_source"):
        query_of("calls", known=[], now=NOW)
