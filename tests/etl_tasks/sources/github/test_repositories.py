"""Several repositories of one service: each keeps its facts, and no source writes over another's."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from demo.github.server import StandIn
from demo.github.world import World
from dora_metrics.models import Attempt, Change, Coverage, Deployment, Issue, Repository, Service
from etl_tasks import here
from etl_tasks.models import Source
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, show

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(github: StandIn) -> World:
    """Its pull requests and issues have the numbers of the other repository's, and are different ones."""
    world = World("acme/invoices", end=END, days=40, seed=7)
    show(github, world)
    return world


@pytest.fixture
def invoices(billing: Source, other: World) -> Source:
    return Source.objects.create(name="invoices", service=billing.service, kind="github", repository="acme/invoices")


def titles(model: type[Change] | type[Issue], repository: Repository | None) -> dict[int, str]:
    return dict(model.objects.filter(repository=repository).values_list("number", "title"))


def test_two_repositories_of_a_service_keep_the_facts_of_the_same_numbers(billing: Source, invoices: Source, world: World, other: World) -> None:
    night(billing)
    night(invoices)
    for source, there in ((billing, world), (invoices, other)):
        assert titles(Change, source.facts_repository) == {row["number"]: row["title"] for row in there.pull_requests(END)}
        assert titles(Issue, source.facts_repository) == {row["number"]: row["title"] for row in there.issues(END)}
    shared = titles(Change, billing.facts_repository).keys() & titles(Change, invoices.facts_repository).keys()
    assert len(shared) > 20
    assert Change.objects.filter(service=billing.service).count() == len(world.pull_requests(END)) + len(other.pull_requests(END))
    assert Deployment.objects.filter(service=billing.service).count() == len(world.deployments(END)) + len(other.deployments(END))


def test_what_was_collected_is_known_of_each_repository(billing: Source, invoices: Source, world: World, other: World) -> None:
    night(billing)
    assert not Coverage.objects.filter(repository=invoices.facts_repository).exists()
    night(invoices)
    since = {row.repository_id: row.since for row in Coverage.objects.filter(stream="pull_requests")}
    assert len(since) == 2
    assert since[billing.facts_repository_id] < since[invoices.facts_repository_id]


def test_a_repository_that_a_source_of_the_service_reads_is_refused_to_another(billing: Source) -> None:
    with pytest.raises(ValidationError, match="source billing of billing reads acme/billing already"):
        Source(name="again", service=billing.service, kind="github", repository="ACME/billing").full_clean()
    Source(name="again", service=Service.objects.create(name="web"), kind="github", repository="acme/billing").full_clean()


def test_a_former_name_of_a_repository_that_another_source_reads_is_refused(github: StandIn, billing: Source, world: World) -> None:
    moved = World("acme/old", end=END, days=10)
    moved.renamed = [(END - timedelta(days=5), "acme/new")]
    show(github, moved)
    service = Service.objects.create(name="moved")
    for name in ("new", "old"):
        Source.objects.create(name=name, service=service, kind="github", repository=f"acme/{name}")
    night(Source.objects.get(name="new"))
    with pytest.raises(here.StageFailed, match="acme/old is acme/new, which source new reads for moved already: disable one of the two"):
        night(Source.objects.get(name="old"))
    assert Change.objects.filter(service=service).count() == len(moved.pull_requests(END))


def test_a_source_that_is_added_again_goes_on_with_the_repository_s_facts(billing: Source, github: StandIn) -> None:
    night(billing)
    home, facts, attempts = billing.facts_repository, Change.objects.count(), Attempt.objects.count()
    service = billing.service
    billing.delete()
    again = Source.objects.create(name="again", service=service, kind="github", repository="acme/billing")
    assert again.facts_repository != home
    night(again)
    again.refresh_from_db()
    assert again.facts_repository == home
    assert (Repository.objects.count(), Change.objects.count(), Attempt.objects.count()) == (1, facts, attempts)


def test_a_collected_source_cannot_move_to_another_service(billing: Source, github: StandIn) -> None:
    night(billing)
    billing.service = Service.objects.create(name="web")
    with pytest.raises(ValidationError, match="has been collected for billing: its facts stay there"):
        billing.full_clean()


def test_a_repository_without_an_enabled_source_is_known_as_such(billing: Source, invoices: Source) -> None:
    def collected() -> set[str]:
        return set(Repository.objects.filter(is_collected=True).values_list("name", flat=True))

    assert collected() == {"acme/billing", "acme/invoices"}
    invoices.is_enabled = False
    invoices.save()
    assert collected() == {"acme/billing"}
    Source.objects.filter(pk=invoices.pk).update(is_enabled=True)
    night(billing)
    assert collected() == {"acme/billing", "acme/invoices"}
