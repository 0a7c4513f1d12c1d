from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from github_stand_in.server import StandIn
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
EARLIER = END - timedelta(days=1)


@pytest.fixture(scope="session")
def service() -> World:
    """Return a world that all tests share and none may change."""
    return ordinary_world("acme/billing", seed=7, days=120, end=END)


@pytest.fixture(scope="session")
def large() -> World:
    return ordinary_world("acme/billing", seed=7, days=60, end=END, large=True)


@pytest.fixture
def stand_in(service: World) -> Iterator[StandIn]:
    with StandIn({"acme/billing": service}, clock=END) as running:
        yield running
