"""Run several readers at once, each in its own thread, and pass their pages one after another to the thread of the run."""

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from etl_tasks.errors import RetriableError
from etl_tasks.sources.adapter import Page

# How many pages may wait to be staged, for each thread. If the worker dies, these pages have to be requested and paid for again.
PAGES_AHEAD = 2
# How long a page waits to be staged together with the next one. Meanwhile the threads read on. A transaction for each page costs more CPU time
# than reading the page.
NEXT_PAGE_SECONDS = 0.1


class _Finished:
    """Put into the queue when a reader has ended."""


def read_concurrently(readers: Sequence[Iterator[Page]], *, threads: int) -> Iterator[Page]:
    """Yield the pages of all readers. The pages of one reader keep their order. `threads`: the most readers that run at once.

    A page that is followed by another one within NEXT_PAGE_SECONDS says so (Page.is_followed). After the first error, no reader starts another
    page. The pages that have been read are yielded, then the error is raised. If several readers have failed, an error that is not retriable
    takes precedence.
    """
    if len(readers) <= 1 or threads == 1:
        for reader in readers:
            yield from reader
        return
    pages: queue.Queue[Page | _Finished | Exception] = queue.Queue(maxsize=threads * PAGES_AHEAD)
    stop_reading, consumer_left = threading.Event(), threading.Event()

    def put(item: Page | _Finished | Exception) -> None:
        is_put = False
        while not is_put and not consumer_left.is_set():
            with suppress(queue.Full):
                pages.put(item, timeout=0.1)
                is_put = True

    def read(reader: Iterator[Page]) -> None:
        try:
            while not stop_reading.is_set() and (page := next(reader, None)) is not None:
                put(page)
        except Exception as exc:  # noqa: BLE001  raised again in the thread of the run
            stop_reading.set()
            put(exc)
        finally:
            put(_Finished())

    failures: list[Exception] = []
    unfinished = len(readers)

    def next_page(*, timeout: float | None = None) -> Page | None:
        """Return the next page; None after the last one, or if none has been read within `timeout` seconds."""
        nonlocal unfinished
        while unfinished:
            try:
                item = pages.get(timeout=timeout)
            except queue.Empty:
                return None
            match item:
                case _Finished():
                    unfinished -= 1
                case Page() as page:
                    return page
                case failure:
                    failures.append(failure)
        return None

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="stream") as pool:
        try:
            for reader in readers:
                pool.submit(read, reader)
            page = next_page()
            while page:
                following = next_page(timeout=NEXT_PAGE_SECONDS)
                yield replace(page, is_followed=True) if following else page
                page = following or next_page()
        finally:
            stop_reading.set()
            consumer_left.set()
    if failures:
        raise min(failures, key=lambda failure: isinstance(failure, RetriableError))
