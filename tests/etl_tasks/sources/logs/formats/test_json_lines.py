"""JSON lines as real programs write them, and invalid ones."""

import json
from datetime import UTC
from typing import Any

import pytest

from etl_tasks.outcomes import Bad
from etl_tasks.sources.logs.formats.field_lengths import CUT, HOST_LENGTH, MESSAGE_LENGTH
from etl_tasks.sources.logs.formats.interface import FormatOptions
from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import KEY, NOON, event, events, previous_is, results


def read(**record: object) -> LogEvent:
    return event("json", json.dumps({"timestamp": "2026-03-01T12:00:00Z", **record}))


def test_it_reads_a_json_line_and_keeps_the_rest_as_text() -> None:
    found = read(
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
        empty="",
        ok=True,
    )

    assert found == LogEvent(
        event_id=f"{KEY}000000000000",
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
        "2026-03-01T12:00",
        "2026-03-01 12:00:00,000",
        "2026-03-01T12:00:00.000000000Z",
        "2026-03-01T06:00:00-06:00",
        "2026-03-01 14:00:00 +0200",
        "2026-03-01 12:00:00 UTC",
        "20260301T120000Z",
        "01/Mar/2026:06:00:00 -0600",
        "Sun, 1 Mar 2026 12:00:00 GMT",
        1772366400,
        1772366400.0,
        1772366400000,
        1772366400000000,
        1772366400000000000,
        "1772366400",
        "1772366400.000",
        "1772366400000",
        "1772366400000000",
    ],
)
def test_it_reads_a_time_under_every_name_and_in_every_notation(key: str, written: object) -> None:
    found = event("json", json.dumps({key: written}))

    assert found.time == NOON
    assert found.time.tzinfo is UTC
    assert found.extra == {}


@pytest.mark.parametrize("written", ["2026-03-01T12:00:00.123987Z", 1772366400.123987, 1772366400123, 1772366400123987])
def test_it_cuts_a_time_to_the_millisecond(written: object) -> None:
    assert read(timestamp=written).time == NOON.replace(microsecond=123000)


def test_it_takes_the_time_that_is_one_when_another_name_holds_a_duration() -> None:
    found = event("json", '{"time": 0.25, "ts": "2026-03-01T12:00:00Z"}')

    assert found.time == NOON
    assert found.extra == {"time": "0.25"}


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("level", "debug", "debug"),
        ("severity", "NOTICE", "info"),
        ("levelname", "WARNING", "warning"),
        ("log.level", "Err", "error"),
        ("level", "FATAL", "critical"),
        ("level", " warn ", "warning"),
        *(
            ("level", number, level)
            for number, level in zip(range(10, 70, 10), ("debug", "debug", "info", "warning", "error", "critical"), strict=True)
        ),
        ("level", "40", "warning"),
        ("levelno", 40, "error"),
        ("level", 3, "error"),
        ("PRIORITY", "3", "error"),
        ("PRIORITY", "6", "info"),
    ],
)
def test_it_knows_levels_by_their_many_names_and_numbers(name: str, value: object, level: str) -> None:
    found = read(**{name: value})

    assert (found.level, found.extra) == (level, {})


@pytest.mark.parametrize("value", ["chatty", 35, -1, True, 1e300, "9" * 5000, {"a": 1}])
def test_it_keeps_what_is_no_level(value: object) -> None:
    found = read(level=value)

    assert found.level == "unknown"
    assert found.extra["level"]


def test_it_keeps_what_is_no_status_and_no_duration_beside_the_event() -> None:
    found = read(status="fine", duration_ms="quick")

    assert (found.status, found.duration_ms) == (None, None)
    assert found.extra == {"status": "fine", "duration_ms": "quick"}


@pytest.mark.parametrize(("status", "level"), [(503, "error"), (404, "warning"), (200, "info")])
def test_a_status_says_the_level_where_nothing_else_does(status: int, level: str) -> None:
    assert (read(status=status).status, read(status=status).level) == (status, level)
    assert read(status=status, level="debug").level == "debug"
    assert read(status=status, level="chatty").level == "unknown"


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
def test_it_finds_text_under_its_usual_names(record: dict[str, Any], field: str, text: str) -> None:
    assert getattr(read(**record), field) == text


ECS = {
    "@timestamp": "2026-03-01T12:00:00.000Z",
    "log.level": "ERROR",
    "message": "no such invoice",
    "ecs.version": "1.2.0",
    "service.name": "billing",
    "event": {"dataset": "billing.log", "duration": 12500000},
    "log": {"logger": "com.acme.Invoices"},
    "host": {"name": "web-1"},
    "http": {"request": {"method": "GET"}, "response": {"status_code": 404}},
    "url": {"path": "/invoices/7"},
    "trace": {"id": "4bf9"},
}
BUNYAN = {
    "name": "billing",
    "hostname": "web-1",
    "pid": 12,
    "level": 50,
    "msg": "no such invoice",
    "time": "2026-03-01T12:00:00.000Z",
    "v": 0,
}
PINO = {
    "level": 40,
    "time": 1772366400000,
    "pid": 12,
    "hostname": "web-1",
    "req": {"id": 3, "method": "GET", "url": "/invoices/7"},
    "res": {"statusCode": 404},
    "responseTime": 12,
    "msg": "request completed",
}
STRUCTLOG = {"event": "no such invoice", "level": "error", "logger": "billing", "timestamp": "2026-03-01T12:00:00Z", "invoice": 7}
JOURNALD = {
    "__REALTIME_TIMESTAMP": "1772366400000000",
    "PRIORITY": "4",
    "MESSAGE": [99, 97, 102, 233],
    "_HOSTNAME": "web-1",
    "SYSLOG_IDENTIFIER": "nginx",
    "_SYSTEMD_UNIT": "nginx.service",
    "_PID": "12",
}
DOCKER = {"log": "no such invoice\n", "stream": "stderr", "time": "2026-03-01T12:00:00.000000000Z"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            ECS,
            LogEvent(
                "",
                "",
                NOON,
                "error",
                service="billing",
                host="web-1",
                logger="com.acme.Invoices",
                message="no such invoice",
                method="GET",
                path="/invoices/7",
                status=404,
                duration_ms=12.5,
                trace_id="4bf9",
                extra={"ecs.version": "1.2.0", "event": '{"dataset":"billing.log"}'},
            ),
        ),
        (BUNYAN, LogEvent("", "", NOON, "error", host="web-1", logger="billing", message="no such invoice", extra={"pid": "12", "v": "0"})),
        (
            PINO,
            LogEvent(
                "",
                "",
                NOON,
                "warning",
                host="web-1",
                message="request completed",
                method="GET",
                path="/invoices/7",
                status=404,
                duration_ms=12.0,
                extra={"pid": "12", "req": '{"id":3}'},
            ),
        ),
        (STRUCTLOG, LogEvent("", "", NOON, "error", logger="billing", message="no such invoice", extra={"invoice": "7"})),
        (
            JOURNALD,
            LogEvent("", "", NOON, "warning", service="nginx.service", host="web-1", logger="nginx", message="caf\\xe9", extra={"_PID": "12"}),
        ),
        (DOCKER, LogEvent("", "", NOON, "unknown", message="no such invoice", extra={"stream": "stderr"})),
    ],
    ids=["ECS", "bunyan", "pino", "structlog", "journald", "docker"],
)
def test_it_recognises_what_well_known_programs_write(line: dict[str, object], expected: LogEvent) -> None:
    found = event("json", json.dumps(line))

    assert found == LogEvent(found.event_id, "shop", *(getattr(expected, name) for name in LogEvent.__struct_fields__[2:]))


def test_a_setting_names_the_keys_of_fields() -> None:
    line = json.dumps({"when": "2026-03-01T12:00:00Z", "text": "hello", "message": "other", "app": {"name": "billing"}, "sev": "warn"})
    found = event("json", line, fields=(("time", "when"), ("message", "text"), ("service", "app.name"), ("level", "sev")))

    assert (found.time, found.message, found.service, found.level) == (NOON, "hello", "billing", "warning")
    assert found.extra == {"message": "other"}


def test_it_writes_bytes_that_are_not_utf8_as_escapes() -> None:
    one = b'{"time": "2026-03-01T12:00:00Z", "msg": "caf\xe9 \xf0\x9f\x98\x80 \0"}\n'
    first, second = events("json", one + b'{"time": "2026-03-01T12:00:00Z", "msg": "next"}\n')

    assert first.message == "caf\\xe9 \U0001f600 \\x00"
    assert second.event_id == f"{KEY}{len(one):012x}"


def test_it_cuts_what_does_not_fit_the_store() -> None:
    found = read(host="h" * 300, message="m" * (MESSAGE_LENGTH + 1))

    assert len(found.host) == HOST_LENGTH
    assert len(found.message) == MESSAGE_LENGTH
    assert found.message.endswith(CUT)


def test_a_line_cannot_mark_itself() -> None:
    found = read(**{"deploy.state": "success", "unparsed": "no", "time_is": "future", "cut": "9"})

    assert found.extra == {"deploy.state_": "success", "unparsed_": "no", "time_is_": "future", "cut_": "9"}


@pytest.mark.parametrize(
    "written",
    [
        "2026-02-30T00:00:00Z",
        "2026-03-01T25:61:00Z",
        "yesterday",
        True,
        1e300,
        [1],
        {"a": 1},
        "0001-01-01T00:00:00+05:00",
        "99999999999999999999",
        -5,
    ],
)
def test_an_impossible_time_is_flagged_and_kept(written: object) -> None:
    found = event("json", json.dumps({"ts": written, "msg": "m"}), where=previous_is(NOON))

    assert (found.time, found.message, found.extra["time_is"]) == (NOON, "m", "impossible")
    assert found.extra["ts"]


def test_a_record_without_a_time_has_that_of_the_event_before_it() -> None:
    first, second = events("json", '{"ts": "2026-03-01T12:00:00Z"}\n{"msg": "no time"}')

    assert (second.time, second.message, second.extra) == (first.time, "no time", {"time_is": "inferred"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"time": "2026', "not JSON"),
        (b"plain words", "not JSON"),
        (b"[1]", "a list and not an object"),
        (b"[" * 100_000, "JSON"),
        (b'{"msg": "no time"}', "no time: none of timestamp"),
        (b'{"timestamp": null, "ts": ""}', "no time"),
    ],
)
def test_a_json_line_that_is_none_is_bad_with_a_reason_to_a_strict_source(line: bytes, reason: str) -> None:
    (found,) = results(FormatOptions("json", is_strict=True), line)

    assert isinstance(found, Bad)
    assert reason in found.error
    assert (found.index, found.key, found.data) == (0, f"{KEY}000000000000", line.decode())


def test_a_line_that_goes_on_like_white_space_is_one_of_its_own() -> None:
    assert [found.message for found in events("json", ' {"ts": 1772366400, "msg": "a"}\n\t{"ts": 1772366400, "msg": "b"}\n \n')] == ["a", "b"]


def test_an_empty_object_where_a_field_would_be_is_no_error() -> None:
    assert read(host={}, level="info").host == ""
