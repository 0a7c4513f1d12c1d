"""Readers in threads, pages in the caller's: nothing is lost or mixed up, and an error ends all."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github.concurrent_reads import side_by_side


def page(stream: str, number: int) -> Page:
    return Page(stream=stream, url=str(number), body=b"", record_count=0, fetched_at=datetime.now(UTC), cursor={})


def reader(stream: str, count: int, *, seconds: float = 0, error: Exception | None = None) -> Iterator[Page]:
    for number in range(count):
        time.sleep(seconds)
        yield page(stream, number)
    if error:
        raise error


@pytest.mark.parametrize("lanes", [1, 3])
def test_every_page_comes_once_and_each_stream_in_its_order(lanes):
    pages = list(side_by_side([reader("a", 20), reader("b", 3), reader("c", 0), reader("d", 30)], lanes=lanes))

    for stream, count in {"a": 20, "b": 3, "d": 30}.items():
        assert [one.url for one in pages if one.stream == stream] == [str(number) for number in range(count)]


def test_readers_run_at_the_same_time():
    began = time.monotonic()
    list(side_by_side([reader(name, 5, seconds=0.1) for name in "abc"], lanes=3))

    assert time.monotonic() - began < 3 * 0.5


def test_what_was_read_before_an_error_is_given_out():
    pages: list[Page] = []
    with pytest.raises(RetriableError):
        pages.extend(side_by_side([reader("a", 4, error=RetriableError("later")), reader("b", 2)], lanes=2))

    assert sorted((one.stream, one.url) for one in pages if one.stream == "a") == [("a", str(number)) for number in range(4)]


def test_an_error_that_no_waiting_cures_goes_first():
    both_have_begun = threading.Barrier(2)

    def failing(error: Exception, *, seconds: float) -> Iterator[Page]:
        both_have_begun.wait(timeout=10)
        time.sleep(seconds)
        raise error
        yield

    with pytest.raises(FatalError, match="never"):
        list(side_by_side([failing(RetriableError("later"), seconds=0), failing(FatalError("never"), seconds=0.1)], lanes=2))


def test_a_caller_who_leaves_stops_the_readers():
    read = []

    def endless() -> Iterator[Page]:
        for number in range(10_000):
            read.append(number)
            yield page("a", number)

    pages = side_by_side([endless(), endless()], lanes=2)
    next(pages)
    pages.close()  # type: ignore[attr-defined]

    assert len(read) < 100
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stream")]
