"""While everything that links follow from is the same, the facts are not read again; whatever else changes, they are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dora_metrics.derivation import link_inputs
from dora_metrics.derivation.program import program_digest
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Coverage, Incident, LogDeployment, LogTraffic, Repository, Service
from tests.dora_metrics.calculators.examples import at, issue, log_hours, logged
from tests.dora_metrics.example_service import EVENTFUL, NOW, a_service
from tests.dora_metrics.stored_rows import derived, store

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_week_ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "week" not in request.node.name:
        monkeypatch.setattr(link_inputs, "TRUSTED_DAYS", 10_000_000)


@pytest.fixture
def billing() -> Service:
    errors = log_hours(at(20), *[(100, 50)] * 8, *[(100, 0)] * 20)
    return a_service("billing", replace(EVENTFUL, log_hours=errors, log_deployments=(logged(900, at(3)),)))


def reads_facts(service: Service, *, moment=NOW) -> bool:
    """Recompute as a run does. Return whether the facts were read."""
    with CaptureQueriesContext(connection) as queries:
        recompute(service, moment=moment, trusts_versions=True)
    return any('FROM "dora_metrics_commit"' in query["sql"].replace("`", '"') for query in queries)


def test_the_facts_are_not_read_again_while_their_versions_are_the_same(billing: Service) -> None:
    before = derived(billing)
    assert not reads_facts(billing)
    assert derived(billing) == before


def test_a_new_day_is_measured_without_reading_the_facts(billing: Service) -> None:
    Coverage.objects.update(until=at(45))
    assert not reads_facts(billing, moment=at(45))
    as_run = derived(billing, without=("id", "run_id"))
    recompute(billing, moment=at(45))
    assert derived(billing, without=("id", "run_id")) == as_run


def _rename(service: Service) -> None:
    service.repositories.update(name="acme/invoices")


CHANGES: dict[str, Callable[[Service], object]] = {
    "a fact was written": lambda service: Repository.note_new_facts(service.repositories.get().pk),
    "the repository was renamed": _rename,
    "its branch was renamed": lambda service: service.repositories.update(default_branches=["main", "trunk"]),
    "a repository came": lambda service: Repository.objects.create(service=service, name="acme/calls"),
    "a setting changed": lambda service: Service.objects.filter(pk=service.pk).update(look_back_hours=9),
    "a bot was named": lambda service: Service.objects.filter(pk=service.pk).update(bots=["ada"]),
    "the path changed": lambda service: Service.objects.filter(pk=service.pk).update(path="src/**"),
    "issues are no longer collected": lambda service: Coverage.objects.filter(service=service, stream="issues").delete(),
    "a deployment was logged": lambda service: LogDeployment.objects.create(
        service=service, source="web", event_id="901", time=at(4), run_id=2, page_id=2
    ),
    "a logged deployment was read again": lambda service: LogDeployment.objects.update(page_id=77),
    "a logged deployment is gone": lambda service: LogDeployment.objects.all().delete(),
    "an hour with errors was counted again": lambda service: LogTraffic.objects.filter(hour=at(20)).update(page_id=77),
    "an hour with errors is gone": lambda service: LogTraffic.objects.filter(hour=at(20)).delete(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_they_are_read_again_if_anything_has_changed_that_links_follow_from(billing: Service, change: Callable[[Service], object]) -> None:
    assert not reads_facts(billing)
    change(billing)
    assert reads_facts(billing)
    assert not reads_facts(billing)


def test_another_program_reads_them_again(billing: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_inputs, "program_digest", lambda: "of another release")
    assert reads_facts(billing)


def test_all_files_that_turn_facts_into_rows_count_as_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    monkeypatch.setattr(Path, "read_bytes", lambda path: names.add(path.name) or b"")
    program_digest.__wrapped__()
    assert {"lead_time_stages.py", "stored_facts.py", "derived_rows.py", "patterns.py"} <= names


def test_while_an_incident_of_the_logs_is_open_they_are_read_again_when_more_was_read(billing: Service) -> None:
    logs = Coverage.objects.filter(stream="log_events")
    incident = Incident.objects.get(number=None)
    logs.update(until=incident.ended_at)
    recompute(billing, moment=NOW)
    assert Incident.objects.get(number=None).ended_at is None
    assert not reads_facts(billing)
    logs.update(until=NOW)
    assert reads_facts(billing)
    assert Incident.objects.get(number=None).ended_at == incident.ended_at
    logs.update(until=at(42))
    assert not reads_facts(billing)


def test_an_outage_that_is_over_is_no_longer_the_one_of_a_later_issue() -> None:
    errors, later = log_hours(at(20), *[(100, 50)] * 8), issue(200, at(20, minutes=30), at(21))
    service = Service.objects.create(name="billing")
    store(service, replace(EVENTFUL, log_hours=errors, issues=(later,)))
    logs = Coverage.objects.filter(stream="log_events")
    logs.update(until=at(20, minutes=9))
    recompute(service, moment=NOW)
    assert not Incident.objects.filter(number=None).exists()  # it seems to last until the issue began
    logs.update(until=NOW)
    recompute(service, moment=NOW, trusts_versions=True)
    assert Incident.objects.get(number=None).ended_at == at(20, minutes=8)


def test_an_incident_opens_again_if_less_of_the_logs_is_known_than_before(billing: Service) -> None:
    incident = Incident.objects.get(number=None)
    Coverage.objects.filter(stream="log_events").update(until=incident.ended_at)  # as when another log of the service lags behind
    recompute(billing, moment=NOW, trusts_versions=True)
    assert Incident.objects.get(number=None).ended_at is None


def test_each_week_the_facts_are_read_again_whatever_the_versions_say(billing: Service) -> None:
    assert [reads_facts(billing, moment=at(41 + day)) for day in range(15)].count(True) in (2, 3)
