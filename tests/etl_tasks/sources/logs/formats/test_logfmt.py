"""logfmt lines as Go programs write them."""

import pytest

from etl_tasks.sources.logs.formats.interface import FormatOptions
from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import KEY, NOON, event, results


def test_it_reads_a_line_of_pairs() -> None:
    line = r'ts=2026-03-01T12:00:00Z level=warn logger=shop msg="the \"cart\" was slow\n" status=503 duration_ms=12.5 user= path=/a?b=c k="a b"'

    assert event("logfmt", line) == LogEvent(
        f"{KEY}000000000000",
        "shop",
        NOON,
        "warning",
        logger="shop",
        message='the "cart" was slow',
        path="/a?b=c",
        status=503,
        duration_ms=12.5,
        extra={"k": "a b"},
    )


def test_a_setting_names_the_keys_of_fields() -> None:
    assert event("logfmt", "when=2026-03-01T12:00:00Z text=hi", fields=(("time", "when"), ("message", "text"))).message == "hi"


def test_bytes_that_are_not_utf8_are_kept_beside_an_escape() -> None:
    assert event("logfmt", b'ts=2026-03-01T12:00:00Z msg="\xff \\"x\\""').message == '\\xff "x"'


@pytest.mark.parametrize("line", ["plain words", "a=b words", 'a="b', "=b", 'a=b"c', "a==b=c d"])
def test_what_has_a_word_without_a_key_is_none(line: str) -> None:
    (found,) = results(FormatOptions("logfmt"), line.encode())

    assert found.is_unparsed
