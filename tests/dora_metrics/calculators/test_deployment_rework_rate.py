"""docs/metrics.md, "Deployment rework rate". Reverts, hotfixes and rollbacks are tested in their own modules."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

import pytest

from tests.dora_metrics.calculators.examples import (
    GITHUB,
    JANUARY,
    at,
    change,
    covering,
    days_with,
    deployment,
    hotfix,
    issue,
    line,
    links,
    one_a_day,
    revert,
    unplanned,
    value_of,
)

HERE = "acme/billing"
rework = partial(value_of, "deployment_rework_rate")
FIX = change(3, closes=((HERE, 100),))


def fixing(one=FIX, *issues, **changed):
    return unplanned(**one_a_day("a", "b", "c", "m3", pull_requests=(one,), issues=issues, **changed))


def test_it_is_unplanned_successes_by_all_successes():
    changed = one_a_day("a", "m1", "m2", "m2", pull_requests=(change(1), hotfix(2)))
    changed["deployments"] = (*changed["deployments"], deployment(9, "x", at(4), "failure"))
    found = rework(**changed)
    assert (found.value, found.numerator, found.denominator, found.n, found.unit) == (1 / 4, 1, 4, 4, "share")
    assert found.details == {"unplanned": 1, "deployments": 4}


def test_without_a_success_it_is_null_and_never_0():
    found = rework(deployments=(deployment(1, "a", at(0), "failure"),))
    assert (found.value, found.n, found.details["unplanned"]) == (None, 0, 0)


def test_with_planned_successes_alone_it_is_0():
    assert rework(**one_a_day("a", "m1", pull_requests=(change(1),))).value == 0


def test_it_has_no_tier():
    found = rework(**one_a_day("a", "b", "a"))
    assert (found.value, found.tier, found.tier_year) == (1 / 3, None, None)


def test_a_success_with_several_reasons_counts_once():
    pulls = change(1), revert(2, 1), hotfix(3)
    changed = one_a_day("a", "m1", "m3", pull_requests=pulls, parents=line("a", "m1", "m2", "m3"))
    assert unplanned(**changed) == {"2": {"revert", "hotfix"}}
    assert rework(**changed).details["unplanned"] == 1


def test_it_counts_in_the_period_of_its_finish():
    assert days_with("deployment_rework_rate", "unplanned", **one_a_day("a", "b", "a")) == {2: 1}


def test_the_finish_s_local_date_decides():
    two = deployment(1, "b", at(1)), deployment(2, "a", datetime(2026, 1, 31, 20, tzinfo=UTC))
    changed = one_a_day("a", "b", deployments=two, coverage=covering(at(-40), at(90)))
    for zone, month in (("Asia/Kolkata", date(2026, 2, 1)), ("America/Los_Angeles", JANUARY)):
        assert rework("month", month, settings=replace(GITHUB, time_zone=zone), **changed).details["unplanned"] == 1


# --- a pull request that closes an incident ---------------------------------------------------------------------------


def test_a_pull_request_that_closes_an_incident_of_an_earlier_deployment_is_rework():
    assert fixing(FIX, issue(100, at(1.5), at(3))) == {"3": {"fix"}}


def test_however_the_incident_is_linked():
    assert fixing(FIX, issue(100, at(9), at(10), links=links(deployment="0"))) == {"3": {"fix"}}


def test_a_bot_s_counts_as_well():
    assert fixing(replace(FIX, author_is_bot=True), issue(100, at(1.5), at(3))) == {"3": {"fix"}}


@pytest.mark.parametrize("deployment_id", ["3", "4"], ids=["the same", "a later one"])
def test_an_incident_of_the_same_or_a_later_deployment_makes_no_rework(deployment_id):
    changed = one_a_day("a", "b", "c", "m3", "d", pull_requests=(FIX,), issues=(issue(100, at(5), links=links(deployment=deployment_id)),))
    assert unplanned(**changed) == {}


@pytest.mark.parametrize(
    "closed",
    [
        pytest.param(issue(100, at(-1), at(3)), id="an incident without a link"),
        pytest.param(issue(100, at(1.5), at(3), labels=("bug",)), id="no incident"),
        pytest.param(issue(100, at(1.5), at(3), state_reason="duplicate"), id="a duplicate"),
        pytest.param(issue(101, at(1.5), at(3)), id="another one"),
    ],
)
def test_closing_something_else_is_no_rework(closed):
    assert fixing(FIX, closed) == {}


def test_another_repository_s_incident_makes_no_rework():
    assert fixing(change(3, closes=(("acme/other", 100),)), issue(100, at(1.5), at(3))) == {}


def test_the_repository_goes_by_any_of_its_names_in_capital_or_small_letters():
    names = frozenset({"acme/invoices", "Acme/Billing"})
    assert fixing(change(3, closes=(("ACME/billing", 100),)), issue(100, at(1.5), at(3)), repositories=names) == {"3": {"fix"}}


def test_it_is_rework_whether_the_incident_is_over_or_not():
    assert fixing(FIX, issue(100, at(1.5))) == {"3": {"fix"}}


def test_only_the_success_that_first_carries_it_is_rework():
    changed = one_a_day("a", "b", "m3", "m3", pull_requests=(FIX,), issues=(issue(100, at(1.5)),))
    assert unplanned(**changed) == {"2": {"fix"}}


def test_one_that_is_not_deployed_is_no_rework():
    assert unplanned(**one_a_day("a", "b", pull_requests=(FIX,), issues=(issue(100, at(1.5)),))) == {}


def test_a_fix_is_no_reason_for_what_it_mends_to_have_failed():
    """Deployment 1 failed because of the incident only, not because FIX mends it."""
    changed = one_a_day("a", "b", "c", "m3", pull_requests=(FIX,), issues=(issue(100, at(1.5)),))
    assert value_of("change_fail_rate", **changed).details["reasons"] == {"incident": 1}
