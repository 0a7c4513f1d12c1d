"""Lines that another program has put into a line of its own format, or to which it has added values.

Each value gets its own field, or the event says why the line was not parsed.
"""

import json

import pytest

from etl_tasks.outcomes import Bad
from etl_tasks.sources.logs.formats.detection import detect
from etl_tasks.sources.logs.formats.interface import FormatOptions
from tests.etl_tasks.sources.logs.formats.parsed import NOON, SECOND, event, events, results

REST = ' [01/Mar/2026:12:00:00 +0000] "GET /v HTTP/1.1" 502 1 "-" "curl"'


@pytest.mark.parametrize(
    ("words", "host", "user", "beside"),
    [
        ("10.0.0.1 - -", "10.0.0.1", None, {}),
        ("10.0.0.1 - ana", "10.0.0.1", "ana", {}),
        ("10.0.0.1 - ana maria", "10.0.0.1", "ana maria", {}),
        ('10.0.0.1 - ""', "10.0.0.1", None, {}),
        ("10.0.0.1 id ana", "10.0.0.1", "ana", {"ident": "id"}),
        ("- - -", "", None, {}),
        ("2001:db8::1 - -", "2001:db8::1", None, {}),
        ("fe80::1%eth0 - ana", "fe80::1%eth0", "ana", {}),
        ("shop.example:443 10.0.0.1 - -", "10.0.0.1", None, {"vhost": "shop.example:443"}),
        ("shop.example:443 2001:db8::1 - ana maria", "2001:db8::1", "ana maria", {"vhost": "shop.example:443"}),
        ("[2001:db8::2]:80 2001:db8::1 - -", "2001:db8::1", None, {"vhost": "[2001:db8::2]:80"}),
        ("shop.example client.example - ana", "client.example", "ana", {"vhost": "shop.example"}),
        ("shop.example 10.0.0.1 -", "10.0.0.1", None, {"vhost": "shop.example"}),
        ("10.0.0.1 shop.example - -", "10.0.0.1", None, {"vhost": "shop.example"}),
        ("- 10.0.0.1 - -", "10.0.0.1", None, {}),
        ("10.0.0.1, 10.0.0.2 - -", "10.0.0.1", None, {"forwarded_for": "10.0.0.1, 10.0.0.2"}),
        ("10.0.0.1, 10.0.0.2, ::3 - ana", "10.0.0.1", "ana", {"forwarded_for": "10.0.0.1, 10.0.0.2, ::3"}),
    ],
)
def test_the_words_before_a_request_s_time_are_told_apart(words: str, host: str, user: str | None, beside: dict[str, str]) -> None:
    """Formerly, in a line with a virtual host, this was read as the client's host, and the client's address and the hyphens as the user."""
    found = event("combined", words + REST)

    assert (found.time, found.host, found.status, found.extra.get("user")) == (NOON, host, 502, user)
    assert {name: found.extra[name] for name in found.extra if name in ("vhost", "forwarded_for", "ident")} == beside
    assert detect([(words + REST).encode()] * 5).log_format == "combined"


@pytest.mark.parametrize(
    "words",
    [
        "Nov 26 10:00:00 web-1 nginx: 10.0.0.1 - -",
        "<14>Nov 26 10:00:00 web-1 nginx[7]: 10.0.0.1 - -",
        "2026-11-26T10:00:00Z stdout F 10.0.0.1 - -",
        "web_1 | 10.0.0.1 - -",
        "web_1  | 10.0.0.1 - -",
        "nginx: 10.0.0.1 - -",
        "web-1 nginx: 10.0.0.1 - -",
        "web-1 - 10.0.0.1 - -",
        "10.0.0.1 -  -",
    ],
)
def test_an_access_line_behind_other_words_is_not_read_and_says_so(words: str) -> None:
    (found,) = results(FormatOptions("combined", is_strict=True), (words + REST).encode())

    assert isinstance(found, Bad)
    assert detect([(words + REST).encode()] * 5).log_format != "combined"


def test_what_nginx_adds_to_a_line_is_kept() -> None:
    assert event("combined", f'10.0.0.1 - -{REST} 0.005 "10.1.2.3"').extra["rest"] == '0.005 "10.1.2.3"'


def test_a_load_balancer_s_line_is_refused() -> None:
    line = (
        "https 2026-03-01T12:00:00.186641Z app/shop/50dc6c495c0c9188 10.0.0.1:2817 10.0.0.2:80 0.086 0.048 0.037 502 200 0 57 "
        '"GET https://shop.example:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:e "Root=1-58337281" "shop.example"'
    )
    assert not detect([line.encode()] * 10).is_sure
    assert "unparsed" in event("combined", line).extra


INNER = {"ts": "2026-03-01T12:00:01Z", "level": "error", "msg": "not paid", "user": 7}


def docker(log: str, **more: object) -> str:
    return json.dumps({"log": log, "stream": "stderr", "time": "2026-03-01T12:00:00Z", **more})


def journal(message: str) -> str:
    return json.dumps(
        {"MESSAGE": message, "PRIORITY": "6", "__REALTIME_TIMESTAMP": "1772366400000000", "_HOSTNAME": "web-1", "SYSLOG_IDENTIFIER": "app"}
    )


@pytest.mark.parametrize(
    ("log_format", "line", "host", "outer"),
    [
        ("json", docker(json.dumps(INNER) + "\n"), "", {"outer.time": "2026-03-01T12:00:00Z", "stream": "stderr"}),
        ("json", journal(json.dumps(INNER)), "web-1", {"outer.PRIORITY": "6", "outer.__REALTIME_TIMESTAMP": "1772366400000000"}),
        (
            "syslog",
            f"<14>Mar  1 12:00:00 web-1 app: {json.dumps(INNER)}",
            "web-1",
            {"outer.level": "info", "outer.time": "Mar  1 12:00:00", "facility": "user"},
        ),
        ("syslog", f"Mar  1 12:00:00 web-1 app: @cee: {json.dumps(INNER)}", "web-1", {"outer.time": "Mar  1 12:00:00"}),
        (
            "syslog",
            f"<14>1 2026-03-01T12:00:00Z web-1 app - - - {json.dumps(INNER)}",
            "web-1",
            {"outer.level": "info", "outer.time": "2026-03-01T12:00:00Z", "facility": "user"},
        ),
    ],
)
def test_a_json_line_inside_another_line_is_read(log_format: str, line: str, host: str, outer: dict[str, str]) -> None:
    for found in events(log_format, f"{line}\n" * 12):
        assert (found.time, found.level, found.message, found.host) == (NOON + SECOND, "error", "not paid", host)
        assert found.extra == {"user": "7", **outer}


def test_the_time_around_a_line_counts_if_the_line_has_none_that_can_be_read() -> None:
    found = event("json", docker('{"time": "soon", "level": "warn", "msg": "a"}\n'))

    assert (found.time, found.level, found.message) == (NOON, "warning", "a")


@pytest.mark.parametrize("log", ['{"a": 1}\n', '{"level": \n', "{}\n", '["level"]\n', "plain\n"])
def test_what_is_no_event_inside_a_line_stays_its_message(log: str) -> None:
    assert (event("json", docker(log)).message, event("json", docker(log)).time) == (log.rstrip("\n"), NOON)


def test_json_in_the_message_of_a_program_is_its_own_business() -> None:
    line = json.dumps({"time": "2026-03-01T12:00:00Z", "level": "info", "msg": json.dumps(INNER)})

    assert [(found.level, found.message) for found in events("json", f"{line}\n" * 12)] == [("info", json.dumps(INNER))] * 12


def test_a_part_of_a_line_that_docker_has_cut_says_so() -> None:
    first, second = events("json", "\n".join((docker('{"level": "error", "msg": "a long'), docker(' one"}\n'))))

    assert (first.message, first.extra["partial"], "partial" in second.extra) == ('{"level": "error", "msg": "a long', "true", False)
    # A collector may remove all newlines, so a missing one does not mean a cut line.
    assert "partial" not in event("json", docker("whole", kubernetes={"pod": "a"})).extra


def test_the_journal_s_own_lines_are_read() -> None:
    for line in ("2026-03-01T12:00:00+0000 web-1 sshd[7]: no", "Mar 01 12:00:00.000000 web-1 sshd[7]: no"):
        found = event("syslog", line)
        assert (found.time, found.host, found.logger, found.message) == (NOON, "web-1", "sshd", "no")
