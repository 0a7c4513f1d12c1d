"""docs/metrics.md, "Failed deployment recovery time"."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

import pytest

from tests.dora_metrics.calculators.examples import (
    DAY_S,
    GITHUB,
    HOUR_S,
    JANUARY,
    assessed,
    at,
    change,
    covering,
    days_with,
    deployment,
    hotfix,
    issue,
    line,
    links,
    of_days,
    one_a_day,
    revert,
    value_of,
)

recovery = partial(value_of, "failed_deployment_recovery_time")
on_days = partial(days_with, "failed_deployment_recovery_time")


def recovered(**changed):
    """Map the key of each failed attempt to when it recovered and to what ended the failure; None if it has not recovered."""
    return {one.attempt.key: (one.recovered_at, one.recovered_by) if one.recovered_at else None for one in assessed(**changed).attempts if one.causes}


def fallen(number, sha="x", days=1.0, **more):
    return deployment(number, sha, at(days), "failure", **more)


# --- the time of recovery ---------------------------------------------------------------------------------------------


def test_a_failed_attempt_recovers_with_the_next_success():
    assert recovered(deployments=(fallen(1), fallen(2, "y", 2), deployment(3, "z", at(3)))) == {
        "1": (at(3), "deployment 3"),
        "2": (at(3), "deployment 3"),
    }


def test_the_next_success_is_one_in_the_very_same_environment():
    three = (fallen(1, environment="prod-eu"), deployment(2, "y", at(2), environment="prod-us"), deployment(3, "z", at(3), environment="prod-eu"))
    assert recovered(deployments=three) == {"1": (at(3), "deployment 3")}


def test_a_success_before_it_is_no_recovery():
    assert recovered(deployments=(deployment(1, "a", at(0)), fallen(2))) == {"2": None}


def test_a_success_of_the_same_instant_with_a_higher_id_is_the_next():
    assert recovered(deployments=(fallen(1), deployment(2, "y", at(1)))) == {"1": (at(1), "deployment 2")}
    assert recovered(deployments=(deployment(1, "y", at(1)), fallen(2))) == {"2": None}


def test_one_with_incidents_recovers_when_the_last_of_them_ended():
    three = issue(100, at(0.1), at(2)), issue(101, at(0.2), at(5)), issue(102, at(0.3), at(4))
    assert recovered(**one_a_day("a", "b", issues=three)) == {"0": (at(5), "issue 101")}


def test_one_with_an_open_incident_has_not_recovered():
    assert recovered(**one_a_day("a", "b", issues=(issue(100, at(0.1), at(2)), issue(101, at(0.2))))) == {"0": None}


def test_a_reopened_incident_is_open_until_it_is_closed_again():
    reopened = issue(100, at(0.1), state_reason="reopened")
    assert recovered(**one_a_day("a", issues=(reopened,))) == {"0": None}
    assert recovered(**one_a_day("a", issues=(replace(reopened, closed_at=at(4), state_reason="completed"),))) == {"0": (at(4), "issue 100")}


def test_one_that_was_reverted_recovers_when_the_revert_was_deployed():
    assert recovered(**one_a_day("a", "m1", "b", "m3", pull_requests=(change(1), revert(3, 1)))) == {"1": (at(3), "deployment 3")}


def test_one_with_a_hotfix_recovers_when_that_was_deployed():
    assert recovered(**one_a_day("a", "b", "c", "m3", pull_requests=(hotfix(3, links=links(deployment="1")),))) == {"1": (at(3), "deployment 3")}


def test_one_that_was_rolled_back_recovers_with_the_rollback():
    assert recovered(**one_a_day("a", "b", "a")) == {"1": (at(2), "deployment 2")}


def test_the_next_success_recovers_only_what_failed_by_its_state():
    assert recovered(**one_a_day("a", "b", "c", issues=(issue(100, at(0.1)),))) == {"0": None}


@pytest.mark.parametrize(
    ("ended", "expected"),
    [(at(1.5), (at(1.5), "issue 100")), (at(3.5), (at(3), "deployment 3")), (None, (at(3), "deployment 3"))],
    ids=["the incident ended first", "the revert came first", "the incident is open"],
)
def test_the_earliest_recovery_counts(ended, expected):
    changed = one_a_day("a", "m1", "b", "m3", pull_requests=(change(1), revert(3, 1)))
    assert recovered(**changed, issues=(issue(100, at(1.1), ended, links=links(deployment="1")),)) == {"1": expected}


def test_a_failed_attempt_with_an_open_incident_recovers_with_the_next_success():
    open_still = issue(100, at(1.1), links=links(deployment="1"))
    assert recovered(deployments=(fallen(1), deployment(2, "y", at(2))), issues=(open_still,)) == {"1": (at(2), "deployment 2")}


def test_it_never_recovers_before_its_finish_and_says_so():
    slow = deployment(1, "b", at(1), *("in_progress",) * 60, "success")
    over = issue(100, at(1, minutes=5), at(1, minutes=25), links=links(deployment="1"))
    changed = {"deployments": (deployment(0, "a", at(0)), slow), "issues": (over,)}
    assert recovered(**changed) == {"1": (at(1, minutes=60), "issue 100")}
    found = recovery(**changed)
    assert (found.p50, found.quality_flags) == (0, ("low_n", "recovered_before_finish"))


def test_an_incident_that_began_before_the_deployment_named_in_it_makes_no_recovery_of_it():
    early = issue(100, at(0.2), at(0.5), links=links(deployment="1"))
    changed = one_a_day("a", "b", issues=(early,))
    assert recovered(**changed) == {"0": (at(0.5), "issue 100")}
    assert recovery(**changed).quality_flags == ("impossible_cause", "low_n")


def test_a_revert_that_is_no_reason_recovers_nothing():
    pulls = change(1), revert(2, 1), revert(3, 2)
    changed = one_a_day("a", "m1", "m3", pull_requests=pulls, parents=line("a", "m1", "m2", "m3"))
    assert recovered(**changed, issues=(issue(100, at(1.1)),)) == {"1": None}


# --- the value --------------------------------------------------------------------------------------------------------


def test_it_is_the_median_from_finish_to_recovery():
    lasting = tuple(issue(100 + day, at(day), at(day, hours=hours)) for day, hours in enumerate((10, 20, 60)))
    found = recovery(**one_a_day("a", "b", "c", issues=lasting))
    assert (found.value, found.p50, found.n, found.unit) == (20 * HOUR_S, 20 * HOUR_S, 3, "seconds")
    assert (found.p75, found.p90) == (40 * HOUR_S, pytest.approx(52 * HOUR_S))
    assert (found.tier, found.tier_year, found.quality_flags) == ("high", 2023, ("low_n",))


def test_one_is_every_percentile_and_two_meet_in_the_middle():
    one = recovery(deployments=(fallen(1), deployment(2, "y", at(2))))
    two = recovery(deployments=(fallen(1), deployment(2, "y", at(2)), fallen(3, "z", 3), deployment(4, "w", at(5))))
    assert (one.p50, one.p75, one.p90) == (DAY_S, DAY_S, DAY_S)
    assert (two.p50, two.n) == (1.5 * DAY_S, 2)


def test_without_a_recovery_it_is_null_and_never_0():
    found = recovery()
    assert (found.value, found.p50, found.p75, found.p90, found.tier, found.n, found.quality_flags) == (None, None, None, None, None, 0, ())
    assert found.details == {"n_open": 0, "mean_time_to_restore": {"mean": None, "n": 0}}


def test_it_belongs_to_the_period_of_the_recovery():
    changed = {"deployments": (fallen(1), deployment(2, "y", at(40))), "coverage": covering(at(0), at(90))}
    january, february = (recovery("month", date(2026, month, 1), **changed) for month in (1, 2))
    assert (january.n, january.details["n_open"], february.n, february.p50) == (0, 0, 1, 39 * DAY_S)


def test_the_recovery_s_local_date_decides():
    changed = {"deployments": (fallen(1), deployment(2, "y", datetime(2026, 1, 31, 20, tzinfo=UTC))), "coverage": covering(at(-40), at(90))}
    for zone, month in (("Asia/Kolkata", date(2026, 2, 1)), ("America/Los_Angeles", JANUARY)):
        assert recovery("month", month, settings=replace(GITHUB, time_zone=zone), **changed).n == 1


def test_what_has_not_recovered_yet_is_counted_where_it_failed_and_left_out_of_the_median():
    changed = one_a_day("a", "b", "c", issues=(issue(100, at(1.5)), issue(101, at(2.5), at(3))))
    found = recovery(**changed)
    assert (found.n, found.p50, found.details["n_open"]) == (1, DAY_S, 1)
    assert on_days("n_open", **changed) == {1: 1}
    assert [(v.period_start.day, v.n) for v in of_days("failed_deployment_recovery_time", **changed) if v.n] == [(4, 1)]


@pytest.mark.parametrize(("n", "flags"), [(1, ("low_n",)), (9, ("low_n",)), (10, ())])
def test_one_to_nine_recoveries_are_few(n, flags):
    assert recovery(deployments=(*(fallen(number, f"s{number}") for number in range(n)), deployment(99, "z", at(2)))).quality_flags == flags


@pytest.mark.parametrize(
    ("took", "tier"),
    [
        ({"seconds": 3599}, "elite"),
        ({"hours": 1}, "high"),
        ({"hours": 23, "minutes": 59}, "high"),
        ({"days": 1}, "medium"),
        ({"days": 6.9}, "medium"),
        ({"days": 7}, "low"),
    ],
)
def test_the_bounds_of_recovery_belong_to_the_slower_tier(took, tier):
    until = at(took.pop("days", 0), **took)
    assert recovery(deployments=(fallen(1, days=0), deployment(2, "y", until))).tier == tier


# --- mean time to restore ---------------------------------------------------------------------------------------------


def test_mean_time_to_restore_is_the_mean_of_all_incidents_that_ended_in_the_period_linked_or_not():
    unlinked, linked, still_open = issue(100, at(0), at(1)), issue(101, at(3), at(6)), issue(102, at(3))
    changed = {"deployments": (deployment(1, "a", at(2)),), "issues": (unlinked, linked, still_open)}
    assert recovery(**changed).details["mean_time_to_restore"] == {"mean": 2 * DAY_S, "n": 2}
    assert recovery("day", date(2026, 1, 7), **changed).details["mean_time_to_restore"] == {"mean": 3 * DAY_S, "n": 1}


def test_what_is_no_incident_is_not_in_the_mean():
    others = issue(100, at(0), at(1), labels=("bug",)), issue(101, at(0), at(1), state_reason="not_planned")
    assert recovery(issues=others).details["mean_time_to_restore"] == {"mean": None, "n": 0}


def test_one_that_was_closed_before_it_was_created_lasted_no_time():
    found = recovery(issues=(issue(100, at(2), at(1)),))
    assert (found.details["mean_time_to_restore"], found.quality_flags) == ({"mean": 0, "n": 1}, ("clock_skew",))


def test_outside_production_the_mean_is_of_those_that_are_linked_there():
    staged = (deployment(1, "a", at(0), environment="staging"),)
    both = issue(100, at(1), at(2)), issue(101, at(1), at(5), links=links(deployment="1"))
    assert recovery(environment="staging", deployments=staged, issues=both).details["mean_time_to_restore"] == {"mean": 4 * DAY_S, "n": 1}
