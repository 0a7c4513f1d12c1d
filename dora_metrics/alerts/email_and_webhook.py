"""Send alerts by e-mail and to a webhook, if these are configured. Each function returns whether it sent the alert, and raises if sending failed.

signals.py also writes alerts to the log.
"""

import json
from collections.abc import Mapping

from django.conf import settings
from django.core.mail import EmailMessage
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

from dora_metrics.alerts.http_post import PostFailed, post

WEBHOOK_TIMEOUT_SECONDS = 10
LONGEST_TEXT = 3000  # characters; Slack refuses a text of 40,000


def alert_text(level: str, message: str, context: Mapping[str, object] | None) -> str:
    """Return the alert as plain text: its level and message, then one line for each value of the context that is not empty.

    A text of more than LONGEST_TEXT characters is cut.
    """
    lines = [f"[{level}] {message}", *(f"{key}: {value}" for key, value in sorted((context or {}).items()) if value not in (None, ""))]
    return "\n".join(lines)[:LONGEST_TEXT]


def send_email(level: str, message: str, context: Mapping[str, object] | None) -> bool:
    if settings.ALERT_EMAILS:
        subject = f"[callcentersite] {level}: {message}".replace("\r", " ").replace("\n", " ")[:200]
        EmailMessage(subject=subject, body=alert_text(level, message, context), to=settings.ALERT_EMAILS).send()
    return bool(settings.ALERT_EMAILS)


def post_webhook(level: str, message: str, context: Mapping[str, object] | None) -> bool:
    """Post the alert as JSON. Return False if no webhook is configured. Raises WebhookFailed if all three attempts fail.

    Slack shows `text`. The other keys are for programs other than Slack.
    """
    if settings.ALERT_WEBHOOK_URL:
        parts = {str(key): value if isinstance(value, str | int | float | bool | None) else str(value) for key, value in (context or {}).items()}
        body = {"text": alert_text(level, message, context), "level": level, "message": message, "context": parts}
        _post(settings.ALERT_WEBHOOK_URL, json.dumps(body).encode())
    return bool(settings.ALERT_WEBHOOK_URL)


class WebhookFailed(OSError):
    """The webhook could not be reached, or it refused the alert.

    The message does not contain the URL, because the URL of a webhook is as secret as a password.
    """


@retry(retry=retry_if_exception_type(WebhookFailed), stop=stop_after_attempt(3), wait=wait_exponential(multiplier=0.5, max=4), reraise=True)
def _post(url: str, body: bytes) -> None:
    try:
        post(url, body, content_type="application/json", timeout_s=WEBHOOK_TIMEOUT_SECONDS)
    except PostFailed as exc:
        raise WebhookFailed(f"the webhook {exc}") from None
