"""docs/metrics.md, "Change fail rate". The reasons revert, hotfix and rollback are tested in their own modules."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

import pytest

from tests.dora_metrics.calculators.examples import (
    GITHUB,
    JANUARY,
    LATER,
    at,
    change,
    covering,
    days_with,
    deployment,
    failed,
    hotfix,
    issue,
    links,
    one_a_day,
    pull,
    revert,
    value_of,
    values,
)

rate = partial(value_of, "change_fail_rate")
on_days = partial(days_with, "change_fail_rate")


def test_it_is_failed_attempts_by_all_finished_attempts():
    four = one_a_day("a", "b", "c")["deployments"]
    found = rate(deployments=(*four, deployment(9, "d", at(2), "failure")))
    assert (found.value, found.numerator, found.denominator, found.n, found.unit) == (1 / 4, 1, 4, 4, "share")
    assert (found.details["failed"], found.details["deployments"], found.details["reasons"]) == (1, 4, {"state": 1})


def test_a_success_of_which_nothing_says_that_it_failed_did_not():
    found = rate(**one_a_day("a", "m1", pull_requests=(change(1),)))
    assert (found.value, found.details["failed"], found.details["reasons"]) == (0, 0, {})


def test_without_an_attempt_it_is_null_and_never_0():
    found = rate()
    assert (found.value, found.tier, found.tier_year, found.n) == (None, None, None, 0)
    assert (found.details["devlake_value"], found.details["failed"], found.details["deployments"]) == (None, 0, 0)


def test_an_attempt_with_several_reasons_counts_once_and_under_each():
    pulls = change(1), revert(2, 1), hotfix(3, links=links(caused_by=1))
    found = rate(**one_a_day("a", "m1", "m2", "m3", pull_requests=pulls, issues=(issue(100, at(1.1)), issue(101, at(1.2)))))
    assert (found.details["failed"], found.details["deployments"]) == (1, 4)
    assert found.details["reasons"] == {"incident": 1, "revert": 1, "hotfix": 1}


def test_a_failed_attempt_may_have_an_incident_too():
    fallen = deployment(1, "b", at(1), "failure")
    assert failed(deployments=(fallen,), issues=(issue(100, at(2), links=links(deployment="1")),)) == {"1": {"state", "incident"}}


def test_a_retried_failure_is_one_attempt_that_succeeded():
    tries = deployment(1, "a", at(0), "failure"), deployment(2, "a", at(0, minutes=60))
    found = rate(deployments=tries)
    assert (found.value, found.n) == (0, 1)


def test_it_counts_in_the_period_of_its_finish_whenever_the_reason_came():
    late = issue(100, at(6), at(40))
    assert on_days("failed", **one_a_day("a", "b", issues=(late,))) == {1: 1}
    assert on_days("reasons", **one_a_day("a", "m1", "b", "m3", pull_requests=(change(1), revert(3, 1)))) == {1: {"revert": 1}}


def test_the_finish_s_local_date_decides():
    late = deployment(1, "a", datetime(2026, 1, 31, 20, tzinfo=UTC), "failure")
    for zone, month in (("Asia/Kolkata", date(2026, 2, 1)), ("America/Los_Angeles", JANUARY)):
        settings = replace(GITHUB, time_zone=zone)
        assert rate("month", month, settings=settings, deployments=(late,), coverage=covering(at(-40), at(90))).details["failed"] == 1


def test_devlake_s_value_is_successes_with_an_incident_by_successes():
    changed = one_a_day("a", "m1", "m2", pull_requests=(change(1), revert(2, 1)))
    changed["deployments"] = (*changed["deployments"], deployment(9, "x", at(3), "failure"))
    found = rate(**changed, issues=(issue(100, at(0.5)), issue(101, at(0.6)), issue(102, at(4), links=links(deployment="9"))))
    assert found.details["failed"] == 3  # deployment 0 because of incidents, 1 because of a revert, 9 because of its state and an incident
    assert found.details["devlake_value"] == 1 / 3


def test_an_incident_without_a_link_is_counted_and_flagged_in_the_period_of_its_start():
    changed = {"deployments": (deployment(1, "a", at(5)),), "issues": (issue(100, at(2), at(9)),)}
    assert on_days("unlinked_incidents", **changed) == {2: 1}
    assert rate("day", date(2026, 1, 3), **changed).quality_flags == ("unlinked_incidents",)
    assert rate("day", date(2026, 1, 6), **changed).quality_flags == ()


def test_outside_production_an_incident_without_a_link_is_not_counted():
    staged = tuple(replace(one, environment="staging") for one in one_a_day("a", "b")["deployments"])
    found = rate(environment="staging", deployments=staged, issues=(issue(100, at(1.5)), issue(101, at(1.5), links=links(deployment="1"))))
    assert (found.details["unlinked_incidents"], found.details["reasons"], found.quality_flags) == (0, {"incident": 1}, ())


def test_an_incident_of_another_environment_s_deployment_is_one_without_a_link():
    changed = one_a_day("a", "b")
    changed["deployments"] = (*changed["deployments"], deployment(9, "s", at(1), environment="staging"))
    found = rate(**changed, issues=(issue(100, at(1.5), links=links(deployment="9")),))
    assert (found.details["unlinked_incidents"], found.details["failed"]) == (1, 0)


@pytest.mark.parametrize("metric", ["change_fail_rate", "failed_deployment_recovery_time", "deployment_rework_rate"])
@pytest.mark.parametrize("missing", ["deployments", "pull_requests", "commits", "issues"])
def test_without_a_stream_that_they_need_the_last_three_have_no_value(metric, missing):
    coverage = covering(at(0), at(31))
    del coverage[missing]
    assert not [v for v in values(coverage=coverage, **one_a_day("a")) if v.metric == metric]


def test_without_issues_deployments_and_changes_have_values_all_the_same():
    coverage = covering(at(0), at(31))
    del coverage["issues"]
    assert {v.metric for v in values(coverage=coverage)} == {"deployment_frequency", "change_lead_time"}


def test_a_period_in_which_the_collection_of_issues_began_is_partial_and_counts_the_days_from_then():
    coverage = covering(at(0), at(31)) | {"issues": covering(at(2), at(31))["issues"]}
    found = rate(coverage=coverage, **one_a_day("a", "b", "c", "d"))
    assert (found.n, found.is_partial) == (2, True)


def test_other_environments_have_their_own_rate():
    both = (deployment(1, "a", at(0)), deployment(2, "b", at(0), "failure", environment="staging"))
    assert rate(deployments=both).value == 0
    assert rate(environment="staging", deployments=both).value == 1


@pytest.mark.parametrize(("failures", "tier"), [(1, "elite"), (2, "high"), (3, "medium"), (4, "low")])
def test_of_20_attempts_1_failed_is_elite_2_high_3_medium_and_4_low(failures, tier):
    attempts = tuple(deployment(n, f"s{n}", at(n), "failure" if n < failures else "success") for n in range(20))
    found = rate(deployments=attempts)
    assert (found.tier, found.tier_year) == (tier, 2023)


def test_a_merged_pull_request_that_stands_for_a_deployment_may_fail():
    settings = replace(GITHUB, deployments_from="pulls")
    found = rate(settings=settings, now=LATER, pull_requests=(pull(1), pull(2, merged_at=at(1))), issues=(issue(100, at(0.5)),))
    assert (found.value, found.quality_flags) == (1 / 2, ("proxy_pr_merge",))
