"""The two kinds of errors of a stage: the stage can be tried again, or it cannot. The code that first sees a failure chooses the kind.

A bad record is not an error of the stage: transform writes a dead letter for it and continues.
"""

import re

from django.utils.translation import gettext as _

from dora_metrics.calculators.sentences import Sentence

LONGEST_ERROR = 5000  # characters of a message that are kept: a bug may put a whole page into it, which a database may refuse
LONGEST_WAIT_SECONDS = 24 * 3600  # a header that asks for a longer wait is mistaken, because rate limits are hourly: wait only this long


# What SQLite, and MySQL or MariaDB (errors 1114, 1021, 1030 and 3), say when the disk is full.
NO_ROOM = re.compile(r"database or disk is full|The table '[^']*' is full|Disk full|[Ee]rrcode: 28|error 28\b|No space left on device")


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
    """Return the message of any error, as text that can be stored.

    The name of the error's type comes first unless the type is defined in etl_tasks or log_store.
    """
    is_ours = type(exc).__module__.startswith(("etl_tasks", "log_store"))
    return storable(("" if is_ours else f"{type(exc).__name__}: ") + message_of(exc))


def message_of(exc: BaseException) -> str:
    """Return the message of any error, without the name of its type and perhaps with what to do about it."""
    try:
        message = str(exc)
    except Exception:  # noqa: BLE001  a mistake in the class of an error must not hide that there was an error
        message = "its message cannot be read"
    return message + _advice(message)


def _advice(message: str) -> str:
    """Return what to do about an error of the database server that does not say it clearly."""
    return "; there is no room on the disk of the database: make room, nothing is lost" if NO_ROOM.search(message) else ""


def storable(text: str) -> str:
    """Return the text without what a database refuses: escape lone surrogates and NUL, and cut it after LONGEST_ERROR characters."""
    return escaped(text[:LONGEST_ERROR])


def escaped(text: str) -> str:
    """Escape what a database refuses in text: lone surrogates and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
