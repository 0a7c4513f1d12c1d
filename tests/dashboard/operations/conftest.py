"""Users with chosen permissions, sources with runs, and a broker in memory."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from dashboard.groups import create_groups
from tests.etl_tasks.conftest import broker_away, sent_messages, sent_runs
from tests.etl_tasks.selectors.conftest import add_run, add_source

__all__ = ["add_run", "add_source", "broker_away", "sent_messages", "sent_runs"]


@pytest.fixture
def member_of(db: None) -> Callable[[str], Client]:
    """Return a function that returns a client whose user is in the group."""

    def log_in(group: str) -> Client:
        create_groups()
        user = User.objects.create_user(group.lower())
        user.groups.add(Group.objects.get(name=group))
        client = Client()
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def viewer(member_of: Callable[[str], Client]) -> Client:
    return member_of("Viewer")


@pytest.fixture
def operator(member_of: Callable[[str], Client]) -> Client:
    return member_of("Operator")


@pytest.fixture
def superuser(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client
