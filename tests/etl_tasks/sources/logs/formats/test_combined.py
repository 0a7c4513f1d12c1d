"""Access log lines as real web servers write them."""

from datetime import UTC, datetime

import pytest

from etl_tasks.outcomes import Bad
from etl_tasks.sources.logs.formats.field_lengths import CUT, HOST_LENGTH, VALUE_LENGTH
from etl_tasks.sources.logs.formats.interface import FormatOptions
from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import KEY, NOON, event, previous_is, results

LINE = (
    b'83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /presentations/kibana-search.png HTTP/1.1" 200 203023 '
    b'"http://semicomplete.com/presentations/" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)"'
)
REQUEST = b"GET /presentations/kibana-search.png HTTP/1.1"


def test_it_reads_a_combined_line() -> None:
    assert event("combined", LINE) == LogEvent(
        event_id=f"{KEY}000000000000",
        source="shop",
        time=datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC),
        level="info",
        host="83.149.9.216",
        message=REQUEST.decode(),
        method="GET",
        path="/presentations/kibana-search.png",
        status=200,
        extra={
            "size": "203023",
            "referrer": "http://semicomplete.com/presentations/",
            "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)",
        },
    )


def test_it_reads_a_common_line_with_an_offset_and_a_user() -> None:
    found = event("combined", b'::1 - ana maria [01/Mar/2026:06:00:00 -0600] "POST /a b HTTP/2.0" 503 -')

    assert found.time == NOON
    assert (found.host, found.method, found.path, found.status, found.level) == ("::1", "POST", "/a b", 503, "error")
    assert found.extra == {"user": "ana maria"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (LINE.replace(b" 200 ", b" 404 "), {"level": "warning", "status": 404}),
        (LINE.replace(b" 200 ", b" - "), {"level": "info", "status": None}),
        (LINE.replace(REQUEST, rb"\x16\x03\x01"), {"method": "", "message": r"\x16\x03\x01"}),
        (LINE.replace(REQUEST, b"-"), {"method": "", "path": "", "message": "-"}),
        (LINE.replace(REQUEST, b"GET /old"), {"method": "GET", "path": "/old"}),
        (LINE.replace(b"GET", b"PROPFIND"), {"method": "PROPFIND"}),
        (LINE.replace(b"kibana", rb"\"kib\"ana"), {"path": r"/presentations/\"kib\"ana-search.png"}),
        (LINE.replace(b"kibana", b"k\xe9"), {"path": r"/presentations/k\xe9-search.png"}),
        (LINE.replace(b"kibana", b"k\0"), {"path": r"/presentations/k\x00-search.png"}),
        (b"\0" * 4096 + LINE, {"host": "83.149.9.216"}),
        (LINE + b"\r", {"status": 200}),
    ],
)
def test_it_reads_what_servers_really_write(line: bytes, expected: dict[str, object]) -> None:
    found = event("combined", line)

    assert {name: getattr(found, name) for name in expected} == expected


def test_it_reads_a_user_agent_cut_before_its_last_quote_and_keeps_what_follows_one() -> None:
    assert event("combined", LINE[:-1]).extra["user_agent"] == "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)"
    assert event("combined", LINE + b" 0.005").extra["rest"] == "0.005"


def test_it_cuts_what_does_not_fit_the_store() -> None:
    found = event("combined", LINE.replace(b"kibana", b"k" * VALUE_LENGTH).replace(b"83.149.9.216", b"h" * 300))

    assert (len(found.host), len(found.path)) == (HOST_LENGTH, VALUE_LENGTH)
    assert found.path.endswith(CUT)
    assert len(found.message) > VALUE_LENGTH


@pytest.mark.parametrize(
    "line",
    [
        b"[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok",
        LINE[:60],
        LINE.replace(b"10:05:03", b"10:05"),
    ],
)
def test_a_line_that_is_none_is_bad_with_a_reason_to_a_strict_source(line: bytes) -> None:
    (found,) = results(FormatOptions("combined", is_strict=True), line)

    assert isinstance(found, Bad)
    assert "not in the common or combined" in found.error


@pytest.mark.parametrize(("right", "wrong"), [(b"17/May", b"31/Feb"), (b"17/May", b"17/Mai"), (b"10:05:03", b"25:05:03"), (b"+0000", b"+9900")])
def test_an_impossible_time_is_flagged(right: bytes, wrong: bytes) -> None:
    found = event("combined", LINE.replace(right, wrong), where=previous_is(NOON))

    assert (found.time, found.status, found.extra["time_is"]) == (NOON, 200, "impossible")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", [b" [", b'"', b"\\", b' "a" ', b" - ", b" - [17/May/2015:10:05:03 +0000] "])
def test_a_hostile_line_costs_no_more_than_its_length(piece: bytes) -> None:
    (found,) = results(FormatOptions("combined"), b"a - " + piece * 300_000)

    assert found.is_unparsed
