"""Lines that Python's logging and log4j wrote with a layout are read back with the same layout."""

import logging
import sys
import time

import pytest

from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.known_formats import format_of
from etl_tasks.sources.logs.formats.log4j import LOG4J_LAYOUTS
from etl_tasks.sources.logs.formats.python_logging import PYTHON_LAYOUTS
from tests.etl_tasks.sources.logs.formats.parsed import NOON, event, events, previous_is, results

MILLISECOND = NOON.replace(microsecond=123000)


def written(pattern: str, style: str = "%", datefmt: str | None = None, level: int = logging.WARNING) -> str:
    """Return a line as Python's logging writes it at noon UTC on 1 March 2026."""
    formatter = logging.Formatter(pattern, datefmt, style)  # type: ignore[arg-type]
    formatter.converter = time.gmtime
    record = logging.LogRecord("shop.cart", level, "/srv/shop/cart.py", 42, "the cart: %s - [slow]", ("x",), None, "add_item")
    record.created, record.msecs = MILLISECOND.timestamp(), 123.0
    return formatter.format(record)


@pytest.mark.parametrize("pattern", PYTHON_LAYOUTS)
def test_every_usual_layout_of_python_is_read_as_itself(pattern: str) -> None:
    line = written(pattern)
    by_itself = event("python", line, where=previous_is(MILLISECOND))
    as_set = event("python", line, where=previous_is(MILLISECOND), pattern=pattern)

    assert by_itself == as_set
    assert (as_set.time, as_set.level, as_set.message) == (MILLISECOND, "warning", "the cart: x - [slow]")
    if "(name)" in pattern:
        assert as_set.logger == "shop.cart"


@pytest.mark.parametrize(
    ("pattern", "style", "datefmt", "extra"),
    [
        ("%(asctime)s.%(msecs)03d|%(levelname)-8s|%(threadName)s|%(name)s|%(message)s", "%", "%Y-%m-%d %H:%M:%S", {"thread": "MainThread"}),
        ("%(levelname)8s %(asctime)s %(message)s", "%", None, {}),
        ("%(created)f %(levelname)s %(name)20s %(message)s", "%", None, {}),
        ("%(asctime)s %(levelname)s %(message)s (%(filename)s:%(lineno)d)", "%", None, {"filename": "cart.py", "line": "42"}),
        ("{asctime} {levelname:<10} {name:>20}: {message}", "{", None, {}),
        ("{asctime} [{levelname:^9}] {{x}} {lineno:6d} {message}", "{", None, {"line": "42"}),
        ("{asctime} {levelname:8} {name:<20}|{message}", "{", None, {}),
        ("100%% %(asctime)s %(levelname)s %(message)s", "%", None, {}),
        ("%(asctime)s %(levelno)s %(message)s", "%", None, {}),
    ],
)
def test_a_layout_of_the_user_s_own_is_read(pattern: str, style: str, datefmt: str | None, extra: dict[str, str]) -> None:
    found = event("python", written(pattern, style, datefmt), pattern=pattern)

    assert (found.time, found.level, found.message) == (MILLISECOND, "warning", "the cart: x - [slow]")
    assert found.extra == extra
    if "name}" in pattern.replace("levelname}", ""):
        assert found.logger == "shop.cart"


def test_the_default_of_python_has_no_time_and_needs_none() -> None:
    (found,) = events("python", "ERROR:shop:it failed\nValueError: x", where=previous_is(NOON))

    assert (found.time, found.level, found.logger, found.message) == (NOON, "error", "shop", "it failed\nValueError: x")
    assert found.extra == {"time_is": "inferred"}


def test_a_level_of_one_s_own_is_kept_beside_the_event() -> None:
    logging.addLevelName(25, "AUDIT")
    found = event("python", written("%(asctime)s %(levelname)s %(message)s", level=25), pattern="%(asctime)s %(levelname)s %(message)s")

    assert (found.level, found.extra) == ("unknown", {"level": "AUDIT"})


def traceback_of_a_chain() -> str:
    formatter = logging.Formatter()
    try:
        try:
            raise KeyError("invoice")
        except KeyError as exc:
            raise ValueError("no such\n\ninvoice") from exc
    except ValueError:
        return formatter.formatException(sys.exc_info())  # type: ignore[arg-type]


def test_a_traceback_with_its_cause_is_part_of_its_event() -> None:
    trace = traceback_of_a_chain()
    assert "direct cause" in trace
    body = f"2026-03-01 12:00:00,123 ERROR shop.cart: failed\n{trace}\n2026-03-01 12:00:01,000 INFO shop.cart: next\n"
    first, second = events("python", body)

    assert (first.level, first.message) == ("error", f"failed\n{trace}")
    assert (second.level, second.message) == ("info", "next")


JAVA_TRACE = """java.lang.IllegalStateException: no cart
\tat com.acme.shop.Cart.add(Cart.java:42)
\tat com.acme.shop.Main.main(Main.java:7) ~[shop.jar:1.0]
Caused by: java.sql.SQLException: Deadlock found: try again
\tat com.mysql.Driver.run(Driver.java:9)
\t... 12 more"""


def test_a_stack_trace_with_its_cause_is_part_of_its_event() -> None:
    body = f"2026-03-01 12:00:00,123 [main] ERROR com.acme.shop.Cart - failed\n{JAVA_TRACE}\n\n2026-03-01 12:00:01,000 [main] INFO com.acme - next\n"
    first, second = events("log4j", body)

    assert (first.level, first.logger, first.extra, first.message) == ("error", "com.acme.shop.Cart", {"thread": "main"}, f"failed\n{JAVA_TRACE}")
    assert second.message == "next"


LOG4J_LINES = {
    "%d %5p %pid --- [%t] %-40c : %m%n": "2026-03-01T12:00:00.123Z  WARN 4711 --- [main] c.acme.Cart                              : slow - x: y",
    "%d %-5p [%c] (%t) %m%n": "2026-03-01 12:00:00,123 WARN  [c.acme.Cart] (main) slow - x: y",
    "%d [%t] %-5p %c - %m%n": "2026-03-01 12:00:00,123 [main] WARN  c.acme.Cart - slow - x: y",
    "%d [%t] %-5p %c: %m%n": "2026-03-01 12:00:00,123 [main] WARN  c.acme.Cart: slow - x: y",
    "%d %-5p [%t] %c - %m%n": "2026-03-01 12:00:00,123 WARN  [main] c.acme.Cart - slow - x: y",
    "%d %-5p [%t] %c: %m%n": "2026-03-01 12:00:00,123 WARN  [main] c.acme.Cart: slow - x: y",
    "%d{yyMMdd HHmmss} %pid %p %c: %m%n": "260301 120000 4711 WARN c.acme.Cart: slow - x: y",
    "%d %-5p %c - %m%n": "2026-03-01 12:00:00,123 WARN  c.acme.Cart - slow - x: y",
    "%d %-5p %c: %m%n": "2026-03-01 12:00:00,123 WARN  c.acme.Cart: slow - x: y",
    "%r [%t] %-5p %c - %m%n": "176 [main] WARN  c.acme.Cart - slow - x: y",
    "%r [%t] %-5p %c %x - %m%n": "176 [main] WARN  c.acme.Cart client 7 - slow - x: y",
}


@pytest.mark.parametrize("pattern", LOG4J_LAYOUTS)
def test_every_usual_layout_of_log4j_is_read_as_itself(pattern: str) -> None:
    line = LOG4J_LINES[pattern]
    by_itself = event("log4j", line, where=previous_is(NOON))
    as_set = event("log4j", line, where=previous_is(NOON), pattern=pattern)

    assert by_itself == as_set
    assert as_set.time.replace(microsecond=0) == NOON
    assert (as_set.level, as_set.logger, as_set.message) == ("warning", "c.acme.Cart", "slow - x: y")


@pytest.mark.parametrize(
    ("pattern", "line", "extra"),
    [
        ("%d{dd/MM/yyyy HH:mm:ss.SSS} | %-5level | %logger{36} | %msg%n", "01/03/2026 12:00:00.123 | WARN  | a.Cart | slow", {}),
        ("%d{dd.MMM.yy hh:mm:ss,SSS a} %p %c{1} %m", "01.Mar.26 12:00:00,123 PM WARN a.Cart slow", {}),
        ("%d{ISO8601} %p %c [%X{user}] [%X{traceId:-none}] %m", "2026-03-01T12:00:00,123 WARN a.Cart [ana] [] slow", {"user": "ana"}),
        ("%d{UNIX_MILLIS} %p %c %M:%L %m", "1772366400123 WARN a.Cart add:42 slow", {"function": "add", "line": "42"}),
        ("%d{COMPACT} %p %c{2} %m%ex%n", "20260301120000123 WARN a.Cart slow", {}),
        ("%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %10.20c %m%n%rEx", "2026-03-01T06:00:00.123-06:00 WARN     a.Cart slow", {}),
        ("%d{yyyy DDD HH:mm:ss,SSS} %p %c %m", "2026 060 12:00:00,123 WARN a.Cart slow", {}),
        ("%date %le %c %m%%", "2026-03-01 12:00:00,123 WARN a.Cart slow%", {}),
        ("%d %p %c %m [%F:%L]", "2026-03-01 12:00:00,123 WARN a.Cart slow [Cart.java:42]", {"file": "Cart.java", "line": "42"}),
    ],
)
def test_a_log4j_layout_of_the_user_s_own_is_read(pattern: str, line: str, extra: dict[str, str]) -> None:
    found = event("log4j", line, pattern=pattern)

    assert (found.time, found.level, found.logger, found.message, found.extra) == (MILLISECOND, "warning", "a.Cart", "slow", extra)


def test_a_time_of_day_is_of_the_day_that_the_file_tells() -> None:
    body = "23:59:59,500 INFO a.Cart - late\n00:00:01,000 INFO a.Cart - early\n"
    late, early = events("log4j", body, where=previous_is(NOON))

    assert (early.time - late.time).total_seconds() == 1.5
    assert late.time.date() == NOON.date()
    assert early.extra == {"time_is": "inferred"}
    (alone,) = events("log4j", "23:59:59,500 INFO a.Cart - late")
    assert alone.time.date() == NOON.date()


@pytest.mark.parametrize(
    ("log_format", "pattern", "sentence"),
    [
        ("python", "%(asctime)s %(levelname)s", "has no message"),
        ("python", "plain words", "has no message"),
        ("python", "%(asctime)s %(name)s%(message)s", "nothing between logger and message"),
        ("python", "%(message)s %(message)s", "has a value twice"),
        ("log4j", "%d %p %highlight{%m}", "has %highlight, which is not read here"),
        ("log4j", "%d{yyyy-MM-dd QQ} %m", "which is not read here: use y, M, d"),
        ("log4j", "%d{yyyy yyyy} %m", "each part of a time may occur once"),
        ("log4j", "%d{ISO8601}{UTC} %m", "set it with --time-zone"),
    ],
)
def test_a_layout_that_cannot_work_is_refused_with_a_sentence(log_format: str, pattern: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the sentence is compared below)
        format_of(FormatOptions(log_format, pattern=pattern))
    assert sentence in str(refused.value)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("log_format", "pattern"),
    [
        ("log4j", "%-10c %-10t|%10x %m%n"),
        ("log4j", "%d %c %t %x %X{a} - %m [%F:%L]%n"),
        ("python", "%(a)s %(b)s: %(c)s - %(d)8s | %(message)s"),
        ("python", "{levelname:^10}{{ {name} {message}"),
    ],
)
@pytest.mark.parametrize("piece", [" ", "a ", ": ", "|", " - ", "INFO"])
def test_a_hostile_line_costs_a_layout_no_more_than_its_length(log_format: str, pattern: str, piece: str) -> None:
    began = time.process_time()
    results(FormatOptions(log_format, pattern=pattern), ("2026-03-01 12:00:00 " + piece * (400_000 // len(piece)) + "\x01").encode())

    assert time.process_time() - began < 3
