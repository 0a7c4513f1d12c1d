"""Forget before each test what the process knows of the rate limits and of an App's token."""

from collections.abc import Iterator

import pytest

from etl_tasks.sources.github import client, credentials


@pytest.fixture(autouse=True)
def unknown_rate_limits() -> Iterator[None]:
    client._rate_limits.clear()
    credentials._app_tokens.clear()
    yield
    client._rate_limits.clear()
    credentials._app_tokens.clear()
