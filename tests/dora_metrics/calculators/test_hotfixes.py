"""docs/metrics.md, "Hotfix"."""

from dataclasses import replace

import pytest

from dora_metrics.calculators.inputs import RevertSigns
from tests.dora_metrics.calculators.examples import (
    GITHUB,
    at,
    change,
    deployment,
    failed,
    hotfix,
    issue,
    line,
    links,
    one_a_day,
    revert,
    unplanned,
)

HERE = "acme/billing"
FOUR_DAYS = ("a", "m1", "m2", "m3", "m4")


def counted(*pulls, deployed=FOUR_DAYS, **changed):
    """Return two maps: why each failed deployment counts as failed, and why each unplanned one counts as unplanned (key to rules)."""
    changed = one_a_day(*deployed, pull_requests=pulls, **changed)
    return failed(**changed), unplanned(**changed)


def blamed(one, *pulls, **changed):
    """Return the keys of the deployments that failed because of a hotfix."""
    return [key for key, rules in counted(one, *pulls, **changed)[0].items() if "hotfix" in rules]


# --- which pull requests are hotfixes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hotfix", "Hotfix", "hot-fix", "HOTFIX", "hotfix/login", "hotfix-12", "hotfix_12", "hot-fix urgent"])
@pytest.mark.parametrize("where", ["label", "branch"])
def test_a_label_or_a_branch_makes_a_hotfix(where, name):
    one = change(2, labels=("bug", name)) if where == "label" else change(2, head_branch=name)
    assert unplanned(**one_a_day(*FOUR_DAYS, pull_requests=(one,))) == {"2": {"hotfix"}}


@pytest.mark.parametrize("name", ["", "fix", "hot", "hotfixes", "hotfix2", "no-hotfix", "feature/hotfix", "hot fix"])
def test_other_names_make_none(name):
    assert counted(change(2, labels=(name,), head_branch=name)) == ({}, {})


def test_the_name_is_a_setting():
    settings = replace(GITHUB, hotfix="^urgent")
    assert counted(change(2, labels=("urgent",)), hotfix(3), settings=settings)[1] == {"2": {"hotfix"}}


def test_an_empty_name_finds_none():
    assert counted(hotfix(2), change(3), settings=replace(GITHUB, hotfix="")) == ({}, {})


@pytest.mark.parametrize("signs", [RevertSigns(pull=1), RevertSigns(has_title=True)], ids=["of a change", "of something unknown"])
def test_a_revert_is_no_hotfix(signs):
    assert counted(change(1), hotfix(3, revert_signs=signs))[1] == {"3": {"revert"}}


def test_a_revert_of_a_revert_is_no_revert_and_may_be_a_hotfix():
    assert counted(change(1), revert(2, 1), hotfix(3, revert_signs=RevertSigns(pull=2)))[1] == {"2": {"revert"}, "3": {"hotfix"}}


def test_a_bot_s_hotfix_counts():
    assert counted(hotfix(2, author_is_bot=True)) == ({"1": {"hotfix"}}, {"2": {"hotfix"}})


# --- the deployment that a hotfix is linked to ------------------------------------------------------------------------


def test_by_time_the_latest_success_before_its_creation_failed():
    assert counted(hotfix(2)) == ({"1": {"hotfix"}}, {"2": {"hotfix"}})


def test_its_creation_counts_and_not_its_merge():
    assert blamed(hotfix(3, created_at=at(1.25))) == ["1"]


def test_a_success_at_its_very_creation_is_before_it():
    assert blamed(hotfix(3, created_at=at(1))) == ["1"]


@pytest.mark.parametrize(("later", "expected"), [({"hours": 168}, ["0"]), ({"hours": 168, "seconds": 1}, [])])
def test_it_is_linked_to_a_success_at_most_168_hours_before(later, expected):
    fixed = (deployment(0, "a", at(0)), deployment(1, "m9", at(9)))
    assert blamed(hotfix(9, created_at=at(0, **later)), deployments=fixed, parents=line("a", "m9")) == expected


@pytest.mark.parametrize("said", [{"deployment": "1"}, {"root_cause": "m1"}, {"caused_by": 1}], ids=["deployment", "root cause", "caused by"])
def test_its_own_body_says_what_failed(said):
    assert blamed(hotfix(4, links=links(**said)), change(1)) == ["1"]


def test_its_own_body_comes_before_the_incident_that_it_closes():
    said = links(caused_by=1)
    closed = issue(100, at(2.5), at(4), links=links(deployment="2"))
    assert blamed(hotfix(4, links=said, closes=((HERE, 100),)), change(1), issues=(closed,)) == ["1"]


def test_the_link_of_the_incident_that_it_closes_is_its_link():
    closed = issue(100, at(1.5), at(4))
    assert counted(hotfix(4, closes=((HERE, 100),)), issues=(closed,)) == ({"1": {"hotfix", "incident"}}, {"4": {"fix", "hotfix"}})


def test_of_several_incidents_the_lowest_number_s_that_has_a_link_counts():
    unlinked, of_2, of_1 = issue(100, at(-1), at(4)), issue(101, at(2.5), at(4)), issue(102, at(1.5), at(4))
    assert blamed(hotfix(4, closes=((HERE, 102), (HERE, 101), (HERE, 100))), issues=(unlinked, of_2, of_1)) == ["2"]


@pytest.mark.parametrize(
    "closed",
    [
        pytest.param(issue(100, at(1.5), at(4), labels=("bug",)), id="no incident"),
        pytest.param(issue(100, at(1.5), at(4), state_reason="duplicate"), id="a duplicate"),
        pytest.param(issue(100, at(-1), at(4)), id="an incident without a link"),
    ],
)
def test_other_issues_that_it_closes_leave_it_to_the_time(closed):
    assert blamed(hotfix(4, closes=((HERE, 100),)), issues=(closed,)) == ["3"]


def test_another_repository_s_incident_leaves_it_to_the_time():
    assert blamed(hotfix(4, closes=(("acme/other", 100),)), issues=(issue(100, at(1.5), at(4)),)) == ["3"]


def test_a_known_deployment_of_another_environment_in_its_body_means_no_link_at_all():
    three = one_a_day("a", "m1", "m2")["deployments"]
    elsewhere = deployment(9, "x", at(1), environment="staging")
    assert counted(hotfix(2, links=links(deployment="9")), deployments=(*three, elsewhere)) == ({}, {"2": {"hotfix"}})


# --- when a hotfix counts ---------------------------------------------------------------------------------------------


def test_it_counts_once_deployed():
    assert counted(hotfix(9, created_at=at(1.25))) == ({}, {})


def test_carried_by_the_very_deployment_that_it_is_linked_to_it_fails_nothing():
    assert counted(hotfix(2, links=links(deployment="2"))) == ({}, {"2": {"hotfix"}})


def test_carried_before_the_deployment_that_it_is_linked_to_it_fails_nothing():
    assert counted(hotfix(2, links=links(deployment="4"))) == ({}, {"2": {"hotfix"}})


def test_linked_to_nothing_it_was_not_planned_all_the_same():
    assert counted(hotfix(1, created_at=at(-1))) == ({}, {"1": {"hotfix"}})


def test_outside_production_time_alone_links_nothing():
    staged = tuple(replace(one, environment="staging") for one in one_a_day(*FOUR_DAYS)["deployments"])
    assert counted(hotfix(2), deployments=staged, environment="staging") == ({}, {"2": {"hotfix"}})
