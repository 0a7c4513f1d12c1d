"""Before and after each test, forget the rate limits and App tokens that this process has received from GitHub."""

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
