"""Reading the stored rows returns the facts that the calculators expect."""

from dataclasses import replace

import pytest

from dora_metrics.calculators.inputs import DraftEvent, Facts, Links, LogHour, RevertSigns, Review
from dora_metrics.calculators.linked_facts import links_of_facts
from dora_metrics.derivation.stored_facts import facts_of, settings_of
from dora_metrics.models import Change, Service
from tests.dora_metrics.calculators.examples import at, change, covering, deployment, issue, line, links, logged, release, run
from tests.dora_metrics.stored_rows import store

pytestmark = pytest.mark.django_db

FULL = change(
    7,
    authored_at=(at(5), at(6)),
    commit_shas=("c1", "c2"),
    reviews=(Review("grace", False, at(6.2)), Review("", True, at(6.3))),
    draft_events=(DraftEvent("ready_for_review", at(6.1)),),
    head_branch="revert-3-x",
    labels=("hotfix", "bug"),
    closes=(("acme/billing", 100),),
    revert_signs=RevertSigns(pull=3, pull_repository="acme/billing", branch=3, sha="abcdef7", has_title=True),
    links=Links(("1", "abcdef7"), ("abcdef8",), (3,)),
    title='Revert "Add invoices"',
)
EVERYTHING = Facts(
    deployments=(deployment(1, "a", at(0), "in_progress", "success"), deployment(2, "b", at(1), "failure", environment="staging")),
    log_deployments=(logged(3, at(1), sha="abcdef7", environment="prod-eu", state="failed"), logged(4, at(2))),
    log_hours=(LogHour("web", at(1, hours=2), {3: (100, 6), 59: (7, 0)}, page_id=9),),
    workflow_runs=(run(5), run(5, attempt=2)),
    releases=(release(6, "a", at(1)), release(7, "", None, is_draft=True)),
    pull_requests=(FULL, change(8, closed_at=None, merge_sha="", author="")),
    issues=(issue(100, at(1), at(2), state_reason="completed", links=links(caused_by=7), title="down"), issue(101, at(1), labels=())),
    repositories=frozenset({"acme/billing", "acme/invoices"}),
    parents=line("a", "b") | {"m": ("a", "b")},
    coverage=covering(at(0), at(31)),
)


@pytest.fixture
def service() -> Service:
    return Service.objects.create(name="billing")


def test_every_fact_comes_out_as_it_was_stored(service: Service) -> None:
    store(service, EVERYTHING)
    assert facts_of(service) == EVERYTHING


def test_of_the_logs_only_whole_hours_that_may_have_a_bad_minute_are_read(service: Service) -> None:
    noon, one = at(0, hours=12), at(0, hours=13)
    read = (
        LogHour("web", noon, {0: (100, 6)}),
        LogHour("web", noon, {1: (100, 0)}),
        LogHour("worker", noon, {0: (900, 0)}),
    )
    not_read = (LogHour("web", one, {0: (100, 4), 1: (100, 4)}), LogHour("worker", one, {0: (1, 0)}))
    store(service, Facts(log_hours=(*read, *not_read)))
    assert set(map(str, facts_of(service).log_hours)) == set(map(str, read))
    service.log_error_share = 4
    assert len(facts_of(service).log_hours) == 5
    service.log_error_share = 0
    assert len(facts_of(service).log_hours) == 5
    service.log_incidents = False
    assert facts_of(service).log_hours == ()


def test_an_hour_at_the_very_share_is_read_so_that_rounding_hides_none(service: Service) -> None:
    service.log_error_share = 0.3
    store(service, Facts(log_hours=(LogHour("web", at(0), {0: (1000, 3)}),)))
    [hour] = facts_of(service).log_hours
    assert hour.minutes == {0: (1000, 3)}


def test_another_service_s_facts_stay_its_own(service: Service) -> None:
    store(Service.objects.create(name="web"), EVERYTHING)
    assert facts_of(service) == Facts()


def test_an_unmerged_pull_request_with_a_merge_commit_is_no_change(service: Service) -> None:
    store(service, EVERYTHING)
    Change.objects.filter(number=7).update(merged_at=None, state="closed", merge_sha="m7")
    assert [one.number for one in facts_of(service).pull_requests] == [8]


def test_a_path_filter_keeps_the_pull_requests_that_change_a_matching_file(service: Service) -> None:
    store(service, EVERYTHING)
    Change.objects.filter(number=7).update(paths=["web/index.html", "billing/app/views.py"])
    Change.objects.filter(number=8).update(paths=["billing.md"])
    service.path = "billing/**"
    service.repositories.update(has_paths=True)
    found = facts_of(service)
    assert [one.number for one in found.pull_requests] == [7]
    assert found == replace(EVERYTHING, pull_requests=(FULL,))


def test_a_service_s_own_settings_decide_its_numbers(service: Service) -> None:
    changed = {"production": "^shop$", "deployments_from": "releases", "workflow": "ship", "prereleases": True, "incident_label": "fire"}
    changed |= {"hotfix": "urgent", "look_back_hours": 5, "log_incidents": False}
    changed |= {"log_minute_events": 1, "log_error_share": 2.5, "log_bad_minutes": 3, "log_good_minutes": 4, "log_issue_hours": 5}
    for name, value in changed.items():
        setattr(service, name, value)
    service.bots = ["checker"]
    found = settings_of(service, time_zone="Asia/Kolkata")
    assert {name: getattr(found, name) for name in changed} == changed
    assert (found.time_zone, found.bots) == ("Asia/Kolkata", frozenset({"checker"}))


@pytest.mark.parametrize("source", ["auto", "github", "logs", "releases", "workflows", "pulls"])
@pytest.mark.parametrize("has_deployments", [True, False])
def test_facts_without_what_only_lead_times_depend_on_have_the_same_links(service: Service, source: str, has_deployments: bool) -> None:
    store(service, EVERYTHING if has_deployments else replace(EVERYTHING, deployments=()))
    service.deployments_from = source
    chosen = settings_of(service, time_zone="UTC")
    found = [links_of_facts(facts_of(service, without=without), chosen, now=at(31)) for without in ((), ("lead_times", "unlabelled_issues"))]
    assert found[0] == found[1]
