"""The fast path for JSON lines with the same keys.

For any mixture of lines, it returns the same events as the slow path, which decodes each line to a dictionary.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.formats import json_lines
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.json_fast_path import LineType, line_type_of
from etl_tasks.sources.logs.formats.json_lines import LINES_ALIKE, JsonLines
from tests.etl_tasks.sources.logs.formats.parsed import origin

USUAL = {"time": "2026-03-01T12:00:00Z", "level": "info", "msg": "a call", "host": "pbx-1", "status": 200, "duration_ms": 1.5, "queue": "sales"}
KEYS = (
    *("time", "ts", "level", "PRIORITY", "msg", "message", "MESSAGE", "log", "log.level", "host", "host.name", "path", "method"),
    *("status", "duration_ms", "event.duration", "event", "trace_id", "service", "name", "queue", "cut", "unparsed", ""),
    *('a "word"', "C:\\calls", "a\tb"),
)
VALUES = st.one_of(
    st.sampled_from(
        [
            *("2026-03-01T12:00:00Z", "2026-03-01 12:00:01,5", "2999-01-01T00:00:00Z", "no time", "", "info", "ERROR", "chatty", "30", "a\x00b"),
            *("line\n", "x" * 300, "ü\U0001f600", 1772366400, 1772366400.5, 30, 6, 200, 99, 200.0, 7.25, 2**70, -1, 1e300, True, False, None),
            *([104, 105], {}, {"name": "pbx-2", "level": "warn", "duration": 5_000_000}, [None, {"a": 1}]),
        ]
    ),
    st.text(max_size=5),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
RECORDS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)
CHANGES = st.dictionaries(st.sampled_from([*USUAL, "trace_id"]), VALUES, max_size=2)


def read(body: bytes, *, alike: int, **how: Any) -> tuple[list[Good | Bad], bool]:
    """Return the events and whether the fast path was active at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "LINES_ALIKE", alike)  # 1 switches the fast path on at once, a very large number never
        lines = JsonLines(FormatOptions("json", **how))
        found = list(lines.read(body, origin()))
        return found, lines._expected is not None


def assert_as_dictionaries(records: list[dict[str, Any]], **how: Any) -> None:
    body = b"\n".join(json.dumps(record).encode() for record in records)
    quickly, slowly = read(body, alike=1, **how)[0], read(body, alike=10**9, **how)[0]
    assert list(map(plain, quickly)) == list(map(plain, slowly))


def plain(found: Good | Bad) -> Any:
    return msgspec.structs.asdict(found.fact) if isinstance(found, Good) else (found.index, found.key, found.data, found.error)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(records=st.lists(RECORDS, max_size=8), is_strict=st.booleans())
def test_any_lines_read_as_their_dictionaries(records: list[dict[str, Any]], is_strict: bool) -> None:
    assert_as_dictionaries([one for record in records for one in (record, record)], is_strict=is_strict)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(changes=st.lists(CHANGES, max_size=8))
@example(changes=[{"msg": "a\x00b"}])
@example(changes=[{"host": "x" * 256}])
@example(changes=[{"level": "chatty"}])
@example(changes=[{"time": "no time"}, {}])
@example(changes=[{"status": True}, {"status": 1000}])
@example(changes=[{"queue": {"cut": 1}}])
def test_lines_that_differ_a_little_from_the_shape_read_as_their_dictionaries(changes: list[dict[str, Any]]) -> None:
    assert_as_dictionaries([USUAL, *(one for change in changes for one in (USUAL | change, USUAL))])


def test_a_key_that_comes_twice_in_a_line_reads_as_in_its_dictionary() -> None:
    line = json.dumps(USUAL).encode()
    twice = line[:-1] + b', "msg": "the other"}'
    body = b"\n".join([line] * 3 + [twice] * 3)

    assert list(map(plain, read(body, alike=1)[0])) == list(map(plain, read(body, alike=10**9)[0]))


def test_a_shape_is_expected_after_some_lines_alike_and_no_longer_after_another_one() -> None:
    line, other = json.dumps(USUAL).encode(), json.dumps(USUAL | {"more": 1}).encode()

    assert not read(b"\n".join([line] * (LINES_ALIKE - 1)), alike=LINES_ALIKE)[1]
    assert read(b"\n".join([line] * LINES_ALIKE), alike=LINES_ALIKE)[1]
    assert not read(b"\n".join([*[line] * LINES_ALIKE, other]), alike=LINES_ALIKE)[1]
    assert not read(b"\n".join([line, other] * LINES_ALIKE), alike=LINES_ALIKE)[1]


@pytest.mark.parametrize("key", ['a "word"', "C:\\calls", "a\nb", "a\0b"])
def test_lines_alike_with_a_key_that_json_escapes_read_as_their_dictionaries(key: str) -> None:
    assert_as_dictionaries([USUAL | {key: 1}] * 3)


@pytest.mark.parametrize("odd", [b"no JSON", json.dumps(USUAL | {"host": None}).encode()])
def test_a_shape_is_expected_again_after_an_odd_line_among_those_alike(odd: bytes) -> None:
    line = json.dumps(USUAL).encode()

    assert not read(b"\n".join([*[line] * LINES_ALIKE, odd]), alike=LINES_ALIKE)[1]
    assert read(b"\n".join([*[line] * LINES_ALIKE, odd, *[line] * LINES_ALIKE]), alike=LINES_ALIKE)[1]


def test_a_shape_that_comes_again_is_made_once() -> None:
    line, other = json.dumps(USUAL).encode(), json.dumps(USUAL | {"more": 1}).encode()

    with calls_of(line_type_of) as made:
        read(b"\n".join(([line] * 10 + [other] * 10) * 5), alike=LINES_ALIKE)

    assert len(made) == 2


def test_lines_of_the_shape_are_read_by_it() -> None:
    with calls_of(LineType.event) as taken:
        read(b"\n".join([json.dumps(USUAL).encode()] * 100), alike=LINES_ALIKE)

    assert len(taken) == 100 - LINES_ALIKE


@contextmanager
def calls_of(function: Callable[..., Any]) -> Iterator[list[FrameType]]:
    """Collect the frames of calls to a Python function in this thread."""
    calls: list[FrameType] = []

    def collect(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is function.__code__:
            calls.append(frame)

    sys.setprofile(collect)
    try:
        yield calls
    finally:
        sys.setprofile(None)
