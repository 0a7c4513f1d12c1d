"""Several repositories of one service. Each keeps its own facts, and no source overwrites those of another."""

import io
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dora_metrics import selectors
from dora_metrics.derivation.recompute import recompute
from dora_metrics.derivation.stored_facts import coverage_of
from dora_metrics.models import Attempt, Change, Coverage, Deployment, Incident, Issue, LogDeployment, Repository, Service
from etl_tasks import inline
from etl_tasks.models import Source
from etl_tasks.sources.github import collect
from etl_tasks.sources.github.streams import BY_NAME
from github_stand_in.server import StandIn
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.dora_metrics.stored_rows import derived
from tests.etl_tasks.sources.github.nights import night, show, spent
from tests.tables import facts

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def other(github: StandIn) -> World:
    """A second repository. Its pull requests and issues differ from those of the first but have the same numbers."""
    world = ordinary_world("acme/invoices", end=END, days=40, seed=7)
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
    moved = ordinary_world("acme/old", end=END, days=10)
    moved.renamed = [(END - timedelta(days=5), "acme/new")]
    show(github, moved)
    service = Service.objects.create(name="moved")
    for name in ("new", "old"):
        Source.objects.create(name=name, service=service, kind="github", repository=f"acme/{name}")
    night(Source.objects.get(name="new"))
    with pytest.raises(inline.StageFailed, match="acme/old is acme/new, which source new reads for moved already: disable one of the two"):
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


@pytest.mark.skipif(connection.vendor != "mysql", reason="SQLite locks the whole database")
@pytest.mark.django_db(transaction=True)
def test_a_run_that_ends_does_not_wait_for_the_repositories_of_another_service(billing: Source) -> None:
    """Two runs that waited for each other's repositories ended in a deadlock, and one of them was retried a minute later."""
    web = Source.objects.create(name="web", service=Service.objects.create(name="web"), kind="github", repository="acme/web")
    theirs, ours = web.ensure_facts_repository(), billing.ensure_facts_repository()
    Repository.objects.filter(pk=ours.pk).update(is_collected=False)
    other = connection.copy()
    try:
        with other.cursor() as cursor, connection.cursor() as own:
            other.set_autocommit(False)
            cursor.execute(f"SELECT id FROM {Repository._meta.db_table} WHERE id = %s FOR UPDATE", [theirs.pk])
            own.execute("SET SESSION innodb_lock_wait_timeout = 1")
            billing.update_collected_repositories()
    finally:
        other.close()
        connection.close()
    ours.refresh_from_db()
    assert ours.is_collected


def test_a_logged_commit_of_one_repository_is_not_asked_of_another(billing: Source, invoices: Source, world: World, github: StandIn) -> None:
    Service.objects.update(deployments_from="logs")
    night(billing)
    night(invoices)
    row = {"service": billing.service, "source": "web", "event_id": "1", "time": END - timedelta(days=1), "run_id": 1, "page_id": 1}
    line = LogDeployment.objects.create(sha=world.head(END), **row)
    spent(github)
    night(invoices)
    assert "Commits" not in spent(github)
    LogDeployment.objects.filter(pk=line.pk).update(sha="f" * 40)
    night(invoices)
    assert spent(github)["Commits"] == 1


# --- add_service ------------------------------------------------------------------------------------------------------


def add(*repositories: str, name: str = "billing", **options: str) -> dict[str, str]:
    call_command("add_service", name, *(word for one in repositories for word in ("--repository", one)), stdout=io.StringIO(), **options)
    return dict(Source.objects.filter(service__name=name, kind="github").values_list("name", "repository"))


def test_a_service_is_made_of_the_repositories_that_are_named(db: None) -> None:
    assert add("acme/billing", "acme/invoices") == {"billing": "acme/billing", "invoices": "acme/invoices"}
    assert add("acme/Billing", "acme/invoices", "other/invoices") == {
        "billing": "acme/Billing",
        "invoices": "acme/invoices",
        "billing-invoices": "other/invoices",
    }
    assert add("acme/invoices", credential="ACME")["invoices"] == "acme/invoices"
    assert dict(Source.objects.values_list("name", "credential")) == {"billing": "", "invoices": "ACME", "billing-invoices": ""}


def test_a_repository_that_was_never_collected_can_be_corrected(db: None) -> None:
    assert add("acme/biling") == {"billing": "acme/biling"}
    assert add("acme/billing") == {"billing": "acme/billing"}
    assert list(Repository.objects.values_list("name", flat=True)) == ["acme/billing"]


def test_a_second_repository_is_added_by_naming_both(billing: Source, github: StandIn, other: World) -> None:
    night(billing)
    with pytest.raises(CommandError, match=r"another one, add a source of its own \(add_service with both as --repository\)"):
        add("acme/invoices")
    assert add("acme/billing", "acme/invoices") == {"billing": "acme/billing", "invoices": "acme/invoices"}


def test_a_repository_for_which_no_name_is_left_is_refused(db: None) -> None:
    add("acme/invoices", name="invoices")
    add("acme/x", "acme/billing-invoices", name="x")
    add("acme/billing")
    with pytest.raises(CommandError, match="sources named 'invoices' and 'billing-invoices' exist already: add one for acme/invoices in the admin"):
        add("acme/billing", "acme/invoices")


# --- metrics ----------------------------------------------------------------------------------------------------------


def months(service: Service) -> dict[str, dict[str, Any]]:
    report = selectors.report(service, start=date(2026, 1, 1), end=date(2026, 4, 1), by="month", environment="production", time_zone="UTC", now=END)
    return {period["start"]: period for period in report["periods"]}


def test_the_metrics_of_a_service_join_its_repositories(billing: Source, invoices: Source, github: StandIn) -> None:
    """Compare one service with both repositories to two services with one each. Its counts must be the sums of theirs."""
    for source in (billing, invoices):
        night(source)
    alone = [Service.objects.create(name=name) for name in ("one", "two")]
    for service, repository in zip(alone, ("acme/billing", "acme/invoices"), strict=True):
        night(Source.objects.create(name=service.name, service=service, kind="github", repository=repository))
    assert {name for name, _ in Attempt.objects.filter(service=billing.service).values_list("repository__name", "key")} == {
        "acme/billing",
        "acme/invoices",
    }
    together, one, two = (months(service) for service in (billing.service, *alone))
    for metric, name in (("deployment_frequency", "deployments"), ("change_lead_time", "n"), ("change_fail_rate", "deployments")):
        joined, *parts = [found["2026-03-01"][metric][name] for found in (together, one, two)]
        assert joined == sum(parts) > 0, (metric, name)
    # The second repository was created in February, so its activity before that is unknown.
    assert together["2026-02-01"]["partial"]
    assert not one["2026-02-01"]["partial"]


def test_another_source_may_decide_meanwhile_which_streams_the_service_needs(
    billing: Source, github: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failed before, when two sources of a service had their first run at once: the run ended with a ValueError."""
    answers = iter([True])
    releases = replace(BY_NAME["releases"], is_asked_for=lambda service: next(answers, False))
    monkeypatch.setattr(collect, "STREAMS", tuple(releases if stream.name == "releases" else stream for stream in collect.STREAMS))
    assert night(billing).status == "success"


def test_a_second_night_over_two_repositories_changes_nothing(billing: Source, invoices: Source, github: StandIn) -> None:
    for source in (billing, invoices):
        night(source)
    before, rows = facts(), derived(billing.service)
    for source in (billing, invoices):
        night(source)
    assert facts() == before
    assert derived(billing.service) == rows


def test_the_metrics_are_unknown_until_every_repository_is_collected(billing: Source, invoices: Source, github: StandIn) -> None:
    night(billing)
    assert months(billing.service)["2026-02-01"]["deployment_frequency"]["value"] is None
    invoices.is_enabled = False
    invoices.save()
    night(billing)
    assert months(billing.service)["2026-02-01"]["deployment_frequency"]["value"] is not None


def test_what_one_repository_has_and_the_other_has_not_yet_is_unknown(billing: Source, invoices: Source, github: StandIn, world: World) -> None:
    night(billing)
    night(invoices)
    span = coverage_of(billing.service, billing.service.repositories.all())["deployments"]
    spans = {row.repository_id: (row.since, row.until) for row in Coverage.objects.filter(stream="deployments")}
    assert (span.since, span.until) == (spans[invoices.facts_repository_id][0], spans[billing.facts_repository_id][1])


def test_a_repository_of_several_is_followed_when_it_is_renamed(billing: Source, invoices: Source, other: World, github: StandIn) -> None:
    github.clock = END - timedelta(days=1)
    night(billing)
    night(invoices)
    other.renamed = [(END - timedelta(hours=12), "acme/bills")]
    github.clock = END
    night(invoices)
    home = Repository.objects.get(name="acme/bills")
    assert home == invoices.facts_repository
    assert home.names == ["acme/invoices", "acme/bills"]
    assert titles(Change, home) == {row["number"]: row["title"] for row in other.pull_requests(END)}
    assert set(Incident.objects.filter(repository=home).values_list("key", flat=True)) == {
        f"issue acme/bills#{number}" for number in Incident.objects.filter(repository=home).values_list("number", flat=True)
    }


def test_a_recompute_costs_the_same_queries_for_two_repositories_as_for_one(billing: Source, github: StandIn, other: World) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found, transaction.atomic():
            recompute(billing.service, moment=END)
        return len(found)

    night(billing)
    recompute(billing.service, moment=END)
    alone = queries()
    invoices = Source.objects.create(name="invoices", service=billing.service, kind="github", repository="acme/invoices")
    night(invoices)
    recompute(billing.service, moment=END)
    assert queries() == alone


def test_the_api_says_of_which_repository_a_fact_is(billing: Source, invoices: Source, github: StandIn, admin_client: Client) -> None:
    night(billing)
    night(invoices)
    for what in ("deployments", "changes"):
        rows = admin_client.get(f"/api/v1/{what}?limit=1000").json()["items"]
        assert {row["repository"] for row in rows} == {"acme/billing", "acme/invoices"}
    [service] = admin_client.get("/api/v1/services").json()["items"]
    assert service["repositories"] == ["acme/billing", "acme/invoices"]
    assert {one["repository"] for one in service["coverage"]} == {"acme/billing", "acme/invoices"}
    assert "acme/invoices:deployments=" in admin_client.get("/api/v1/services?format=csv").getvalue().decode()
    asked = {"service": "billing", "metric": "deployment_frequency", "period": "2026-02"}
    members = admin_client.get("/api/v1/explain", asked).json()["members"]
    assert {member["repository"] for member in members} == {"acme/billing", "acme/invoices"}
