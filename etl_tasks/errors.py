"""Three kinds of error, by what to do next; the kind is chosen once, where the failure is first seen.

A record that is bad is no exception at all: transform buries it and goes on.
"""


class RetriableError(Exception):
    """Worth another try later: the stage is retried, after `retry_after` seconds if the other side named them.

    `postpone`: nothing went wrong, it is only too early. The run waits in the ledger and uses up no retry.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, postpone: bool = False) -> None:
        super().__init__(message)
        self.retry_after, self.postpone = retry_after, postpone


class FatalError(Exception):
    """No later try can succeed until a person changes something: the stage fails now."""
