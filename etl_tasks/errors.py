"""Three kinds of error, by what to do next; the kind is chosen once, where the failure is first seen.

A record that is bad is no exception at all: transform buries it and goes on.
"""

LONGEST_WAIT_SECONDS = 24 * 3600  # limits are by the hour; a header that names more is a mistake


class RetriableError(Exception):
    """Worth another try later: the stage is retried, after `retry_after` seconds if the other side named them, a day at most.

    `postpone`: nothing went wrong, it is only too early. The run waits in the ledger and uses up no retry.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, postpone: bool = False) -> None:
        super().__init__(message)
        self.retry_after = None if retry_after is None else min(retry_after, LONGEST_WAIT_SECONDS)
        self.postpone = postpone


class FatalError(Exception):
    """No later try can succeed until a person changes something: the stage fails now."""
