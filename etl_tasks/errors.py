"""The kinds of errors of a stage, by what to do next. The kind is chosen once, where the failure is first seen.

A bad record is not an error of the stage: transform buries it and continues.
"""

LONGEST_WAIT_SECONDS = 24 * 3600  # rate limits are hourly; a header with a longer wait is taken for a mistake


class RetriableError(Exception):
    """The stage should be tried again, after `retry_after` seconds if given (at most a day).

    `postpone`: nothing failed, it is only too early; the run is postponed in the ledger and uses up no retry.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, postpone: bool = False) -> None:
        super().__init__(message)
        self.retry_after = None if retry_after is None else min(retry_after, LONGEST_WAIT_SECONDS)
        self.postpone = postpone


class FatalError(Exception):
    """The stage fails now: trying again cannot succeed until a person changes something."""


def describe_error(exc: BaseException) -> str:
    """Return the message of one of our errors, and of any other error also its type."""
    is_ours = type(exc).__module__.startswith(("etl_tasks", "log_store"))
    return str(exc) if is_ours else f"{type(exc).__name__}: {exc}"
