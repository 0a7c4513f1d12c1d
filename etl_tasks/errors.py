"""The two kinds of errors of a stage: the stage can be tried again, or it cannot. The code that first sees a failure chooses the kind.

A bad record is not an error of the stage: transform writes a dead letter for it and continues.
"""

from django.utils.translation import gettext as _

from dora_metrics.calculators.sentences import Sentence

LONGEST_WAIT_SECONDS = 24 * 3600  # a header that asks for a longer wait is mistaken, because rate limits are hourly: wait only this long


class RetriableError(Exception):
    """The stage should be tried again.

    `retry_after`: after how many seconds, at most a day; None if the source has not asked for a wait. `postpone`: True if nothing has
    failed and it is only too early; the run is then postponed in the ledger, which uses up no retry.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, postpone: bool = False) -> None:
        super().__init__(message)
        self.retry_after = None if retry_after is None else min(retry_after, LONGEST_WAIT_SECONDS)
        self.postpone = postpone


class FatalError(Exception):
    """The stage fails now, because trying it again cannot succeed until a person changes something."""


def reason_text(exc: Exception) -> str:
    """Return the message of the error, in the reader's language if the message is a Sentence. `str(exc)` is in English, to be stored."""
    reason = exc.args[0] if exc.args else ""
    return _(reason.template).format(*reason.values) if isinstance(reason, Sentence) else str(exc)


def describe_error(exc: BaseException) -> str:
    """Return the message of the error. The name of its type comes first unless the type is defined in etl_tasks or log_store."""
    is_ours = type(exc).__module__.startswith(("etl_tasks", "log_store"))
    return str(exc) if is_ours else f"{type(exc).__name__}: {exc}"
