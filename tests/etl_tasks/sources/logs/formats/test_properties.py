"""Property tests over random events and bytes, in every format."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.formats.detection import detect
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.known_formats import format_of
from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import KEY, WRITTEN_AT, origin

READINGS = {
    "json": FormatOptions("json"),
    "combined": FormatOptions("combined"),
    "apache_error": FormatOptions("apache_error"),
    "syslog": FormatOptions("syslog", time_zone="Europe/Madrid"),
    "python": FormatOptions("python", time_zone="America/New_York"),
    "python layout": FormatOptions("python", pattern="{asctime} {levelname:<8} {name}: {message}"),
    "logfmt": FormatOptions("logfmt", deploy_pattern="deployed (?P<sha>[0-9a-f]+)"),
    "log4j": FormatOptions("log4j"),
    "log4j layout": FormatOptions("log4j", pattern="%d{dd.MM.yyyy HH:mm:ss,SSS} [%t] %-5p %c - %m (%F:%L)%n"),
    "regex": FormatOptions("regex", pattern=r"(?P<time>\S+) (?P<level>\w+) (?P<message>.*)"),
}
EXAMPLES = settings(max_examples=60, deadline=None)

# Pieces of real log lines, because random bytes hardly ever look like a log line.
PIECES = st.sampled_from(
    [
        *(b"\n", b" ", b"\t", b"\r\n", b"\0", b"\xff", b"\xc3", b'"', b"[", b"]", b"{", b"}", b"\\", b"=", b": ", b" - ", b"<34>1 ", b"<34>"),
        *(
            b"Mar  1 12:00:00 ",
            b"Feb 30 25:61:61 ",
            b"2026-03-01 12:00:00,123 ",
            b"2026-10-25 02:30:00 ",
            b"2026-03-01T12:00:00Z ",
            b"0001-01-01T00:00:00+05:00 ",
        ),
        *(b"[01/Mar/2026:12:00:00 +0000] ", b"Sun Mar 01 12:00:00 2026", b"12:00:00,123 ", b"260301 120000 ", b"INFO ", b"web-1 app[1]: ", b"a=b "),
        *(
            b'{"time": ',
            b'"2026-03-01"}',
            b'{"ts": 1772366400, "msg": "x"}',
            b'::1 - - [01/Mar/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 5',
            b"31/Dec/9999:23:59:59 -2359",
        ),
    ]
)
BODIES = st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=40).map(b"".join)


@pytest.mark.parametrize("name", READINGS)
@EXAMPLES
@given(body=BODIES, is_strict=st.booleans(), cut_bytes=st.integers(0, 1))
def test_no_bytes_make_a_format_raise_and_it_counts_what_it_reads(name: str, body: bytes, is_strict: bool, cut_bytes: int) -> None:
    reading = READINGS[name]
    form = format_of(FormatOptions(**{key: getattr(reading, key) for key in FormatOptions.__struct_fields__} | {"is_strict": is_strict}))
    for line in body.split(b"\n"):
        form.begins(line)
    found = list(form.read(body, origin(cut_bytes=cut_bytes)))

    assert form.count(body) == len(found)
    assert all(isinstance(one, Good) or is_strict for one in found)
    ids = [one.key if isinstance(one, Bad) else one.fact.event_id for one in found]
    assert ids == sorted(set(ids))
    for one in found:
        if isinstance(one, Good):
            assert_storable(one.fact)


def assert_storable(event: LogEvent) -> None:
    assert event.time.tzinfo is UTC
    assert 1970 <= event.time.year <= 2999
    assert event.time.microsecond % 1000 == 0
    assert event.level in ("debug", "info", "warning", "error", "critical", "unknown")
    for text in (event.host, event.logger, event.message, event.path, *event.extra, *event.extra.values()):
        assert "\0" not in text
        text.encode()


@EXAMPLES
@given(body=BODIES)
def test_no_bytes_make_the_guess_raise(body: bytes) -> None:
    assert detect(body.split(b"\n")).share <= 1


# --- parse(render(event)) == event ------------------------------------------------------------------------------------

TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 1)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
SECONDS = TIMES.map(lambda moment: moment.replace(microsecond=0))
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_.]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), include_characters=" "), min_size=1, max_size=60).filter(
    lambda text: text == text.strip()
)
LEVELS = st.sampled_from(("debug", "info", "warning", "error", "critical"))
LOG4J_LEVELS = {"debug": "DEBUG", "info": "INFO", "warning": "WARN", "error": "ERROR", "critical": "FATAL"}
SEVERITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
APACHE_LEVELS = {"debug": "debug", "info": "notice", "warning": "warn", "error": "error", "critical": "crit"}

Rendered = Callable[[LogEvent], str]


def of(**fields: Any) -> st.SearchStrategy[LogEvent]:
    constant = {"event_id": st.just(f"{KEY}000000000000"), "source": st.just("shop")}
    return st.builds(LogEvent, **{**constant, **fields})


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def as_json(event: LogEvent) -> str:
    fields = {name: getattr(event, name) for name in LogEvent.__struct_fields__[3:-1]}
    return json.dumps({"time": event.time.isoformat(), **fields, **event.extra}, ensure_ascii=False)


def as_logfmt(event: LogEvent) -> str:
    pairs = {"ts": event.time.isoformat(), "level": event.level, "logger": event.logger, "host": event.host, "msg": event.message, **event.extra}
    return " ".join(f"{key}={quoted(value)}" for key, value in pairs.items())


def as_combined(event: LogEvent) -> str:
    when = event.time.strftime("%d/%b/%Y:%H:%M:%S +0000")
    size, referrer, user_agent = (event.extra[name].replace("\\", "\\\\").replace('"', '\\"') for name in ("size", "referrer", "user_agent"))
    return f'{event.host} - - [{when}] "{event.message}" {event.status} {size} "{referrer}" "{user_agent}"'


def as_syslog(event: LogEvent) -> str:
    when = f"{event.time:%b} {event.time.day:2} {event.time:%H:%M:%S}"
    return f"<{8 + SEVERITIES[event.level]}>{when} {event.host} {event.logger}[{event.extra['pid']}]: {event.message}"


def as_new_syslog(event: LogEvent) -> str:
    value = "".join(f"\\{letter}" if letter in '"\\]' else letter for letter in event.extra["ex@1.a"])
    head = f"<{8 + SEVERITIES[event.level]}>1 {event.time.isoformat()} {event.host} {event.logger} {event.extra['pid']} -"
    return f'{head} [ex@1 a="{value}"] {event.message}'


def as_python(event: LogEvent) -> str:
    return f"{event.time:%Y-%m-%d %H:%M:%S},{event.time.microsecond // 1000:03} {event.level.upper()} {event.logger}: {event.message}"


def as_log4j(event: LogEvent) -> str:
    when = f"{event.time:%d.%m.%Y %H:%M:%S},{event.time.microsecond // 1000:03}"
    place_in_code = f"({event.extra['file']}:{event.extra['line']})"
    return f"{when} [{event.extra['thread']}] {LOG4J_LEVELS[event.level]:5} {event.logger} - {event.message} {place_in_code}"


def as_apache(event: LogEvent) -> str:
    when = f"{event.time:%a %b %d %H:%M:%S.%f %Y}"
    return f"[{when}] [{event.logger}:{APACHE_LEVELS[event.level]}] [pid {event.extra['pid']}] {event.message}"


def as_line(event: LogEvent) -> str:
    return f"{event.time.isoformat()} {event.level} {event.message}"


PIDS = st.integers(1, 99999).map(str)
PATHS = st.from_regex(r"/[a-z0-9/_.?=&%-]{0,30}", fullmatch=True)
ACCESS = st.builds(
    lambda method, path, status: {"method": method, "path": path, "status": status}, st.sampled_from(["GET", "POST"]), PATHS, st.integers(100, 399)
)
AGENTS = st.from_regex(r"[A-Za-z0-9/;() .]{1,40}", fullmatch=True).filter(lambda text: text == text.strip())
COMBINED = st.builds(
    lambda time, host, access, size, referrer, agent: LogEvent(
        f"{KEY}000000000000", "shop", time, "info", host=host, message=f"{access['method']} {access['path']} HTTP/1.1", **access,
        extra={"size": str(size), "referrer": referrer, "user_agent": agent},
    ),
    SECONDS, NAMES, ACCESS, st.integers(0, 10**9), PATHS, AGENTS,
)  # fmt: skip
SAFE = TEXTS.filter(lambda text: not text.startswith(("[", " ")))

RENDERED: dict[str, tuple[FormatOptions, st.SearchStrategy[LogEvent], Rendered]] = {
    "json": (
        FormatOptions("json"),
        of(
            time=TIMES, level=LEVELS, service=NAMES, host=NAMES, logger=NAMES, message=TEXTS, method=st.just("GET"), path=PATHS,
            status=st.integers(100, 999), duration_ms=st.floats(0, 1e6), trace_id=NAMES,
            extra=st.dictionaries(st.sampled_from(["user", "cart.id", "a b"]), TEXTS),
        ),
        as_json,
    ),
    "logfmt": (
        FormatOptions("logfmt"),
        of(time=TIMES, level=LEVELS, logger=NAMES, host=NAMES, message=TEXTS, extra=st.dictionaries(st.sampled_from(["user", "cart.id"]), TEXTS)),
        as_logfmt,
    ),
    "combined": (FormatOptions("combined"), COMBINED, as_combined),
    "syslog 3164": (
        FormatOptions("syslog"),
        of(time=SECONDS, level=LEVELS, host=NAMES, logger=NAMES, message=TEXTS, extra=st.builds(lambda pid: {"pid": pid, "facility": "user"}, PIDS)),
        as_syslog,
    ),
    "syslog 5424": (
        FormatOptions("syslog"),
        of(
            time=TIMES, level=LEVELS, host=NAMES, logger=NAMES, message=TEXTS,
            extra=st.builds(lambda pid, value: {"pid": pid, "facility": "user", "ex@1.a": value}, PIDS, TEXTS),
        ),
        as_new_syslog,
    ),
    "apache_error": (
        FormatOptions("apache_error"),
        of(time=TIMES, level=LEVELS, logger=st.just("core"), message=SAFE, extra=st.builds(lambda pid: {"pid": pid}, PIDS)),
        as_apache,
    ),
    "python": (FormatOptions("python"), of(time=TIMES, level=LEVELS, logger=NAMES, message=TEXTS), as_python),
    "log4j": (
        READINGS["log4j layout"],
        of(
            time=TIMES, level=LEVELS, logger=NAMES, message=TEXTS,
            extra=st.builds(lambda thread, line: {"thread": thread, "file": "Cart.java", "line": line}, NAMES, PIDS),
        ),
        as_log4j,
    ),
    "regex": (READINGS["regex"], of(time=TIMES, level=LEVELS, message=TEXTS), as_line),
}  # fmt: skip


@pytest.mark.parametrize("name", RENDERED)
@EXAMPLES
@given(data=st.data())
def test_what_is_written_is_read_back(name: str, data: st.DataObject) -> None:
    reading, events, render = RENDERED[name]
    event = data.draw(events)

    assert list(format_of(reading).read(render(event).encode(), origin())) == [Good(event)]


# --- a page in two parts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RENDERED)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_body_cut_where_an_event_begins_reads_as_one(name: str, data: st.DataObject) -> None:
    reading, events, render = RENDERED[name]
    form = format_of(reading)
    written = [render(event).encode() for event in data.draw(st.lists(events, min_size=2, max_size=5))]
    between = data.draw(st.lists(st.sampled_from([b"", b"  goes on", b"\tat x", b"none", b"{}", b"2026-02-30 12:00:00,000 INFO a: b"]), max_size=6))
    lines = [written[0], *data.draw(st.permutations([*written[1:], *between]))]
    at = data.draw(st.sampled_from([index for index, line in enumerate(lines) if form.begins(line)]))
    before, after = (b"".join(line + b"\n" for line in part) for part in (lines[:at], lines[at:]))

    first = list(form.read(before, origin()))
    last = first[-1].fact.time if first else None
    second = list(form.read(after, origin(start=len(before), previous=lambda: last)))
    assert first + second == list(form.read(before + after, origin()))


@EXAMPLES
@given(
    start=st.datetimes(datetime(2026, 10, 24, 22), datetime(2026, 10, 25, 2)),
    steps=st.lists(st.integers(1, 1800), min_size=1, max_size=12),
    at=st.integers(1, 12),
)
def test_two_hours_of_one_name_are_told_apart_over_a_cut(start: datetime, steps: list[int], at: int) -> None:
    """In autumn, two hours have the same local times. After an hour without a line, the two look alike, so steps are at most half an hour."""
    form = format_of(FormatOptions("python", time_zone="Europe/Madrid"))
    moments = [datetime(2026, 10, 24, 21, 59, 59, tzinfo=UTC), start.replace(microsecond=0, tzinfo=UTC)]
    for step in steps:
        moments.append(moments[-1] + timedelta(seconds=step))
    moments = [moments[0], *(moment for moment in moments[1:] if moment > moments[0])]
    lines = [f"{moment.astimezone(ZoneInfo('Europe/Madrid')):%Y-%m-%d %H:%M:%S},000 INFO a: b\n".encode() for moment in moments]
    parts = b"".join(lines[:at]), b"".join(lines[at:])

    where = {"written_at": WRITTEN_AT + timedelta(days=365)}
    first = [found.fact.time for found in form.read(parts[0], origin(**where))]
    second = [found.fact.time for found in form.read(parts[1], origin(**where, previous=lambda: first[-1]))]
    told = [moment for moment in first + second if moment]
    assert told == sorted(told)
    assert [f"{moment:%M:%S}" for moment in told] == [f"{moment:%M:%S}" for moment in moments]
