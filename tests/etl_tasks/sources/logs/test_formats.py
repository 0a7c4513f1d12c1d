"""Lines as real programs write them, and lines as they should not be."""

import json
from datetime import UTC, datetime

import pytest

from etl_tasks.sources.logs.event import LogEvent
from etl_tasks.sources.logs.formats import CUT, HOST_LENGTH, MESSAGE_LENGTH, BadLine, parse_line

COMBINED = (
    b'83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /presentations/kibana-search.png HTTP/1.1" 200 203023 '
    b'"http://semicomplete.com/presentations/" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)"'
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def parse(log_format: str, line: bytes) -> LogEvent:
    return parse_line(log_format, line, source="shop", event_id="e1")


def parse_record(**record: object) -> LogEvent:
    return parse("json", json.dumps({"timestamp": "2026-03-01T12:00:00Z", **record}).encode())


def test_it_reads_a_json_line_and_keeps_the_rest_as_text():
    event = parse_record(
        level="WARN",
        logger="shop.cart",
        host="web-1",
        message="slow",
        method="GET",
        path="/cart",
        status=200,
        duration_ms=12.5,
        trace_id="t1",
        user=7,
        tags=["a", 1],
        nothing=None,
        ok=True,
    )

    assert event == LogEvent(
        event_id="e1",
        source="shop",
        time=NOON,
        level="warning",
        host="web-1",
        logger="shop.cart",
        message="slow",
        method="GET",
        path="/cart",
        status=200,
        duration_ms=12.5,
        trace_id="t1",
        extra={"user": "7", "tags": '["a",1]', "ok": "true"},
    )


@pytest.mark.parametrize("key", ["timestamp", "time", "ts", "@timestamp", "date"])
@pytest.mark.parametrize(
    "written",
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00",
        "2026-03-01 12:00:00,000",
        "2026-03-01T12:00:00.000000000Z",
        "2026-03-01T06:00:00-06:00",
        "2026-03-01 14:00:00 +0200",
        "2026-03-01 12:00:00 UTC",
        "20260301T120000Z",
        1772366400,
        1772366400.0,
        1772366400000,
        "1772366400",
        "1772366400.000",
        "1772366400000",
    ],
)
def test_it_reads_a_time_under_every_name_and_in_every_notation(key, written):
    event = parse("json", json.dumps({key: written}).encode())

    assert event.time == NOON
    assert event.time.tzinfo is UTC
    assert event.extra == {}


@pytest.mark.parametrize("written", ["2026-03-01T12:00:00.123987Z", 1772366400.123987, 1772366400123])
def test_it_cuts_a_time_to_the_millisecond(written):
    assert parse_record(timestamp=written).time == NOON.replace(microsecond=123000)


def test_it_takes_the_time_that_is_one_when_another_name_holds_a_duration():
    event = parse("json", b'{"time": 0.25, "ts": "2026-03-01T12:00:00Z"}')

    assert event.time == NOON
    assert event.extra == {"time": "0.25"}


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("level", "debug", "debug"),
        ("severity", "NOTICE", "info"),
        ("levelname", "WARNING", "warning"),
        ("log.level", "Err", "error"),
        ("level", "FATAL", "critical"),
        ("level", "chatty", "unknown"),
        ("level", 30, "unknown"),
        ("other", "", "unknown"),
    ],
)
def test_it_knows_levels_by_their_many_names(name, value, level):
    assert parse_record(**{name: value}).level == level


def test_it_keeps_what_is_no_level_no_status_and_no_duration_beside_the_event():
    event = parse_record(level="chatty", status="fine", duration_ms="quick")

    assert (event.status, event.duration_ms) == (None, None)
    assert event.extra == {"level": "chatty", "status": "fine", "duration_ms": "quick"}


@pytest.mark.parametrize(
    ("record", "field", "text"),
    [
        ({"msg": "m"}, "message", "m"),
        ({"event": "page_staged"}, "message", "page_staged"),
        ({"message": {"a": 1}}, "message", '{"a":1}'),
        ({"name": "root"}, "logger", "root"),
        ({"hostname": "h"}, "host", "h"),
        ({"host": {"name": "ecs"}}, "host", "ecs"),
        ({"message": "a\0b"}, "message", "a\\x00b"),
    ],
)
def test_it_finds_text_under_its_usual_names(record, field, text):
    assert getattr(parse_record(**record), field) == text


def test_it_writes_bytes_that_are_not_utf8_as_escapes():
    event = parse("json", b'{"time": "2026-03-01T12:00:00Z", "msg": "caf\xe9 \xf0\x9f\x98\x80"}')

    assert event.message == "caf\\xe9 \U0001f600"


def test_it_cuts_what_does_not_fit_the_store():
    event = parse_record(host="h" * 300, message="m" * (MESSAGE_LENGTH + 1))

    assert len(event.host) == HOST_LENGTH
    assert len(event.message) == MESSAGE_LENGTH
    assert event.message.endswith(CUT)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"time": "2026', "not JSON"),
        (b"plain words", "not JSON"),
        (b"[1]", "a list and not an object"),
        (b"[" * 100_000, "JSON"),
        (b'{"msg": "no time"}', "no timestamp"),
        (b'{"timestamp": null, "ts": ""}', "no timestamp"),
        (b'{"timestamp": "2026-02-30T00:00:00Z"}', "timestamp is no possible date"),
        (b'{"ts": "yesterday"}', "ts is no possible date"),
        (b'{"ts": true}', "ts is no possible date"),
        (b'{"ts": 1e300}', "ts is no possible date"),
        (b'{"ts": [1]}', "ts is no possible date"),
        (b'{"ts": "0001-01-01T00:00:00+05:00"}', "ts is no possible date"),
    ],
)
def test_a_json_line_that_is_none_is_bad_with_a_reason(line, reason):
    with pytest.raises(BadLine, match=reason):
        parse("json", line)


def test_it_reads_a_combined_line():
    assert parse("combined", COMBINED) == LogEvent(
        event_id="e1",
        source="shop",
        time=datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC),
        level="info",
        host="83.149.9.216",
        message="GET /presentations/kibana-search.png HTTP/1.1",
        method="GET",
        path="/presentations/kibana-search.png",
        status=200,
        extra={
            "size": "203023",
            "referrer": "http://semicomplete.com/presentations/",
            "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)",
        },
    )


def test_it_reads_a_common_line_with_an_offset_and_a_user():
    event = parse("combined", b'::1 - ana maria [01/Mar/2026:06:00:00 -0600] "POST /a b HTTP/2.0" 503 -')

    assert event.time == NOON
    assert (event.host, event.method, event.path, event.status, event.level) == ("::1", "POST", "/a b", 503, "error")
    assert event.extra == {"user": "ana maria"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (COMBINED.replace(b" 200 ", b" 404 "), {"level": "warning", "status": 404}),
        (COMBINED.replace(b"GET /presentations/kibana-search.png HTTP/1.1", rb"\x16\x03\x01"), {"method": "", "message": r"\x16\x03\x01"}),
        (COMBINED.replace(b"GET /presentations/kibana-search.png HTTP/1.1", b"-"), {"method": "", "path": "", "message": "-"}),
        (COMBINED.replace(b"kibana", rb"\"kib\"ana"), {"path": r"/presentations/\"kib\"ana-search.png"}),
        (COMBINED.replace(b"kibana", b"k\xe9"), {"path": r"/presentations/k\xe9-search.png"}),
        (COMBINED.replace(b"kibana", b"k\0"), {"path": r"/presentations/k\x00-search.png"}),
        (b"\0" * 4096 + COMBINED, {"host": "83.149.9.216"}),
        (COMBINED + b"\r", {"status": 200}),
    ],
)
def test_it_reads_what_servers_really_write(line, expected):
    event = parse("combined", line)

    assert {name: getattr(event, name) for name in expected} == expected


def test_it_reads_a_user_agent_cut_before_its_last_quote_and_keeps_what_follows_one():
    assert parse("combined", COMBINED[:-1]).extra["user_agent"] == "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1)"
    assert parse("combined", COMBINED + b" 0.005").extra["rest"] == "0.005"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not in the common or combined"),
        (b"[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok", "not in the common or combined"),
        (COMBINED[:60], "not in the common or combined"),
        (COMBINED.replace(b"17/May", b"31/Feb"), "no possible date"),
        (COMBINED.replace(b"17/May", b"17/Mai"), "not written as"),
        (COMBINED.replace(b"10:05:03", b"25:05:03"), "no possible date"),
        (COMBINED.replace(b"+0000", b"+9900"), "no possible date"),
    ],
)
def test_a_combined_line_that_is_none_is_bad_with_a_reason(line, reason):
    with pytest.raises(BadLine, match=reason):
        parse("combined", line)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", [b" [", b'"', b"\\", b' "a" ', b" - "])
def test_a_hostile_line_costs_no_more_than_its_length(piece):
    with pytest.raises(BadLine):
        parse("combined", b"a - " + piece * 500_000)


def test_a_format_that_is_not_declared_is_an_error_of_ours():
    with pytest.raises(KeyError):
        parse("csv", b"a,b")
