"""Recomputing stores the same rows for the same facts, in whatever order and number of loads they arrived."""

from dataclasses import replace
from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.inputs import Facts
from dora_metrics.derivation.recompute import REVISED, recompute, recompute_periods
from dora_metrics.models import Attempt, Change, Coverage, Delivery, DORAMetric, Incident, MetricRevision, Service
from dora_metrics.models import Issue as IssueRow
from tests.dora_metrics.calculators.examples import at, covering, deployment, facts, issue, line, pull, revert
from tests.dora_metrics.example_service import EVENTFUL, NOW, a_service
from tests.dora_metrics.stored_rows import ORDER, derived, store

pytestmark = pytest.mark.django_db

JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)
LATE_RUN = 77


@pytest.fixture
def billing() -> Service:
    return a_service("billing")


def month(metric: str, start: date = JANUARY) -> DORAMetric:
    return DORAMetric.objects.get(service__name="billing", metric=metric, period="month", period_start=start)


def only(**new) -> Facts:
    return Facts(repositories=EVENTFUL.repositories, **new)


def late(service: Service, *, moment=NOW) -> int:
    return recompute(service, run_id=LATE_RUN, moment=moment)


def revised() -> set[tuple[str, str, date]]:
    return set(MetricRevision.objects.values_list("metric", "period", "period_start"))


def delete_derived() -> None:
    for model in ORDER:
        model.objects.all().delete()


# --- only what has changed is computed again --------------------------------------------------------------------------


def test_where_nothing_has_changed_a_period_that_was_over_is_not_measured_again(billing):
    DORAMetric.objects.filter(metric="change_fail_rate", period="month", period_start=JANUARY).update(value=0.5)
    assert late(billing) == 0
    assert month("change_fail_rate").value == 0.5


def test_every_period_is_measured_again_by_command(billing):
    DORAMetric.objects.filter(metric="change_fail_rate", period="month", period_start=JANUARY).update(value=0.5)
    assert recompute_periods(billing, moment=NOW, start=FEBRUARY) == 0
    assert recompute_periods(billing, moment=NOW, end=FEBRUARY) == 1
    assert month("change_fail_rate").value == 5 / 8
    [revision] = MetricRevision.objects.all()
    assert (revision.before["value"], revision.after["value"], revision.run_id) == (0.5, 5 / 8, None)


def test_a_command_for_some_periods_leaves_no_other_period_outdated(billing):
    Change.objects.filter(number=2).update(author_is_bot=False)
    recompute_periods(billing, moment=NOW, start=FEBRUARY)
    assert month("change_lead_time").details["n_bots"] == 0
    assert recompute_periods(billing, moment=NOW) == 0


@pytest.mark.parametrize("deployments_from", ["pulls", "auto"])
def test_a_pull_request_that_stands_in_for_a_deployment_leads_to_its_page(deployments_from):
    service = Service.objects.create(name="billing", deployments_from=deployments_from)
    store(service, replace(EVENTFUL, deployments=()))
    Change.objects.update(url="https://github.com/acme/billing/pull/1", page_id=9)
    recompute(service, moment=NOW)
    assert set(Attempt.objects.values_list("source", "url", "page_id")) == {("pulls", "https://github.com/acme/billing/pull/1", 9)}


def test_a_night_measures_from_the_day_on_where_the_last_one_stood(billing):
    Coverage.objects.update(until=at(45))
    assert late(billing, moment=at(45)) > 0
    touched = set(DORAMetric.objects.filter(run_id=LATE_RUN, period="day").values_list("period_start", flat=True))
    assert touched == {date(2026, 2, day) for day in range(11, 16)}
    assert derived(billing, without=("id", "run_id"))["DORAMetric"] == all_at_once(billing, at(45))


def test_another_definition_time_zone_or_beginning_measures_all_of_it(billing, settings):
    DORAMetric.objects.filter(metric="change_fail_rate", period="month", period_start=JANUARY).update(value=0.5)
    settings.ETL_TIME_ZONE = "Asia/Kolkata"
    late(billing)
    assert month("change_fail_rate").value != 0.5
    DORAMetric.objects.filter(metric="change_fail_rate", period="month", period_start=JANUARY).update(value=0.5)
    Coverage.objects.filter(stream="issues").update(since=at(-4))
    late(billing)
    assert month("change_fail_rate").value != 0.5


@pytest.mark.parametrize("moved", [{"since": at(-5, hours=3)}, {"until": at(36)}, {"until": at(40, hours=5)}, {"since": at(-9)}])
def test_coverage_that_moves_either_way_leaves_nothing_behind(billing, moved):
    Coverage.objects.update(**moved)
    late(billing)
    assert derived(billing, without=("id", "run_id"))["DORAMetric"] == all_at_once(billing, NOW)
    Coverage.objects.update(since=at(-5), until=at(41))
    late(billing)
    assert derived(billing, without=("id", "run_id"))["DORAMetric"] == all_at_once(billing, NOW)


def all_at_once(service: Service, moment) -> list:
    DORAMetric.objects.all().delete()
    recompute(service, moment=moment)
    return derived(service, without=("id", "run_id"))["DORAMetric"]


# --- the same facts give the same rows --------------------------------------------------------------------------------


def test_the_second_time_nothing_is_written(billing):
    before = derived(billing)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert late(billing) == 0
    words = {query["sql"].split()[0].upper() for query in queries}
    assert words == {"SELECT"}
    assert derived(billing) == before
    assert not MetricRevision.objects.exists()


def test_all_over_again_gives_identical_rows(billing):
    before = derived(billing, without=("id",))
    assert all(before.values())
    delete_derived()
    recompute(billing, run_id=1, moment=NOW)
    assert derived(billing, without=("id",)) == before


def test_what_came_in_another_order_gives_identical_rows(billing):
    backwards = {name: tuple(reversed(getattr(EVENTFUL, name))) for name in ("deployments", "pull_requests", "issues")}
    other = a_service("other", replace(EVENTFUL, parents=dict(reversed(EVENTFUL.parents.items())), **backwards))
    without = ("id", "service_id", "repository_id", "change_id")
    ours, theirs = derived(billing, without=without), derived(other, without=without)
    assert {name: sorted(map(str, rows)) for name, rows in theirs.items()} == {name: sorted(map(str, rows)) for name, rows in ours.items()}


def test_what_came_bit_by_bit_gives_identical_rows_to_what_came_at_once(billing):
    before = derived(billing, without=("id",))
    for part in (EVENTFUL.issues, EVENTFUL.pull_requests):
        rows = IssueRow if part is EVENTFUL.issues else Change
        held = list(rows.objects.filter(service=billing))
        rows.objects.filter(service=billing).delete()
        recompute(billing, run_id=1, moment=NOW)
        assert derived(billing, without=("id",)) != before
        rows.objects.bulk_create(held)
        recompute(billing, run_id=1, moment=NOW)
        assert derived(billing, without=("id",)) == before


def test_the_rows_say_what_the_facts_amount_to(billing):
    assert {one.key: (one.is_failed, one.is_unplanned) for one in Attempt.objects.all()} == {
        "0": (False, False),
        "1": (True, False),  # reverted by 3
        "2": (True, False),  # caused issue 100
        "3": (False, True),
        "4": (True, True),  # closes issue 100, and was rolled back by 5
        "5": (True, True),  # fixed by the hotfix in 6
        "6": (False, True),
        "9": (True, False),
        "10": (False, False),
    }
    assert dict(Delivery.objects.values_list("change__number", "deployment")) == {1: "1", 2: "2", 3: "3", 4: "4", 6: "6", 7: "6"}
    assert {one.number: (one.deployment, one.how) for one in Incident.objects.all()} == {
        100: ("2", "time"),
        101: ("", ""),
        102: ("9", "explicit"),
    }
    assert month("change_fail_rate").value == 5 / 8
    assert month("deployment_rework_rate").value == 4 / 7


def test_every_row_says_by_which_definition_run_and_zone_it_was_computed(billing):
    assert set(DORAMetric.objects.values_list("definition_version", "run_id", "time_zone")) == {(DEFINITION_VERSION, 1, "UTC")}


def test_an_attempt_is_not_known_to_have_succeeded_where_issues_were_not_collected(billing):
    Coverage.objects.filter(stream="issues").delete()
    late(billing)
    assert set(Attempt.objects.values_list("is_failed", flat=True)) == {True, None}
    assert set(Attempt.objects.values_list("is_unplanned", flat=True)) == {True, None}
    assert set(DORAMetric.objects.values_list("metric", flat=True)) == {"deployment_frequency", "change_lead_time"}


# --- late facts -------------------------------------------------------------------------------------------------------


def told(metric: str) -> tuple[dict, dict]:
    revision = MetricRevision.objects.get(metric=metric, period="month", period_start=JANUARY)
    assert (revision.run_id, revision.definition_version, revision.environment) == (LATE_RUN, DEFINITION_VERSION, "production")
    return revision.before, revision.after


def shown(row: DORAMetric) -> dict:
    return {name: getattr(row, name) for name in REVISED}


def test_a_late_review_changes_last_month_s_stages_and_is_listed(billing):
    before = shown(month("change_lead_time"))
    Change.objects.filter(service=billing, number=1).update(reviews=[{"login": "grace", "is_bot": False, "submitted_at": at(0.4).isoformat()}])
    assert late(billing) == 3
    after = shown(month("change_lead_time"))
    assert (before["details"]["stages"]["review"], after["details"]["stages"]["review"]) == ({"p50": None, "n": 0}, {"p50": 8640, "n": 1})
    assert told("change_lead_time") == (before, after)
    assert revised() == {
        ("change_lead_time", "day", date(2026, 1, 2)),
        ("change_lead_time", "week", date(2025, 12, 29)),
        ("change_lead_time", "month", JANUARY),
    }
    assert month("change_lead_time").run_id == LATE_RUN


def test_a_late_incident_changes_last_month_s_fail_rate_and_is_listed(billing):
    before = shown(month("change_fail_rate"))
    store(billing, only(issues=(issue(103, at(6.5)),)))
    late(billing)
    after = shown(month("change_fail_rate"))
    assert (before["value"], after["value"]) == (5 / 8, 6 / 8)
    assert told("change_fail_rate") == (before, after)
    day, week = date(2026, 1, 7), date(2026, 1, 5)
    metrics = ("change_fail_rate", "failed_deployment_recovery_time")  # one more failure, and one more that has not recovered
    assert revised() == {(metric, *period) for metric in metrics for period in (("day", day), ("week", week), ("month", JANUARY))}


def test_a_revert_of_last_month_s_change_changes_last_month_and_is_listed(billing):
    before = month("change_fail_rate").value
    store(billing, only(pull_requests=(revert(41, 7),), deployments=(deployment(41, "m41", at(41)),), parents={"m41": ("m7",)}))
    Coverage.objects.update(until=at(42))
    late(billing, moment=at(42))
    assert (before, month("change_fail_rate").value) == (5 / 8, 6 / 8)
    assert told("change_fail_rate")[1]["details"]["reasons"]["revert"] == 2
    assert month("change_fail_rate", FEBRUARY).value == 0
    assert month("deployment_rework_rate", FEBRUARY).value == 1 / 2
    assert ("failed_deployment_recovery_time", "month", FEBRUARY) not in revised()  # February is not over


def test_every_change_of_a_period_that_was_over_is_listed(billing):
    """The slowest of the month's four changes began even earlier, so only p75 and p90 change."""
    early = [{"sha": "c7", "authored_at": at(-1).isoformat()}]
    Change.objects.filter(number=7).update(commits=early)
    assert late(billing) == 3
    assert month("change_lead_time").run_id == LATE_RUN
    assert {one for one in revised() if one[1] == "month"} == {("change_lead_time", "month", JANUARY)}


def test_a_removed_label_takes_an_incident_back(billing):
    IssueRow.objects.filter(number=100).update(labels=[])
    late(billing)
    assert list(Incident.objects.order_by("number").values_list("number", flat=True)) == [101, 102]
    assert month("change_fail_rate").value == 4 / 8


def test_an_attempt_that_is_no_more_leaves_no_row(billing):
    Service.objects.filter(pk=billing.pk).update(production="^nowhere$", deployments_from="github")
    late(billing)
    assert not Attempt.objects.exists()
    assert not Delivery.objects.exists()
    assert month("deployment_frequency").value == 0


def test_a_period_that_was_over_and_is_not_known_any_more_is_listed_without_an_after(billing):
    Coverage.objects.filter(stream="issues").delete()
    before = shown(month("change_fail_rate"))
    late(billing)
    assert told("change_fail_rate") == (before, {})


def test_what_a_running_period_gains_is_no_revision(billing):
    store(billing, only(deployments=(deployment(41, "m7", at(40, hours=23)),)))
    late(billing)
    assert month("deployment_frequency", FEBRUARY).numerator == 2
    assert ("deployment_frequency", "month", FEBRUARY) not in revised()


# --- other services and zones -----------------------------------------------------------------------------------------


@configured(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["deployment", "incident", "change", "commit"]), st.integers(0, 40)), max_size=4, unique=True))
def test_another_service_s_facts_change_nothing_here(billing, arrived):
    before, other = derived(billing), a_service(f"other {Service.objects.count()}")
    for kind, number in arrived:
        new = {
            "deployment": {"deployments": (deployment(100 + number, "m1", at(number)),)},
            "incident": {"issues": (issue(200 + number, at(number)),)},
            "change": {"pull_requests": (revert(300 + number, 1, merged_at=at(number)),)},
            "commit": {"parents": {f"n{number}": ("m7",)}},
        }
        store(other, only(**new[kind]))
    late(other)
    assert derived(billing) == before
    assert late(billing) == 0
    assert derived(billing) == before


EDGE = facts(
    deployments=(deployment(1, "a", at(25)), deployment(2, "m1", at(30, hours=20))),  # 20:00 UTC on 31 January
    parents=line("a", "m1"),
    pull_requests=(pull(1, created_at=at(29), merged_at=at(30)),),
    issues=(issue(100, at(30, hours=19), at(30, hours=19.5)), issue(101, at(30, hours=21), at(30, hours=22))),
    coverage=covering(at(-60), at(70)),
)


@pytest.mark.parametrize(("zone", "start"), [("Asia/Kolkata", FEBRUARY), ("America/Los_Angeles", JANUARY), ("UTC", JANUARY)])
def test_the_zone_decides_the_month_and_twice_is_once_in_each(zone, start, settings):
    settings.ETL_TIME_ZONE = zone
    service = a_service("billing", EDGE)
    before, found = derived(service), {metric: month(metric, start) for metric in DORAMetric.objects.values_list("metric", flat=True).distinct()}
    fail_rate = found["change_fail_rate"].details
    assert found["deployment_frequency"].numerator == (1 if zone == "Asia/Kolkata" else 2)
    assert (found["change_lead_time"].n, found["change_lead_time"].p50) == (1, 44 * 3600)
    assert fail_rate["reasons"] == ({"incident": 1} if zone == "Asia/Kolkata" else {"incident": 2})
    assert found["failed_deployment_recovery_time"].details["mean_time_to_restore"]["n"] == 2
    assert set(DORAMetric.objects.values_list("time_zone", flat=True)) == {zone}
    assert late(service, moment=NOW) == 0
    assert derived(service) == before
