"""Retry webhooks without waiting."""

import pytest
from tenacity import wait_none

from dora_metrics.alerts.email_and_webhook import _post


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the wait between two attempts to send a webhook to zero, as tenacity's documentation recommends for tests."""
    monkeypatch.setattr(_post.retry, "wait", wait_none())  # type: ignore[attr-defined]
