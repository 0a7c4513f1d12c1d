"""Errors that nobody foresees, and a way to raise one of them inside the code under test."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from django.conf import settings

FOLDER = f"{settings.BASE_DIR}/etl_tasks/"
# What contains the errors cannot contain its own.
CONTAINMENT = ("fault_isolation.py", "crash_points.py", "errors.py")


class Unreadable(Exception):
    """An error whose class has a mistake."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


ERRORS: dict[str, Callable[[], BaseException]] = {
    "a mistake": lambda: KeyError("x"),
    "no memory": MemoryError,
    "too deep": lambda: RecursionError("maximum recursion depth exceeded"),
    "bad bytes": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "no text": Unreadable,
    "exit": lambda: SystemExit(1),
    "cancelled": asyncio.CancelledError,
    "odd characters": lambda: RuntimeError("half a character \ud83d and \x00"),
    "a page of text": lambda: RuntimeError("x" * 2_000_000),
}


@contextmanager
def noting_calls(found: list[CodeType]) -> Iterator[None]:
    """Append each function of the pipeline that is called in the block, once."""

    def note(frame: FrameType, event: str, _: Any) -> None:  # returning None, it is called for calls only, not for each line
        if event == "call" and _is_meant(frame.f_code) and frame.f_code not in found:
            found.append(frame.f_code)

    with _tracing(note):
        yield


@contextmanager
def raising_in(code: CodeType, error: BaseException) -> Iterator[None]:
    """Raise the error where the function is called first. Python stops the tracing when the tracing function raises."""

    def strike(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code is code:
            raise error

    with _tracing(strike):
        yield


def _is_meant(code: CodeType) -> bool:
    return code.co_filename.startswith(FOLDER) and not code.co_filename.endswith(CONTAINMENT) and not code.co_name.startswith("<")


@contextmanager
def _tracing(function: Callable[[FrameType, str, Any], None]) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(function)
    try:
        yield
    finally:
        sys.settrace(before)
