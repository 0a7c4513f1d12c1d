"""Continue with the next item or step when one fails, and alert once when the failure begins and once when it ends."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import connection
from django.utils.translation import override

from dora_metrics.alerts import critical_alert, notify, warning_alert
from etl_tasks.errors import describe_error
from etl_tasks.models import Fault

logger = logging.getLogger(__name__)

LONGEST_NAME = 100  # characters; the length of the column


class SomeFailed(Exception):
    """Some items failed and the others are done. The message names each failed item and the reason."""


def for_each(items: Iterable[Any], action: Callable[[Any], None], *, stop_at: tuple[type[Exception], ...] = ()) -> None:
    """Call `action` for every item, even after one fails. Raises SomeFailed at the end.

    `stop_at`: exceptions that every further item would raise, too; they are raised at once.
    """
    not_caught: tuple[type[BaseException], ...] = (*stop_at, KeyboardInterrupt)
    failures = []
    for item in items:
        try:
            action(item)
        except not_caught:
            raise
        except BaseException as exc:
            logger.exception("item_failed", extra={"item": str(item)})
            failures.append(f"{item}: {describe_error(exc)}")
    if failures:
        raise SomeFailed("; ".join(failures))


@contextmanager
def isolated(name: str) -> Iterator[None]:
    """Catch and log any exception of the block, even SystemExit. `name`: what the block does, as shown to people.

    The first failure creates a Fault with this name and sends an alert. The next success deletes the Fault and sends another alert.
    """
    try:
        with override("en"):  # whatever is stored is in English
            yield
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as exc:
        logger.exception("contained", extra={"fault": name})
        forget_connection()
        begin_fault(name, describe_error(exc))
    else:
        end_fault(name)


def forget_connection() -> None:
    """Close the database connection, which may be broken. A time limit may have interrupted a statement on it, before its result was read, and
    MySQL refuses further statements on such a connection. The next query opens another.
    """
    if connection.in_atomic_block:  # a stage leaves no transaction open, but a test may surround it with one
        return
    with suppress(Exception):  # the driver refuses to close what is closed
        connection.close()


def begin_fault(name: str, error: str) -> None:
    """Create the Fault with this name and send an alert, unless it exists already."""
    _try_to_record(_begin, name, error)


def end_fault(name: str) -> None:
    """Delete the Fault with this name, if there is one, and send an alert that it is over."""
    _try_to_record(_end, name)


def _try_to_record(record: Callable[..., None], *args: str) -> None:
    """Call `record` with `args`, the first of which is the name of the fault.

    If that fails, for example because the database is down, only log that: whether an alert was sent before is unknown.
    """
    try:
        record(*args)
    except KeyboardInterrupt:
        raise
    except BaseException:
        logger.exception("fault_not_kept", extra={"fault": args[0]})


def _begin(name: str, error: str) -> None:
    fault, is_new = Fault.objects.get_or_create(name=name[:LONGEST_NAME], defaults={"error": error})
    if is_new and not _send_alert(critical_alert, f"{name} failed: {error}", error, "begun"):
        fault.delete()  # so that the next failure sends the alert


def _end(name: str) -> None:
    if Fault.objects.filter(name=name[:LONGEST_NAME]).delete()[0]:
        _send_alert(warning_alert, f"{name}: over: it goes well again", "", "ended")


def _send_alert(signal: Any, message: str, error: str, episode: str) -> bool:
    return notify(signal, sender=Fault, message=message, context={"stage": "schedule", "error": error, "episode": episode})
