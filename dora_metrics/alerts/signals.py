"""The alert signals. Send an alert with `critical_alert.send(sender=…, message=…, context={"stage": …, "error": …})`.

Each alert is logged. To send alerts elsewhere, too, connect a receiver. The pipeline sends alerts with `notify`. If a receiver
fails, `notify` logs the exception, so that the pipeline does not fail.
"""

import logging
from collections.abc import Mapping

from django.dispatch import Signal

logger = logging.getLogger(__name__)


class AlertSignal(Signal):
    """A signal whose receivers may fail in any way."""

    def _log_robust_failure(self, receiver: object, err: Exception) -> None:
        """Log nothing: `notify` does. Django's own method needs a name, which a partial has not, so that one would stop the other receivers."""


critical_alert = AlertSignal()  # arguments: message (str), context (mapping with at least "stage" and "error")
warning_alert = AlertSignal()


def notify(signal: Signal, *, sender: object, message: str, context: Mapping[str, object], is_logged: bool = True) -> bool:
    """Send the alert. Return False if a receiver failed and no other receiver sent the alert, so that it is only in the log.

    A receiver returns True if it has sent the alert. `is_logged`: False if a critical alert must not be logged, because a command
    prints it on standard error, where the log goes, too.
    """
    answers = signal.send_robust(sender=sender, message=message, context=dict(context), is_logged=is_logged)
    for receiver, answer in answers:
        if isinstance(answer, Exception):
            logger.error(
                "alert_receiver_failed",
                extra={"receiver": getattr(receiver, "__qualname__", type(receiver).__name__), "error": _text(answer)},
                exc_info=answer,
            )
    has_failed = any(isinstance(answer, Exception) for _, answer in answers)
    return not has_failed or any(answer is True for _, answer in answers)


def _text(error: Exception) -> str:
    try:
        return repr(error)
    except Exception:  # noqa: BLE001  a mistake in the class of an error must not keep the other receivers from their alert
        return type(error).__name__


def log_critical(sender: object, message: str, context: Mapping[str, object] | None = None, is_logged: bool = True, **_: object) -> None:
    if is_logged:
        logger.error("critical_alert", extra={"text": message, **_prefixed(context)})


def log_warning(sender: object, message: str, context: Mapping[str, object] | None = None, **_: object) -> None:
    logger.warning("warning_alert", extra={"text": message, **_prefixed(context)})


def _prefixed(context: Mapping[str, object] | None) -> dict[str, object]:
    # Without the prefix a key such as "name" or "args" would overwrite an attribute of the log record, which logging refuses.
    return {f"context_{key}": value for key, value in (context or {}).items()}


critical_alert.connect(log_critical, weak=False, dispatch_uid="dora_metrics.log_critical")
warning_alert.connect(log_warning, weak=False, dispatch_uid="dora_metrics.log_warning")
