"""Connect e-mail and webhook to the alert signals. apps.py imports this module in every process."""

from collections.abc import Callable, Mapping

from django.conf import settings

from dora_metrics.alerts.signals import critical_alert, warning_alert


def has_receiver() -> bool:
    return bool(settings.ALERT_EMAILS or settings.ALERT_WEBHOOK_URL)


def _receiver(send: str, level: str) -> Callable[..., bool]:
    # The receiver is a nested function instead of a partial: Django logs the __qualname__ of a receiver that fails, and a partial has none.
    def receive(sender: object, message: str, context: Mapping[str, object] | None = None, **_: object) -> bool:
        if not has_receiver():
            return False
        # Imported only when there is something to send: its libraries take a tenth of a command's start.
        from dora_metrics.alerts import email_and_webhook

        is_sent: bool = getattr(email_and_webhook, send)(level, message, context)
        return is_sent

    return receive


for _level, _signal in (("critical", critical_alert), ("warning", warning_alert)):
    for _send in ("send_email", "post_webhook"):
        _signal.connect(_receiver(_send, _level), weak=False, dispatch_uid=f"dora_metrics.{_send}.{_level}")
