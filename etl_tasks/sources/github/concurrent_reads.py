"""Several readers at once, each in a thread, and their pages one after another in the caller's."""

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from etl_tasks.errors import RetriableError
from etl_tasks.sources.adapter import Page

PAGES_AHEAD = 2  # a reader; what is read and not yet staged is lost when the worker dies, and costs again


class _Done:
    """A reader's last word."""


def side_by_side(readers: Sequence[Iterator[Page]], *, lanes: int) -> Iterator[Page]:
    """The pages of all readers, each reader's in its order. The first error ends it, once what was read has been given out.

    An error that no waiting cures goes before one that passes: it is the one to be told.
    """
    if len(readers) <= 1 or lanes == 1:
        for reader in readers:
            yield from reader
        return
    pages: queue.Queue[Page | _Done | Exception] = queue.Queue(maxsize=lanes * PAGES_AHEAD)
    stop, left = threading.Event(), threading.Event()

    def put(item: Page | _Done | Exception) -> None:
        is_put = False
        while not is_put and not left.is_set():
            with suppress(queue.Full):
                pages.put(item, timeout=0.1)
                is_put = True

    def read(reader: Iterator[Page]) -> None:
        try:
            while not stop.is_set() and (page := next(reader, None)) is not None:
                put(page)
        except Exception as exc:  # noqa: BLE001  raised again in the caller's thread
            stop.set()
            put(exc)
        finally:
            put(_Done())

    failures: list[Exception] = []
    with ThreadPoolExecutor(max_workers=lanes, thread_name_prefix="stream") as pool:
        try:
            for reader in readers:
                pool.submit(read, reader)
            unfinished = len(readers)
            while unfinished:
                match pages.get():
                    case _Done():
                        unfinished -= 1
                    case Page() as page:
                        yield page
                    case failure:
                        failures.append(failure)
        finally:
            stop.set()
            left.set()
    if failures:
        raise min(failures, key=lambda failure: isinstance(failure, RetriableError))
