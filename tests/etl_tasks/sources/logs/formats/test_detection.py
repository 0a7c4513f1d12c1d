"""Detect the format of log lines, and compute the share of the lines that this format can read."""

from pathlib import Path

import pytest
from django.conf import settings

from etl_tasks.sources.logs.formats.detection import detect
from tests.etl_tasks.sources.logs.formats.test_combined import LINE as COMBINED
from tests.etl_tasks.sources.logs.formats.test_layouts import JAVA_TRACE, LOG4J_LINES, PYTHON_LAYOUTS, traceback_of_a_chain, written

RECORDED = Path(settings.BASE_DIR).parent / "shared" / "data" / "logs"


@pytest.mark.parametrize(
    ("line", "log_format"),
    [
        ('{"time": "2026-03-01T12:00:00Z", "msg": "a"}', "json"),
        ('{"msg": "a"}', "json"),
        (COMBINED.decode(), "combined"),
        ("[Sun Mar 01 12:00:00 2026] [notice] workerEnv.init() ok", "apache_error"),
        ("Mar  1 12:00:00 web-1 sshd[24200]: Invalid user", "syslog"),
        ("<34>1 2026-03-01T12:00:00Z web-1 su - ID47 - failed", "syslog"),
        ("2026-03-01T12:00:00.123456+01:00 web-1 su: failed", "syslog"),
        ("ts=2026-03-01T12:00:00Z level=info msg=hi", "logfmt"),
    ],
)
def test_it_knows_every_format(line: str, log_format: str) -> None:
    guess = detect([line.encode()] * 10 + [b""])

    assert (guess.log_format, guess.pattern, guess.read, guess.total, guess.is_sure) == (log_format, "", 10, 10, True)


@pytest.mark.parametrize("layout", PYTHON_LAYOUTS)
def test_it_knows_the_usual_layouts_of_python(layout: str) -> None:
    guess = detect([written(layout).encode()] * 10)

    assert (guess.log_format, guess.pattern, guess.is_sure) == ("python", layout, True)


@pytest.mark.parametrize(
    ("layout", "line"),
    # One layout is left out: a Python program may write it too, and both formats read the same events from it.
    [(layout, line) for layout, line in LOG4J_LINES.items() if layout != "%d %-5p %c: %m%n"],
)
def test_it_knows_the_usual_layouts_of_log4j(layout: str, line: str) -> None:
    guess = detect([line.encode()] * 10)

    assert (guess.log_format, guess.pattern, guess.is_sure) == ("log4j", layout, True)


def test_it_knows_a_layout_with_a_time_of_day() -> None:
    guess = detect([b"12:00:00,123 [main] INFO  a.Cart - slow"] * 10)

    assert (guess.log_format, guess.pattern, guess.is_sure) == ("log4j", "%d [%t] %-5p %c - %m%n", True)


@pytest.mark.parametrize(
    ("first", "trace", "log_format"),
    [
        ("2026-03-01 12:00:00,123 ERROR shop.cart: failed", traceback_of_a_chain(), "python"),
        ("2026-03-01 12:00:00,123 [main] ERROR a.Cart - failed", JAVA_TRACE, "log4j"),
    ],
)
def test_the_lines_of_a_trace_speak_for_their_event(first: str, trace: str, log_format: str) -> None:
    guess = detect(f"{first}\n{trace}\n".encode().split(b"\n") * 5)

    assert (guess.log_format, guess.read, guess.is_sure) == (log_format, guess.total, True)


@pytest.mark.parametrize(
    ("first", "trace", "log_format"),
    [
        ("2026-03-01 12:00:00,123 - shop.cart - ERROR -", traceback_of_a_chain(), "python"),
        ("2026-03-01 12:00:00,123 [main] ERROR a.Cart - ", JAVA_TRACE, "log4j"),
    ],
)
def test_the_lines_of_a_trace_speak_for_an_event_without_a_message_too(first: str, trace: str, log_format: str) -> None:
    guess = detect(f"{first}\n{trace}\n{first} ok\n".encode().split(b"\n") * 5)

    assert (guess.log_format, guess.read, guess.is_sure) == (log_format, guess.total, True)


def test_foreign_lines_do_not_speak_for_the_event_before_them() -> None:
    guess = detect([b"2026-03-01 12:00:00,123 ERROR shop.cart: failed"] * 7 + [b"some words"] * 3)

    assert (guess.log_format, guess.read, guess.total, guess.is_sure) == ("python", 7, 10, False)


@pytest.mark.parametrize(
    "lines", [[], [b"", b"\0"], [b"just words"], [b"a=b"], [b"\xff\xfe"], [b"the price = 3, or so"], [b"2026-03-01 12:00:00 | ERROR | gone"]]
)
def test_what_is_no_log_is_not_guessed(lines: list[bytes]) -> None:
    assert not detect(lines).is_sure


def test_two_formats_that_read_as_much_and_otherwise_are_a_tie() -> None:
    guess = detect([b'{"time": "2026-03-01T12:00:00Z"}', b"Mar  1 12:00:00 web-1 sshd[24200]: Invalid user"])

    assert (guess.share, guess.is_tie, guess.is_sure) == (0.5, True, False)
    assert {guess.log_format, guess.runner_up} == {"json", "syslog"}


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded logs are not here")
@pytest.mark.parametrize(
    ("name", "log_format"),
    [
        ("Apache_2k.log", "apache_error"),
        ("HDFS_2k.log", "log4j"),
        ("Linux_2k.log", "syslog"),
        ("OpenSSH_2k.log", "syslog"),
        ("apache_access_combined.log", "combined"),
    ],
)
def test_it_knows_real_logs(name: str, log_format: str) -> None:
    guess = detect((RECORDED / name).read_bytes().split(b"\n")[:200])

    assert (guess.log_format, guess.read, guess.is_sure) == (log_format, 200, True)
