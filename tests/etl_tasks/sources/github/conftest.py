"""What one process learns of the budget and of an App's token, the next test does not know."""

from collections.abc import Iterator

import pytest

from etl_tasks.sources.github import client, credentials


@pytest.fixture(autouse=True)
def nothing_known_of_the_budget() -> Iterator[None]:
    client._budgets.clear()
    credentials._app_tokens.clear()
    yield
    client._budgets.clear()
    credentials._app_tokens.clear()
