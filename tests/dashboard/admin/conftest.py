"""Fixtures of the admin's tests."""

from tests.etl_tasks.conftest import broker_away, sent_messages

__all__ = ["broker_away", "sent_messages"]
