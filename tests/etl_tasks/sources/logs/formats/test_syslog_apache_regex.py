"""Apache's error log, syslog, and custom regexes."""

import time
from datetime import UTC, datetime

import pytest

from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.known_formats import format_of
from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import KEY, NOON, event, events, results

ID = f"{KEY}000000000000"
WHOLE = "(?P<time>[^ ]+ [^ ]+) (?P<level>[A-Z]+) (?P<logger>[^ ]+) (?P<message>.*)"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "[Sun Mar 01 12:00:00 2026] [notice] workerEnv.init() ok",
            LogEvent(ID, "shop", NOON, "info", message="workerEnv.init() ok"),
        ),
        (
            "[Sun Mar 01 12:00:00 2026] [error] [client 222.166.160.184] Directory index forbidden",
            LogEvent(ID, "shop", NOON, "error", message="[client 222.166.160.184] Directory index forbidden", extra={"client": "222.166.160.184"}),
        ),
        (
            "[Sun Mar 01 12:00:00.123456 2026] [core:trace3] [pid 35708:tid 4328636416] [client 72.15.99.187:61318] AH00128: gone",
            LogEvent(
                ID,
                "shop",
                NOON.replace(microsecond=123000),
                "debug",
                logger="core",
                message="[client 72.15.99.187:61318] AH00128: gone",
                extra={"pid": "35708", "tid": "4328636416", "client": "72.15.99.187:61318"},
            ),
        ),
    ],
)
def test_it_reads_both_of_apache_s_error_logs(line: str, expected: LogEvent) -> None:
    assert event("apache_error", line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Mar  1 12:00:00 web-1 sshd[24200]: Invalid user webmaster",
            LogEvent(ID, "shop", NOON, "unknown", host="web-1", logger="sshd", message="Invalid user webmaster", extra={"pid": "24200"}),
        ),
        (
            "<34>Mar  1 12:00:00 web-1 su: 'su root' failed for lonvick on /dev/pts/8",
            LogEvent(
                ID,
                "shop",
                NOON,
                "critical",
                host="web-1",
                logger="su",
                message="'su root' failed for lonvick on /dev/pts/8",
                extra={"facility": "auth"},
            ),
        ),
        (
            "Mar  1 12:00:00 web-1 last message repeated 2 times",
            LogEvent(ID, "shop", NOON, "unknown", host="web-1", message="last message repeated 2 times"),
        ),
        (
            "Mar  1 12:00:00 CRON[7]: (root) CMD",
            LogEvent(ID, "shop", NOON, "unknown", logger="CRON", message="(root) CMD", extra={"pid": "7"}),
        ),
        (
            "<13>2026-03-01T13:00:00.123456+01:00 web-1 postfix/smtpd[9]: connect from 10.0.0.1",
            LogEvent(
                ID,
                "shop",
                NOON.replace(microsecond=123000),
                "info",
                host="web-1",
                logger="postfix/smtpd",
                message="connect from 10.0.0.1",
                extra={"pid": "9", "facility": "user"},
            ),
        ),
        (
            '<165>1 2026-03-01T12:00:00.003Z web-1 evntslog 8710 ID47 [ex@32473 iut="3" app="a \\"b\\" \\\\ [c\\]"][x] \ufeffAn event',
            LogEvent(
                ID,
                "shop",
                NOON.replace(microsecond=3000),
                "info",
                host="web-1",
                logger="evntslog",
                message="An event",
                extra={"pid": "8710", "msgid": "ID47", "facility": "local4", "ex@32473.iut": "3", "ex@32473.app": 'a "b" \\ [c]'},
            ),
        ),
        (
            "<34>1 2026-03-01T12:00:00Z - - - - -",
            LogEvent(ID, "shop", NOON, "critical", extra={"facility": "auth"}),
        ),
        (
            "<999>Mar  1 12:00:00 web-1 x: no such priority",
            LogEvent(ID, "shop", NOON, "unknown", host="web-1", logger="x", message="no such priority"),
        ),
    ],
)
def test_it_reads_syslog(line: str, expected: LogEvent) -> None:
    assert event("syslog", line) == expected


def test_a_regex_reads_the_groups_it_names() -> None:
    pattern = r"(?P<ts>[\d-]+ [\d:]+)\|(?P<lvl>\w+)\|(?P<app>\w+)\|.*?\|(?P<msg>.*)"
    found = event("regex", "2026-03-01 12:00:00|WARN|shop|3.5|slow one", pattern=pattern)

    assert (found.time, found.level, found.message, found.extra) == (NOON, "warning", "slow one", {"app": "shop"})


def test_a_regex_without_a_message_keeps_the_line_as_it_is() -> None:
    line = "2026-03-01T12:00:00Z GET /cart 503 12.5 ña"
    found = event("regex", line, pattern=r"(?P<time>\S+) (?P<method>\S+) (?P<path>\S+) (?P<status>\d+) (?P<duration_ms>[\d.]+) .*")

    assert (found.time, found.method, found.path, found.status, found.duration_ms) == (NOON, "GET", "/cart", 503, 12.5)
    assert found.message == line


@pytest.mark.parametrize(
    ("reading", "sentence"),
    [
        (FormatOptions("regex"), "needs a pattern"),
        (FormatOptions("regex", pattern="(?P<message>.*)"), "no group named time"),
        (FormatOptions("regex", pattern="(?P<time>.*"), "is not a regular expression that RE2 reads"),
        (FormatOptions("regex", pattern=r"(?P<time>.)(?=x)\1"), "no look-around and no back-references"),
        (FormatOptions("regex", pattern="(?P<time>a{1001}{1000})"), "is not a regular expression that RE2 reads"),
        (FormatOptions("json", pattern="x"), "has no pattern"),
        (FormatOptions("syslog", fields=(("message", "m"),)), "has no named fields"),
        (FormatOptions("json", fields=(("colour", "c"),)), "no field 'colour'"),
        (FormatOptions("json", time_zone="Mars/Olympus"), "is not an IANA time zone"),
        (FormatOptions("json", time_zone="../../etc/passwd"), "is not an IANA time zone"),
        (FormatOptions("json", time_zone=""), "is not an IANA time zone"),
        (FormatOptions("json", deploy_pattern="("), "the deploy pattern '(' is not a regular expression"),
        (
            FormatOptions("json", deploy_pattern="to (?P<env>x)"),
            "the deploy pattern 'to (?P<env>x)' has a group 'env': its groups are sha, environment, state",
        ),
        (FormatOptions("xml"), "'xml' is not a format of log lines"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(reading: FormatOptions, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the sentence is compared below)
        format_of(reading)
    assert sentence in str(refused.value)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", [r"(?P<time>(a+)+)$", r"(?P<time>(a|aa)+)b", r"(?P<time>(.*)*)(.*)*=(.*)*b", r"(?P<time>\s*\s*\s*\s*)x"])
@pytest.mark.parametrize("piece", ["a", " ", "=a"])
def test_a_catastrophic_pattern_is_linear(pattern: str, piece: str) -> None:
    spent = []
    for length in (50_000, 200_000):
        began = time.process_time()
        results(FormatOptions("regex", pattern=pattern), (piece * length + "!").encode())
        spent.append(time.process_time() - began)

    # The second text is four times as long. Quadratic matching would take 16 times as long.
    assert spent[1] < 10 * spent[0] + 0.5


@pytest.mark.timeout(60)
@pytest.mark.parametrize("log_format", ["apache_error", "syslog", "python", "log4j", "logfmt"])
@pytest.mark.parametrize(
    "beginning",
    [
        "",
        "[Sun Mar 01 12:00:00 2026] [error] ",
        "Mar  1 12:00:00 web-1 ",
        "<34>1 2026-03-01T12:00:00Z a b c d ",
        "2026-03-01 12:00:00,123 INFO ",
        "2026-03-01 12:00:00,123 ",
    ],
)
@pytest.mark.parametrize("piece", [" ", "[", ']"', "a=", '[a b="c"]', "[a", ": ", " - ", '\\"', "[x] ", "-- 1.1[1]:"])
def test_a_hostile_line_costs_no_more_than_its_length(log_format: str, beginning: str, piece: str) -> None:
    began = time.process_time()
    results(FormatOptions(log_format), (beginning + piece * (400_000 // len(piece)) + "\x01").encode())

    assert time.process_time() - began < 3


def test_what_is_indented_goes_on_in_syslog_and_apache_s_error_log() -> None:
    body = "Mar  1 12:00:00 web-1 app[1]: failed\n\tat shop.Cart\n  caused by: x\n\nMar  1 12:00:01 web-1 app[1]: next\n"

    assert [found.message for found in events("syslog", body)] == ["failed\n\tat shop.Cart\n  caused by: x", "next"]


def test_a_year_of_two_digits_and_a_year_alone_are_read() -> None:
    assert event("regex", "260301 120000 x", pattern=r"(?P<time>\d+ \d+) .*").time == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_whole_lines_are_matched() -> None:
    first, *others = results(
        FormatOptions("regex", pattern=WHOLE), b"2026-03-01 12:00:00 INFO a b\nnot the beginning\n2026-03-01 12:00:00 INFO a c\n"
    )

    assert [found.fact.message for found in (first, *others)] == ["b\nnot the beginning", "c"]


def test_a_time_alone_is_an_event_of_syslog() -> None:
    for line in ("Mar  1 12:00:00", "<14>Mar  1 12:00:00.000000 "):
        assert (event("syslog", line).time, event("syslog", line).message) == (NOON, "")
