"""A service whose facts were collected from the stand-in in one night, by all stages of the pipeline."""

from collections.abc import Iterator

import pytest
from django.test import Client

from dora_metrics.models import ApiToken, Service
from github_stand_in.worlds.world import World
from tests.shared_night import shared_night


@pytest.fixture(scope="module")
def stored(django_db_setup: None, django_db_blocker: pytest.FixtureRequest, world: World) -> Iterator[Service]:
    with shared_night(world, django_db_blocker, faults={}) as run:
        yield run.source.service


@pytest.fixture
def service(stored: Service, db: None) -> Service:
    return Service.objects.get(pk=stored.pk)


@pytest.fixture
def nothing(db: None) -> None:
    """Delete all services, including the one that the module's tests share."""
    Service.objects.all().delete()


@pytest.fixture
def token(db: None) -> str:
    return ApiToken.create("a dashboard")[1]


@pytest.fixture
def reader(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})
