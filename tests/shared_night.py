"""One night that all tests of a module share, because it takes seconds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.test import override_settings

from dora_metrics.models import Service
from etl_tasks import inline, ledger
from etl_tasks.models import ETLRun, GitHubBudget, Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END


@contextmanager
def shared_night(world: World, django_db_blocker: Any, *, faults: Mapping[str, Any]) -> Iterator[ETLRun]:
    """Run one night of the world, and yield its run. Each test rolls its own changes back; at the end all rows of the night are deleted."""
    with (
        django_db_blocker.unblock(),
        StandIn({"acme/billing": world}, clock=END) as github,
        override_settings(GITHUB_API_URL=github.url, GITHUB_GRAPHQL_URL=f"{github.url}/graphql"),
    ):
        github.faults = dict(faults)
        service = Service.objects.create(name="billing")
        source = Source.objects.create(name="billing", service=service, kind="github", repository="acme/billing")
        run = ledger.open_run(source, trigger="shell")
        assert run
        inline.run_remaining_stages(run.pk)
        GitHubBudget.objects.all().delete()  # belongs to no service, and no test of the night reads it
    yield run
    with django_db_blocker.unblock():
        service.delete()
