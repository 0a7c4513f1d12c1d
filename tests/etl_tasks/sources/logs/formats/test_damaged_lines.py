"""Lines with changed first bytes, blanks, letter case or missing parts, in every format.

A line that an editor, logger or shipper has changed is still read as an event with the right fields, or is stored as an event
that says why it was not parsed. It never becomes part of the previous event.
"""

import re
from collections.abc import Callable

import pytest

from etl_tasks.sources.logs.formats.detection import detect
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.log4j import LOG4J_LAYOUTS
from etl_tasks.sources.logs.formats.python_logging import PYTHON_LAYOUTS
from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import NOON, SECOND, event, events, results

TIMES = ("2026-03-01 12:00:00,000", "2026-03-01 12:00:01,000", "2026-03-01 12:00:02,000")


def of_python(layout: str) -> list[str]:
    values = {"name": "shop.cart", "process": 7, "processName": "main", "module": "cart", "thread": 9, "funcName": "add", "lineno": 4}
    return [
        layout % {**values, "asctime": time, "levelname": level, "message": message}
        for time, level, message in zip(TIMES, ("INFO", "ERROR", "INFO"), ("first", "MESSAGE", "third"), strict=True)
    ]


def of_log4j(layout: str) -> list[str]:
    lines = []
    for time, level, message in zip(TIMES, ("INFO", "ERROR", "INFO"), ("first", "MESSAGE", "third"), strict=True):
        text = layout.removesuffix("%n").replace("%d{yyMMdd HHmmss}", time[2:19].replace("-", "").replace(":", "")).replace("%pid", "7")
        text = re.sub(r"%-?\d*d", time, text).replace("%t", "main").replace("%-40c", "a.Cart").replace("%c", "a.Cart").replace("%m", message)
        lines.append(re.sub(r"%-?5?p", level, text))
    return lines


# Three lines per format. The tests change the second one, whose message is MESSAGE.
LINES: dict[str, tuple[FormatOptions, list[str]]] = {
    "json": (
        FormatOptions("json"),
        [
            f'{{"time": "2026-03-01T12:00:0{n}Z", "level": "{level}", "msg": "{text}"}}'
            for n, level, text in [(0, "INFO", "first"), (1, "ERROR", "MESSAGE"), (2, "INFO", "third")]
        ],
    ),
    "combined": (
        FormatOptions("combined"),
        [f'10.0.0.{n} - - [01/Mar/2026:12:00:0{n} +0000] "GET / HTTP/1.1" {500 if n == 1 else 200} 5 "-" "curl"' for n in range(3)],
    ),
    "apache_error": (
        FormatOptions("apache_error"),
        [
            f"[Sun Mar 01 12:00:0{n} 2026] [core:{level}] {text}"
            for n, level, text in [(0, "info", "first"), (1, "error", "MESSAGE"), (2, "info", "third")]
        ],
    ),
    "syslog": (
        FormatOptions("syslog"),
        [f"<{pri}>Mar  1 12:00:0{n} web-1 app[1]: {text}" for n, pri, text in [(0, 14, "first"), (1, 11, "MESSAGE"), (2, 14, "third")]],
    ),
    "syslog with a whole time": (
        FormatOptions("syslog"),
        [f"<{pri}>2026-03-01T12:00:0{n}+00:00 web-1 app[1]: {text}" for n, pri, text in [(0, 14, "first"), (1, 11, "MESSAGE"), (2, 14, "third")]],
    ),
    "syslog 5424": (
        FormatOptions("syslog"),
        [f"<{pri}>1 2026-03-01T12:00:0{n}Z web-1 app 1 - - {text}" for n, pri, text in [(0, 14, "first"), (1, 11, "MESSAGE"), (2, 14, "third")]],
    ),
    "logfmt": (
        FormatOptions("logfmt"),
        [
            f'ts=2026-03-01T12:00:0{n}Z level={level} msg="{text}"'
            for n, level, text in [(0, "INFO", "first"), (1, "ERROR", "MESSAGE"), (2, "INFO", "third")]
        ],
    ),
    "regex": (
        FormatOptions("regex", pattern=r"(?P<time>\S+ \S+) (?P<level>\w+) (?P<message>.*)"),
        [f"{time} {level} {text}" for time, level, text in zip(TIMES, ("INFO", "ERROR", "INFO"), ("first", "MESSAGE", "third"), strict=True)],
    ),
    # Layouts without a date are left out: there, only a level in capitals shows where an event begins, and some changes below alter it.
    **{f"python {layout}": (FormatOptions("python"), of_python(layout)) for layout in PYTHON_LAYOUTS if "asctime" in layout},
    **{f"python set to {layout}": (FormatOptions("python", pattern=layout), of_python(layout)) for layout in PYTHON_LAYOUTS if "asctime" in layout},
    **{f"log4j {layout}": (FormatOptions("log4j"), of_log4j(layout)) for layout in LOG4J_LAYOUTS if "%d" in layout},
    **{f"log4j set to {layout}": (FormatOptions("log4j", pattern=layout), of_log4j(layout)) for layout in LOG4J_LAYOUTS if "%d" in layout},
    "log4j with more behind its message": (
        FormatOptions("log4j", pattern="%d %p %c - %m %X{user}%n"),
        [
            f"{time} {level} a.Cart - {text} ana"
            for time, level, text in zip(TIMES, ("INFO", "ERROR", "INFO"), ("first", "MESSAGE", "third"), strict=True)
        ],
    ),
}

Change = Callable[[str], str]
# Changes that must not change the event.
HARMLESS: dict[str, Change] = {
    "a byte order mark before it": lambda line: f"\ufeff{line}",
    "two byte order marks": lambda line: f"\ufeff\ufeff{line}",
    "blanks at its end": lambda line: f"{line}  \t ",
    "a carriage return at its end": lambda line: f"{line}\r",
    "a blank before it": lambda line: f" {line}",
    "a tab before it": lambda line: f"\t{line}",
    "zeros before it": lambda line: "\0" * 40 + line,
    "colours of a terminal": lambda line: f"\x1b[32m{line}\x1b[0m",
    "its month in capitals": lambda line: line.replace("Mar", "MAR"),
    "its month in small letters": lambda line: line.replace("Mar", "mar"),
    "a day without its blank": lambda line: line.replace("Mar  1", "Mar 1"),
    "a time in small letters": lambda line: re.sub(r"(?<=\d)[TZ](?!\w)|(?<=\d)T(?=\d)", lambda found: found[0].lower(), line),
}
# Changes after which the line is either read or stored with the reason why not.
HARMFUL: dict[str, Change] = {
    "its level in small letters": lambda line: line.replace("ERROR", "error"),
    "its level as a title": lambda line: line.replace("ERROR", "Error").replace("error", "Error"),
    "its level in capitals": lambda line: line.replace("error", "ERROR"),
    "a level that nobody knows": lambda line: line.replace("ERROR", "OOPS").replace("error", "oops"),
    "tabs for blanks": lambda line: line.replace(" ", "\t"),
    "two blanks for one": lambda line: line.replace(" ", "  "),
    "no blank at all": lambda line: line.replace(" ", ""),
    "only its first half": lambda line: line[: len(line) // 2 + 4],
    "a word before its message": lambda line: line.replace("MESSAGE", "[x] MESSAGE"),
}


def read(name: str, change: Change) -> list[LogEvent]:
    reading, (first, second, third) = LINES[name]
    return events(reading.log_format, f"{first}\n{change(second)}\n{third}\n", pattern=reading.pattern)


def as_it_is(event: LogEvent) -> tuple[object, ...]:
    return (event.time, event.level, event.host, event.logger, event.message, event.status, event.extra)


@pytest.mark.parametrize("name", LINES)
def test_the_lines_are_of_their_format(name: str) -> None:
    first, second, third = read(name, lambda line: line)

    assert [found.time for found in (first, second, third)] == [NOON, NOON + SECOND, NOON + 2 * SECOND]
    assert (first.level, second.level, third.level) == ("info", "error", "info")
    assert "MESSAGE" in second.message or name == "combined"


@pytest.mark.parametrize("change", HARMLESS)
@pytest.mark.parametrize("name", LINES)
def test_a_harmless_change_changes_nothing(name: str, change: str) -> None:
    unchanged, changed = read(name, lambda line: line), read(name, HARMLESS[change])

    assert [as_it_is(found) for found in changed] == [as_it_is(found) for found in unchanged]


@pytest.mark.parametrize(
    ("name", "change"),
    # Hadoop's date and time have digits only, so they cannot be recognised without blanks.
    [(name, change) for name in LINES for change in HARMFUL if not ("yyMMdd" in name and change == "no blank at all")],
)
def test_a_changed_line_is_read_or_says_why_not_and_never_goes_on_with_the_one_before(name: str, change: str) -> None:
    unchanged, changed = read(name, lambda line: line), read(name, HARMFUL[change])

    assert [as_it_is(changed[0]), as_it_is(changed[-1])] == [as_it_is(unchanged[0]), as_it_is(unchanged[-1])]
    assert len(changed) == 3
    second = changed[1]
    if "unparsed" in second.extra:
        assert (second.level, second.time) == ("unknown", NOON)
    else:
        assert second.time == NOON + SECOND or "time_is" in second.extra
        assert second.level == "error" or second.level == "unknown"


EMPTY: dict[str, Change] = {
    "a blank left": lambda line: line.replace("MESSAGE", ""),
    "no blank left": lambda line: line.replace("MESSAGE", "").rstrip(),
}


@pytest.mark.parametrize("change", EMPTY)
@pytest.mark.parametrize("name", [name for name in LINES if name not in ("combined", "log4j with more behind its message")])
def test_an_event_without_a_message_is_an_event(name: str, change: str) -> None:
    """Formerly an error with an empty message, and its stack trace, became part of the previous event."""
    first, second, third = read(name, EMPTY[change])

    assert (first.message, second.message, third.message) == ("first", "", "third")
    assert (second.time, second.level) == (NOON + SECOND, "error")
    assert second.logger == read(name, lambda line: line)[1].logger


def test_the_trace_of_an_event_without_a_message_is_its_message() -> None:
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no'
    body = f"{TIMES[0]} - shop - INFO - ok\n{TIMES[1]} - shop - ERROR - \n{trace}\n{TIMES[2]} - shop - INFO - ok2\n"

    for pattern in ("", "%(asctime)s - %(name)s - %(levelname)s - %(message)s"):
        found = events("python", body, pattern=pattern)
        assert [(one.level, one.message) for one in found] == [("info", "ok"), ("error", trace), ("info", "ok2")]


def test_values_that_are_empty_at_the_end_of_a_layout_may_lack_their_blanks() -> None:
    pattern = "%d %p %c %x %m%n"
    body = "2026-03-01 12:00:00,000 INFO a.Cart n7 ok\n2026-03-01 12:00:01,000 ERROR a.Cart\n"

    first, second = events("log4j", body, pattern=pattern)
    assert (first.extra, first.message, second.level, second.logger, second.message) == ({"ndc": "n7"}, "ok", "error", "a.Cart", "")
    second = events("log4j", "2026-03-01 12:00:00,000 ERROR a.Cart - paid\n", pattern="%d %p %c - %m (%F) %X{user}%n")[0]
    assert "unparsed" in second.extra
    second = events("log4j", "2026-03-01 12:00:00,000 ERROR a.Cart - paid (x)\n", pattern="%d %p %c - %m (%F) %X{user}%n")[0]
    assert (second.message, second.extra) == ("paid", {"file": "x"})


@pytest.mark.parametrize(
    ("pattern", "line", "message"),
    [
        (r"^(?P<time>\S+) (?P<stream>stdout|stderr) (?P<tag>[FP]) (?P<message>.*)$", "2026-03-01T12:00:00Z stderr F", ""),
        (r"(?P<time>\S+)\t(?P<level>\w+)\t(?P<message>.*)", "2026-03-01T12:00:00Z\terror\t", ""),
        (r"(?P<time>\S+) (?P<level>\w+) (?P<message>.*)", "2026-03-01T12:00:00Z error  x ", " x"),
    ],
)
def test_a_regex_s_last_group_may_be_empty(pattern: str, line: str, message: str) -> None:
    found = event("regex", line, pattern=pattern)

    assert (found.time, found.message) == (NOON, message)


def test_a_word_is_no_time_whatever_a_regex_takes_for_one() -> None:
    body = (
        "2026-03-01 12:00:00 ERROR failed\nTraceback (most recent call last):\nValueError: no cart 7\nCaused by: java.io.IOException at Cart\n"
        "2026-03-01 12:00:01 INFO next\n"
    )
    first, second = events("regex", body, pattern=r"(?P<time>\S+ \S+) (?P<level>\w+) (?P<message>.*)")

    assert (first.level, first.message.count("\n"), second.message) == ("error", 3, "next")


def test_lines_of_a_trace_that_look_a_little_like_an_event_go_on() -> None:
    trace = "\n".join(
        (
            "error: could not connect",
            "  at 12:00:00 it was there",
            "\tlevel=info n=7",
            "Error in module cart: x",
            "12:00:00 tick",
            "fine - so far",
            "2026 was a good year",
            "     10.0.0.1",
        )
    )
    for name, reading in {
        "python": FormatOptions("python"),
        "log4j": FormatOptions("log4j"),
        "set": FormatOptions("python", pattern="%(asctime)s %(levelname)s %(message)s"),
    }.items():
        found = events(reading.log_format, f"2026-03-01 12:00:00,123 ERROR a.b: failed\n{trace}\n", pattern=reading.pattern)
        assert len(found) == 1, name


def test_a_sentence_is_not_cut_into_a_level_and_a_message() -> None:
    for line in ("2026-03-01 12:00:00 default settings loaded", "2026-03-01 12:00:00 alert fired", "2026-03-01 12:00:00 config: read again"):
        assert "unparsed" in event("python", line).extra


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("2026-03-01 12:00:00 [info     ] sent                           user=ana", "info", "sent                           user=ana"),
        ("2026/03/01 12:00:00 [error] 12#12: *1 open() failed, client: ::1", "error", "*1 open() failed, client: ::1"),
    ],
)
def test_levels_in_small_letters_between_brackets_are_read(line: str, level: str, message: str) -> None:
    found = event("python", line)

    assert (found.time, found.level, found.message) == (NOON, level, message)
    assert detect([line.encode()] * 10).is_sure


def test_a_byte_order_mark_counts_for_the_offsets_of_events_only() -> None:
    body = "\ufeff{}\n\ufeff{}\n\ufeff\n".format(*(f'{{"time":"2026-03-01T12:00:00Z","level":"error","msg":"{n}é"}}' for n in range(2)))
    first, second = results(FormatOptions("json"), body.encode())

    assert (first.fact.message, second.fact.message, first.fact.level) == ("0é", "1é", "error")
    assert int(first.fact.event_id[16:], 16) == 0
    assert int(second.fact.event_id[16:], 16) == len(body.split("\n")[0].encode()) + 1
