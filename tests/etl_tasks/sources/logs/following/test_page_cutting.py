"""A chunk holds events that begin in the same segment (a mebibyte of the file), and no event that may still be incomplete."""

import os
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_tasks.sources.logs.following.follow import Chunk, chunks
from etl_tasks.sources.logs.following.page_cutting import MAX_CONTINUATION_BYTES, MAX_LINE_BYTES
from log_store.event import SEGMENT_BYTES
from tests.etl_tasks.sources.logs.following.follower import Follower, append, settle


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def begins(line: bytes) -> bool:
    return line.startswith(b"event")


def read(log: Path, **how) -> list[Chunk]:
    return [chunk for chunk in chunks(str(log), {}, **how) if isinstance(chunk, Chunk)]


@pytest.mark.parametrize("length", [7, 1000, 1023, 1024, 4096])
def test_chunks_hold_the_lines_that_begin_in_one_segment(log, length):
    log.write_bytes((b"x" * (length - 1) + b"\n") * (3 * SEGMENT_BYTES // length + 5))

    found = read(log)

    assert b"".join(chunk.body for chunk in found) == log.read_bytes()
    assert [chunk.start for chunk in found] == [0] + [-(-number * SEGMENT_BYTES // length) * length for number in range(1, len(found))]
    assert [chunk.start for chunk in found[1:]] == [chunk.position["offset"] for chunk in found[:-1]]


def test_lines_that_go_on_an_event_stay_with_it_over_the_end_of_a_segment(log):
    traceback = b"event with a traceback\n" + b"  at line\n" * 20_000
    log.write_bytes(b"event\n" * ((SEGMENT_BYTES - 100_000) // 6) + traceback + b"event behind\n" * 3)
    settle(log)

    first, second = read(log, begins=begins)

    assert first.body.endswith(traceback)
    assert second.body == b"event behind\n" * 3


def test_an_event_of_very_many_lines_is_cut(log):
    log.write_bytes(b"event\n" + b"  goes on\n" * 400_000 + b"event\n")
    settle(log)

    found = read(log, begins=begins)

    assert b"".join(chunk.body for chunk in found) == log.read_bytes()
    assert max(len(chunk.body) for chunk in found) < SEGMENT_BYTES + MAX_CONTINUATION_BYTES + 20


def test_the_last_event_of_several_lines_waits_while_the_file_is_written(log):
    follower = Follower(log, begins)
    append(log, "event 1\n  more\nevent 2\n  more\n")
    first = follower.new_lines()
    append(log, "  and more\n")
    second = follower.new_lines()
    settle(log)
    third = follower.new_lines()
    append(log, "event 3\n")

    assert (first, second, third) == (["event 1", "  more"], [], ["event 2", "  more", "  and more"])
    assert follower.new_lines() == []


def test_where_a_line_is_an_event_none_waits(log):
    append(log, "event 1\n  more\n")

    assert Follower(log).new_lines() == ["event 1", "  more"]


def test_a_last_line_without_its_end_waits_also_in_a_file_that_nobody_writes_to(log):
    append(log, "event 1\nevent 2")
    settle(log)

    assert Follower(log, begins).new_lines() == ["event 1"]


@pytest.mark.parametrize("before", [b"", b"event\n", b"event\n" * 100_000])
@pytest.mark.parametrize("how", [{}, {"begins": begins}])
def test_a_line_that_is_too_long_is_cut_and_says_by_how_much(log, before, how):
    log.write_bytes(before + b"event" + b"x" * (3 * MAX_LINE_BYTES) + b"\n" + b"event behind\n")
    settle(log)

    *_, cut, behind = found = read(log, **how)

    assert cut.body.endswith(b"x")
    assert len(cut.body) == len(before) + MAX_LINE_BYTES - cut.start
    assert cut.cut_bytes == 5 + 2 * MAX_LINE_BYTES
    assert (behind.body, behind.start, behind.cut_bytes) == (b"event behind\n", log.stat().st_size - 13, 0)
    assert len(found) == 2


def test_a_line_as_long_as_may_be_is_whole(log):
    log.write_bytes(b"event\n" + b"y" * MAX_LINE_BYTES + b"\nevent\n")

    assert [(len(chunk.body), chunk.cut_bytes) for chunk in read(log)] == [(6 + MAX_LINE_BYTES + 1, 0), (6, 0)]


def test_a_far_too_long_line_that_goes_on_an_event_is_the_last_of_its_chunk(log):
    log.write_bytes(b"event\n" + b" " * (5 * MAX_LINE_BYTES) + b"\n  more\nevent\n")
    settle(log)

    assert [(len(chunk.body), chunk.cut_bytes) for chunk in read(log, begins=begins)] == [(6 + MAX_LINE_BYTES, 4 * MAX_LINE_BYTES), (13, 0)]


def test_a_far_too_long_line_without_its_end_waits_and_what_is_before_it_does_not(log):
    follower = Follower(log)
    append(log, "one\n" + "x" * (3 * MAX_LINE_BYTES))
    first, nothing = follower.new_lines(), follower.new_lines()
    append(log, "y\nbehind\n")
    cut, behind = follower.new_lines()

    assert (first, nothing, len(cut), behind) == (["one"], [], MAX_LINE_BYTES, "behind")


def test_a_hole_of_zeros_is_skipped_and_the_line_behind_it_is_not_cut(log):
    with log.open("wb") as file:
        file.seek(40 * SEGMENT_BYTES + 100)
        file.write(b"behind\nmore\n")

    (chunk,) = read(log)

    assert chunk.start == 40 * SEGMENT_BYTES
    assert chunk.body == b"\0" * 100 + b"behind\nmore\n"


def test_bytes_stay_as_they_are(log):
    odd = b"\0\0nul\0\r\n\r\n\n\xff\xfe not UTF-8 \xc3\r\nlast\n"
    log.write_bytes(odd)

    assert [chunk.body for chunk in read(log)] == [odd]


@pytest.mark.parametrize("size", [0, 100, SEGMENT_BYTES - 100, 2 * SEGMENT_BYTES])
def test_marks_are_the_same_however_the_file_was_read(log, size):
    follower = Follower(log)
    log.write_bytes(b"12345678\n" * (size // 9))
    follower.new_lines()
    with log.open("ab") as file:
        file.write(b"z" * 2 * SEGMENT_BYTES + b"\n" + b"12345678\n" * 20_000)
    follower.new_lines()

    assert [position["marks"] for position in follower.positions.values()] == [read(log)[-1].position["marks"]]


SIZES = [0, 1, 7, 100, 5000, 300_000, SEGMENT_BYTES - 6, SEGMENT_BYTES, SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES + 7]


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.tuples(st.booleans(), st.sampled_from(SIZES)), max_size=12), has_end=st.booleans(), is_packed=st.booleans())
def test_whatever_the_lines_are_nothing_is_lost_and_no_chunk_has_events_of_two_segments(lines, has_end, is_packed):
    content = b"\n".join((b"event" if is_event else b" ") + b"x" * size for is_event, size in lines) + b"\n" * has_end
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "app.log"
        log.write_bytes(zstandard.compress(content) if is_packed else content)
        settle(log)
        found = [chunk for chunk in read(log, begins=begins) if chunk.body]

    end = len(content) if is_packed else content.rfind(b"\n") + 1
    assert [chunk.start for chunk in found] + [end] * bool(found) == [0] * bool(end) + [chunk.position["offset"] for chunk in found]
    for chunk in found:
        whole = content[chunk.start : chunk.position["offset"]]
        assert whole.startswith(chunk.body)
        assert len(whole) - len(chunk.body) in (chunk.cut_bytes, chunk.cut_bytes + 1)
        assert bool(chunk.cut_bytes) == (max(map(len, whole.split(b"\n"))) > MAX_LINE_BYTES)
        starts = [0, *(match.start() + 1 for match in re.finditer(b"\nevent", chunk.body))]
        assert len({(chunk.start + start) // SEGMENT_BYTES for start in starts}) == 1
    for former, chunk in pairwise(found):
        is_cut_off = former.cut_bytes or len(former.body) > MAX_CONTINUATION_BYTES
        assert chunk.body.startswith(b"event") or is_cut_off


MEASURE = """
import resource, sys
from etl_tasks.sources.logs.following.follow import chunks
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = sum(len(chunk.body) for chunk in chunks(sys.argv[1], {}) if hasattr(chunk, "body"))
print(found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_memory_stays_flat_over_a_line_of_50_megabytes(log, ending):
    with log.open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 1_000_000)
        file.write(ending)

    found, grown_kib = map(
        int, subprocess.run([sys.executable, "-c", MEASURE, str(log)], check=True, capture_output=True, cwd=os.getcwd()).stdout.split()
    )

    assert found == (MAX_LINE_BYTES if ending else 0)
    assert grown_kib < 12_000
