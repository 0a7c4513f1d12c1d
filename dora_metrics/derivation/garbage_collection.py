"""Read many facts without searching them for reference cycles again and again."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Pause Python's search for reference cycles, which would take time and find nothing.

    A large service has hundreds of thousands of facts. They have no cycles, and all of them are in use until the end. The search is paused
    for the whole process, and other threads only search later.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
