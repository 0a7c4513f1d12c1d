"""What goes wrong beside the runs: kept from its neighbours, and told once when it begins and once when it is over."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error as DatabaseFailed

from dora_metrics.alerts import critical_alert, notify, warning_alert
from etl_tasks.models import Fault

logger = logging.getLogger(__name__)


class SomeFailed(Exception):
    """The message names each that failed, and why; the others are done."""


def for_each(items: Iterable[Any], act: Callable[[Any], None], *, stop_at: tuple[type[Exception], ...] = ()) -> None:
    """Do it to every item, also behind one that fails. Raises SomeFailed at the end; what is in `stop_at` would fail them all, and passes."""
    failed = []
    for item in items:
        try:
            act(item)
        except stop_at:
            raise
        except Exception as exc:  # whatever it is, it is this item's
            logger.exception("item_failed", extra={"item": str(item)})
            failed.append(f"{item}: {_said(exc)}")
    if failed:
        raise SomeFailed("; ".join(failed))


@contextmanager
def isolated(name: str) -> Iterator[None]:
    """Whatever is raised inside ends here. It is told when it is new, and its end is told when the block has gone well again."""
    try:
        yield
    except Exception as exc:  # whatever it is, what comes after the block does not depend on it
        logger.exception("contained", extra={"fault": name})
        _keeping(_begin, name, _said(exc))
    else:
        _keeping(_end, name)


def _keeping(keep: Callable[..., None], *args: str) -> None:
    """Where the database is away nobody can know what was told already: the log has it."""
    try:
        keep(*args)
    except DatabaseFailed:
        logger.exception("fault_not_kept", extra={"fault": args[0]})


def _begin(name: str, error: str) -> None:
    fault, is_new = Fault.objects.get_or_create(name=name, defaults={"error": error})
    if is_new and not _tell(critical_alert, f"{name} failed: {error}", error, "begun"):
        fault.delete()  # the next failure tries again


def _end(name: str) -> None:
    if Fault.objects.filter(name=name).delete()[0]:
        _tell(warning_alert, f"{name}: over: it goes well again", "", "ended")


def _tell(signal: Any, message: str, error: str, episode: str) -> bool:
    return notify(signal, sender=Fault, message=message, context={"stage": "schedule", "error": error, "episode": episode})


def _said(exc: Exception) -> str:
    is_ours = type(exc).__module__.startswith(("etl_tasks", "log_store"))
    return str(exc) if is_ours else f"{type(exc).__name__}: {exc}"
