"""A service with every kind of fact, and people who look at it."""

from dataclasses import replace

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.test import Client

from dora_metrics.models import Service
from tests.dora_metrics.calculators.examples import at, log_hours
from tests.dora_metrics.example_service import EVENTFUL, NOW, a_service

# An outage on day 7 that only the logs show.
WITH_LOGS = replace(EVENTFUL, log_hours=log_hours(at(7, hours=2), *[(40, 20)] * 20, *[(40, 0)] * 20))


@pytest.fixture
def billing(db: None) -> Service:
    return a_service("billing", WITH_LOGS)


@pytest.fixture
def lead(client: Client, db: None) -> Client:
    """Return a client of a person who may read everything."""
    user = User.objects.create_user("lead")
    user.groups.add(Group.objects.get(name="Viewer"))
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def frozen() -> None:
    with time_machine.travel(NOW, tick=False):
        yield
