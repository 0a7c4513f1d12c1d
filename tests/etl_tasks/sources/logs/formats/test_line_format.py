"""Behaviour that all formats share: multi-line events, lines that cannot be parsed, truncated lines, and deployments."""

from datetime import timedelta

import pytest

from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.known_formats import FORMATS, format_of
from tests.etl_tasks.sources.logs.formats.parsed import KEY, NOON, WRITTEN_AT, event, events, origin, previous_is, results

LINE = "2026-03-01 12:00:00,000 INFO shop: hello"
DEPLOY = r"Deployed (?P<sha>[0-9a-f]{7,40}) to (?P<environment>\w+)(?:: (?P<state>\w+))?"


@pytest.mark.parametrize("log_format", [name for name in FORMATS if name != "regex"])
@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n", b"\0\0\0\n"])
def test_what_is_blank_is_no_event(log_format: str, body: bytes) -> None:
    assert results(FormatOptions(log_format), body) == []
    assert not format_of(FormatOptions(log_format)).begins(body)


@pytest.mark.parametrize(
    ("log_format", "beginning", "going_on"),
    [
        ("python", LINE, "Traceback (most recent call last):"),
        ("log4j", "2026-03-01 12:00:00 [main] INFO a.B - x", "Caused by: x: y"),
        ("syslog", "anything", "\tat x"),
        ("apache_error", "anything", "  at x"),
        ("logfmt", "a=b", " c=d"),
    ],
)
def test_a_format_knows_where_its_events_begin(log_format: str, beginning: str, going_on: str) -> None:
    form = format_of(FormatOptions(log_format))

    assert form.begins(beginning.encode())
    assert form.begins(b"\0\0" + beginning.encode() + b"\r")
    assert not form.begins(going_on.encode())


@pytest.mark.parametrize("log_format", ["json", "combined"])
def test_every_line_of_json_and_of_an_access_log_is_an_event(log_format: str) -> None:
    assert format_of(FormatOptions(log_format)).begins(b"  anything")


def test_ids_are_the_places_of_first_bytes() -> None:
    body = "\r\nñ\n" + LINE + "\r\n  more\r\n" + LINE
    found = events("python", body, where={"start": 0x100})

    offsets = [body.encode().index(text) for text in (b"\xc3", LINE.encode())] + [body.encode().rindex(LINE.encode())]
    assert [one.event_id for one in found] == [f"{KEY}{0x100 + offset:012x}" for offset in offsets]
    assert [one.message for one in found] == ["ñ", "hello\n  more", "hello"]


def test_before_the_first_beginning_every_line_is_an_event_that_was_not_read_with_the_indented_ones_behind_it() -> None:
    found = results(FormatOptions("python"), f'  File "x.py"\nValueError: x\n\n  more\n{LINE}\n  more\nmore\n'.encode())

    assert [isinstance(one, Good) and one.is_unparsed for one in found] == [True, True, False]
    assert [one.fact.message for one in found[:2] if isinstance(one, Good)] == ['  File "x.py"', "ValueError: x\n\n  more"]
    [first, *_] = found
    assert isinstance(first, Good)
    assert first.fact.level == "unknown"
    assert first.fact.extra == {"unparsed": "The line does not begin as one of the usual layouts.", "time_is": "inferred"}


def test_to_a_strict_source_they_are_bad() -> None:
    first, second, third = results(FormatOptions("syslog", is_strict=True), b"Mar  1 12:00:00 h a: b\nnone\n more\nMar  1 12:00:00 h a: c\n")

    assert (first.fact.message, third.fact.message) == ("b", "c")
    assert second == Bad(index=1, key=f"{KEY}{len('Mar  1 12:00:00 h a: b') + 1:012x}", data="none\n more", error=second.error)
    assert second.error.startswith("The line is not syslog")


def test_a_record_without_a_time_is_bad_only_where_its_format_has_times() -> None:
    assert isinstance(results(FormatOptions("logfmt", is_strict=True), b"level=info msg=x")[0], Bad)
    for reading, line in ((FormatOptions("python", is_strict=True), b"INFO:a:b"), (FormatOptions("syslog", is_strict=True), b"<34>1 - a b c - - d")):
        (found,) = results(reading, line)
        assert found.fact.extra["time_is"] == "inferred"


def test_a_line_that_was_not_read_has_the_time_of_the_event_before_it() -> None:
    before, after = NOON - timedelta(hours=2), NOON
    in_body = "Mar  1 12:00:00 h a: b\nnone\n"

    assert [one.time for one in events("syslog", in_body, where=previous_is(before))] == [after, after]
    assert [one.time for one in events("syslog", "none\n" + in_body, where=previous_is(before))] == [before, after, after]


def test_without_one_it_has_the_time_of_the_next_and_else_of_the_file() -> None:
    assert [one.time for one in events("syslog", "none\nneither\nMar  1 12:00:00 h a: b\n")] == [NOON, NOON, NOON]
    assert [one.time for one in events("syslog", "none\nneither\n")] == [WRITTEN_AT, WRITTEN_AT]


def test_the_last_event_says_how_much_of_it_was_cut() -> None:
    first, second = events("python", f"{LINE}\n{LINE}\n", where={"cut_bytes": 4096})

    assert (first.extra, second.extra) == ({}, {"cut": "4096"})


def test_a_line_that_tells_of_a_deployment_is_marked() -> None:
    body = "\n".join(
        f"2026-03-01 12:00:00,000 INFO ops: {text}"
        for text in ("Deployed 1a2b3c4 to production", "nothing", "Deployed 1a2b3c4d to staging: FAILURE", "Deployed\n  Deployed 99aabbc to live")
    )
    found = events("python", body, deploy_pattern=DEPLOY)

    assert [one.extra for one in found] == [
        {"deploy.sha": "1a2b3c4", "deploy.environment": "production", "deploy.state": "success"},
        {},
        {"deploy.sha": "1a2b3c4d", "deploy.environment": "staging", "deploy.state": "failure"},
        {"deploy.sha": "99aabbc", "deploy.environment": "live", "deploy.state": "success"},
    ]


@pytest.mark.parametrize("pattern", ["^2026.*hello$", r"\A2026", r"hello\z", "(?i)HELLO", r"^2026-03-01 12:00:00,000 INFO shop: hello$"])
def test_the_anchors_of_a_deploy_pattern_are_the_ends_of_an_event(pattern: str) -> None:
    found = events("python", f"{LINE} you\n\0{LINE} \r\n", deploy_pattern=pattern)

    assert found[1].extra == {"deploy.state": "success"}


def test_a_pattern_without_groups_tells_of_a_success() -> None:
    assert event("json", '{"ts": 1772366400, "msg": "released"}', deploy_pattern="released").extra == {"deploy.state": "success"}


def test_a_deployment_is_found_in_a_line_that_was_not_read() -> None:
    found = event("json", "Deployed 1a2b3c4 to production", deploy_pattern=DEPLOY)

    assert found.extra["deploy.sha"] == "1a2b3c4"
    assert found.extra["unparsed"]


def test_what_is_read_is_kept_for_the_next_time() -> None:
    assert format_of(FormatOptions("json")) is format_of(FormatOptions("json"))


def test_a_format_can_be_read_by_two_at_once() -> None:
    form = format_of(FormatOptions("python"))
    one, other = (form.read(f"{LINE}\nnone\n{LINE}\n".encode(), origin(**previous_is(NOON))) for _ in range(2))

    assert list(zip(one, other, strict=True)) == [(found, found) for found in form.read(f"{LINE}\nnone\n{LINE}\n".encode(), origin())]
