"""Readers, one per list on GitHub, run in threads. The caller receives all pages, those of one reader in their order. An error ends all readers."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github.readers import threads
from etl_tasks.sources.github.readers.threads import read_concurrently


def page(stream: str, number: int) -> Page:
    return Page(stream=stream, url=str(number), body=b"", record_count=0, fetched_at=datetime.now(UTC), cursor={})


def reader(stream: str, count: int, *, error: Exception | None = None) -> Iterator[Page]:
    for number in range(count):
        yield page(stream, number)
    if error:
        raise error


@pytest.mark.parametrize("threads", [1, 3])
def test_every_page_comes_once_and_each_stream_in_its_order(threads):
    pages = list(read_concurrently([reader("a", 20), reader("b", 3), reader("c", 0), reader("d", 30)], threads=threads))

    for stream, count in {"a": 20, "b": 3, "d": 30}.items():
        assert [one.url for one in pages if one.stream == stream] == [str(number) for number in range(count)]


def test_readers_run_at_the_same_time():
    all_have_begun = threading.Barrier(3)

    def meeting_the_others(stream: str) -> Iterator[Page]:
        all_have_begun.wait(timeout=10)
        yield page(stream, 0)

    pages = list(read_concurrently([meeting_the_others(name) for name in "abc"], threads=3))

    assert sorted(one.stream for one in pages) == ["a", "b", "c"]


def test_what_was_read_before_an_error_is_given_out():
    pages: list[Page] = []
    with pytest.raises(RetriableError):
        pages.extend(read_concurrently([reader("a", 4, error=RetriableError("later")), reader("b", 2)], threads=2))

    assert sorted((one.stream, one.url) for one in pages if one.stream == "a") == [("a", str(number)) for number in range(4)]


def test_a_page_says_whether_the_next_one_has_been_read_already():
    all_read, slow_may_go_on = threading.Event(), threading.Event()

    def quick() -> Iterator[Page]:
        yield from reader("quick", 3)
        all_read.set()

    def slow() -> Iterator[Page]:
        assert slow_may_go_on.wait(timeout=10)
        yield page("slow", 0)

    pages = read_concurrently([quick(), slow()], threads=2)
    next(pages)
    assert all_read.wait(timeout=10)
    second, third = next(pages), next(pages)
    slow_may_go_on.set()
    found = [(one.stream, one.url, one.is_followed) for one in (second, third, *pages)]

    assert found == [("quick", "1", True), ("quick", "2", False), ("slow", "0", False)]


def test_a_page_waits_a_moment_for_the_next_one(monkeypatch):
    monkeypatch.setattr(threads, "NEXT_PAGE_SECONDS", 10)

    def slow() -> Iterator[Page]:
        yield page("slow", 0)
        time.sleep(0.05)
        yield page("slow", 1)

    pages = read_concurrently([slow(), reader("empty", 0)], threads=2)

    assert [(one.url, one.is_followed) for one in pages] == [("0", True), ("1", False)]


def test_an_error_that_no_waiting_cures_goes_first():
    both_have_begun, first_has_failed = threading.Barrier(2), threading.Event()

    def failing_first() -> Iterator[Page]:
        both_have_begun.wait(timeout=10)
        try:
            raise RetriableError("later")
            yield
        finally:
            first_has_failed.set()

    def failing_second() -> Iterator[Page]:
        both_have_begun.wait(timeout=10)
        assert first_has_failed.wait(timeout=10)
        raise FatalError("never")
        yield

    with pytest.raises(FatalError, match="never"):
        list(read_concurrently([failing_first(), failing_second()], threads=2))


def test_a_caller_who_leaves_stops_the_readers():
    read = []

    def endless() -> Iterator[Page]:
        for number in range(10_000):
            read.append(number)
            yield page("a", number)

    pages = read_concurrently([endless(), endless()], threads=2)
    next(pages)
    pages.close()  # type: ignore[attr-defined]

    assert len(read) < 100
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stream")]
