"""Run several readers at once, each in a thread, and hand their pages one after another to the thread of the run."""

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from etl_tasks.errors import RetriableError
from etl_tasks.sources.adapter import Page

PAGES_AHEAD = 2  # for each thread; pages read and not yet staged are lost if the worker dies, and cost again


class _Finished:
    """Put into the queue when a reader has ended."""


def read_concurrently(readers: Sequence[Iterator[Page]], *, threads: int) -> Iterator[Page]:
    """Yield the pages of all readers; the pages of one reader keep their order.

    After the first error no new page is read. The pages that were read are yielded, then the error is raised; of several
    errors one that is not retriable goes first.
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
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="stream") as pool:
        try:
            for reader in readers:
                pool.submit(read, reader)
            unfinished = len(readers)
            while unfinished:
                match pages.get():
                    case _Finished():
                        unfinished -= 1
                    case Page() as page:
                        yield page
                    case failure:
                        failures.append(failure)
        finally:
            stop_reading.set()
            consumer_left.set()
    if failures:
        raise min(failures, key=lambda failure: isinstance(failure, RetriableError))
