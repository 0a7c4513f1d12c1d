"""Retries without a wait."""

import pytest
from tenacity import wait_none

from dora_metrics.alerts.email_and_webhook import _post


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a failed webhook again at once: the wait between attempts is a number, made small as tenacity's documentation shows."""
    monkeypatch.setattr(_post.retry, "wait", wait_none())  # type: ignore[attr-defined]
