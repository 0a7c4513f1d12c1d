"""A service whose facts were collected from the stand-in in one night, by all stages of the pipeline."""

from collections.abc import Iterator

import pytest
from django.test import Client, override_settings

from dora_metrics.models import ApiToken, Service
from etl_tasks import inline, ledger
from etl_tasks.models import Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END


@pytest.fixture(scope="module")
def stored(django_db_setup: None, django_db_blocker: pytest.FixtureRequest, world: World) -> Iterator[Service]:
    """Collect once per module, because a night takes seconds. Tests read the service; what they add is rolled back."""
    with (
        django_db_blocker.unblock(),
        StandIn({"acme/billing": world}, clock=END) as github,
        override_settings(GITHUB_API_URL=github.url, GITHUB_GRAPHQL_URL=f"{github.url}/graphql"),
    ):
        service = Service.objects.create(name="billing")
        source = Source.objects.create(name="billing", service=service, kind="github", repository="acme/billing")
        run = ledger.open_run(source, trigger="shell")
        assert run
        inline.run_remaining_stages(run.pk)
    yield service
    with django_db_blocker.unblock():
        service.delete()


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
