"""docs/metrics.md, "Incident": which issues are incidents, and which deployment each is linked to."""

from dataclasses import replace

import pytest

from dora_metrics.calculators.inputs import Links, RevertSigns
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import (
    GITHUB,
    HOUR,
    PULLS,
    RELEASES,
    WORKFLOWS,
    assessed,
    at,
    change,
    deployment,
    issue,
    line,
    linked,
    links,
    one_a_day,
    pull,
    release,
    revert,
    run,
)

SHA, OTHER = "ab12345" + 33 * "0", "ab12345" + 33 * "f"
HERE = "acme/billing"


def found(*issues, settings=GITHUB):
    """Map each incident's number to its start and end."""
    return {one.incident.number: (one.incident.started_at, one.incident.ended_at) for one in assessed(issues=issues, settings=settings).incidents}


def link_of(one, **changed):
    return linked(issues=(one,), **changed)[one.number]


def on_day_3(**said):
    """Return an incident that begins at noon of day 3. `said`: the references in its body."""
    return issue(100, at(3.5), links=links(**said))


# --- which issues are incidents ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["incident", "Incident", "incident: database", "outage", "OUTAGE/eu", "sev1", "SEV-2", "sev_3", "sev 0"])
def test_an_issue_with_such_a_label_is_an_incident(label):
    assert list(found(issue(1, at(0), labels=("bug", label)))) == [1]


@pytest.mark.parametrize("labels", [(), ("bug",), ("severity",), ("sev",), ("no incident",), ("post-outage", "")])
def test_other_issues_are_none(labels):
    assert found(issue(1, at(0), labels=labels)) == {}


def test_the_label_is_a_setting():
    settings = replace(GITHUB, incident_label="^fire$")
    assert list(found(issue(1, at(0), labels=("fire",)), issue(2, at(0), labels=("incident",)), settings=settings)) == [1]


def test_an_empty_label_pattern_finds_none():
    assert found(issue(1, at(0)), issue(2, at(0), labels=("",)), settings=replace(GITHUB, incident_label="")) == {}


def test_a_label_that_was_removed_makes_no_incident():
    then, now = issue(1, at(0)), issue(1, at(0), labels=())
    assert (list(found(then)), list(found(now))) == ([1], [])


@pytest.mark.parametrize(("reason", "is_incident"), [("completed", True), ("", True), ("not_planned", False), ("duplicate", False)])
def test_one_that_was_closed_as_not_planned_or_duplicate_is_none(reason, is_incident):
    assert bool(found(issue(1, at(0), at(1), state_reason=reason))) is is_incident


def test_one_that_was_closed_as_not_planned_and_reopened_is_an_open_incident():
    assert found(issue(1, at(0), None, state_reason="reopened")) == {1: (at(0), None)}
    assert found(issue(1, at(0), None, state_reason="not_planned")) == {1: (at(0), None)}


def test_a_pull_request_with_an_incident_s_label_is_no_incident():
    assert linked(**one_a_day("a", "m1", pull_requests=(change(1, labels=("incident",)),))) == {}


def test_it_lasts_from_its_creation_to_its_last_closing():
    assert found(issue(1, at(0), at(2))) == {1: (at(0), at(2))}


def test_it_is_open_while_it_is_not_closed_or_was_reopened():
    assert found(issue(1, at(0)), issue(2, at(1), state_reason="reopened")) == {1: (at(0), None), 2: (at(1), None)}


def test_if_it_was_closed_before_it_was_created_it_ended_when_it_started():
    assert found(issue(1, at(2), at(1))) == {1: (at(2), at(2))}


def test_incidents_are_in_the_order_of_their_start_and_then_of_their_number():
    assert list(found(issue(3, at(1)), issue(2, at(1)), issue(4, at(0)))) == [4, 2, 3]


# --- (1) references in the body ---------------------------------------------------------------------------------------


def test_a_deployment_s_id_links_it_even_to_a_failed_one():
    three = one_a_day("a", "b", "c", "d", "e")
    three["deployments"] = (*three["deployments"], deployment(9, "f", at(2, hours=1), "failure"))
    assert link_of(on_day_3(deployment="1"), **three) == ("1", "explicit")
    assert link_of(on_day_3(deployment="9"), **three) == ("9", "explicit")


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"deployment": "4"}, id="its id"),
        pytest.param({"deployment": "m4"}, id="its sha"),
        pytest.param({"root_cause": "m4"}, id="a commit that it carries"),
        pytest.param({"caused_by": 4}, id="a pull request that it carries"),
    ],
)
def test_a_deployment_that_began_after_it_is_not_its_cause_whatever_its_body_says(said):
    days = one_a_day("a", "m1", "m2", "m3", "m4", pull_requests=(change(1), change(4)))
    one = on_day_3(**said)
    assert link_of(one, **days) == ("3", "time")
    [found] = assessed(issues=(one,), **days).incidents
    assert found.flags == {"impossible_cause"}


def test_after_an_impossible_cause_its_body_s_next_one_counts_and_the_flag_stays():
    days = one_a_day("a", "m1", "m2", "m3", "m4", pull_requests=(change(1), change(4)))
    one = on_day_3(deployment="4", root_cause="m1")
    assert link_of(one, **days) == ("1", "explicit")
    assert assessed(issues=(one,), **days).incidents[0].flags == {"impossible_cause"}


def test_a_revert_of_what_was_deployed_after_it_is_passed_over():
    days = one_a_day("a", "m1", "m2", "m3", "m4", pull_requests=(change(1), change(4), revert(5, 4, closes=((HERE, 100),))))
    assert link_of(on_day_3(), **days) == ("3", "time")
    assert assessed(issues=(on_day_3(),), **days).incidents[0].flags == {"impossible_cause"}


def test_a_deployment_that_was_running_when_it_began_may_be_its_cause():
    running = deployment(4, "d", at(3.4), *("in_progress",) * 300, "success")
    days = one_a_day("a", "b", "c", "d")
    days["deployments"] = (*days["deployments"], running)
    assert link_of(on_day_3(deployment="4"), **days) == ("4", "explicit")
    assert link_of(on_day_3(), **days) == ("3", "time")
    assert assessed(issues=(on_day_3(deployment="4"),), **days).incidents[0].flags == set()


def test_what_failed_before_it_may_be_its_cause_though_its_retry_began_later():
    tries = (deployment(1, "a", at(1)), deployment(7, "b", at(3.49), "failure"), deployment(8, "b", at(3.51)))
    assert link_of(on_day_3(deployment="7"), deployments=tries) == ("8", "explicit")


def test_either_id_of_a_retried_attempt_names_it():
    tries = (deployment(7, "a", at(0), "failure"), deployment(8, "a", at(0, minutes=30)), deployment(9, "b", at(1)))
    for named in ("7", "8"):
        assert link_of(on_day_3(deployment=named), deployments=tries) == ("8", "explicit")


@pytest.mark.parametrize("named", [SHA, SHA[:7], SHA[:20]])
def test_a_deployed_sha_links_it_by_7_digits_or_more(named):
    assert link_of(on_day_3(deployment=named), **one_a_day("a", SHA, "c")) == ("1", "explicit")


def test_six_digits_name_no_sha():
    assert link_of(on_day_3(deployment=SHA[:6]), **one_a_day("a", SHA, "c")) == ("2", "time")


def test_a_beginning_of_two_deployed_shas_names_neither():
    assert link_of(on_day_3(deployment=SHA[:7]), **one_a_day("a", SHA, OTHER, "c")) == ("3", "time")


def test_of_a_sha_it_is_the_latest_attempt_by_its_start():
    assert link_of(on_day_3(deployment="b"), **one_a_day("a", "b", "b", "c", "b")) == ("2", "explicit")
    assert link_of(issue(100, at(2), links=links(deployment="b")), **one_a_day("a", "b", "b", "c", "b")) == ("2", "explicit")


def test_of_a_sha_without_a_finished_attempt_by_then_it_is_the_first_that_had_begun():
    tries = (deployment(0, "a", at(0)), deployment(1, "b", at(1), "in_progress", "success"), deployment(2, "b", at(2)))
    assert link_of(issue(100, at(1, seconds=5), links=links(deployment="b")), deployments=tries) == ("1", "explicit")
    assert link_of(issue(100, at(0.5), links=links(deployment="b")), deployments=tries) == ("0", "time")


def test_digits_that_are_no_known_id_are_taken_as_a_sha():
    both = (deployment(1234567, "x", at(0)), deployment(2, "1234567a", at(1)), deployment(3, "c", at(2)))
    assert link_of(on_day_3(deployment="1234567"), deployments=both) == ("1234567", "explicit")
    assert link_of(on_day_3(deployment="1234567"), deployments=both[1:]) == ("2", "explicit")


def test_of_several_deployments_in_a_body_the_first_that_is_known_counts():
    one = issue(100, at(3.5), links=Links(deployments=("77", "1", "2")))
    assert link_of(one, **one_a_day("a", "b", "c")) == ("1", "explicit")


def test_a_workflow_run_s_number_names_its_latest_attempt_by_then_else_the_first_that_had_begun():
    runs = tuple(run(5, attempt=number, sha=f"s{number}", started_at=at(number - 0.5), updated_at=at(number)) for number in (1, 2, 4))
    assert link_of(on_day_3(deployment="5"), settings=WORKFLOWS, workflow_runs=runs) == ("5.2", "explicit")
    assert link_of(issue(100, at(0.7), links=links(deployment="5")), settings=WORKFLOWS, workflow_runs=runs) == ("5.1", "explicit")


def test_a_release_or_a_pull_request_that_stands_for_a_deployment_is_named_by_its_number():
    both = {"releases": (release(5, "a", at(1)), release(6, "b", at(2))), "pull_requests": (change(1), change(2))}
    assert link_of(on_day_3(deployment="5"), settings=RELEASES, **both) == ("5", "explicit")
    assert link_of(on_day_3(deployment="1"), settings=PULLS, **both) == ("1", "explicit")


ELSEWHERE = [
    pytest.param(deployment(9, "m9", at(1), environment="staging"), id="of another environment"),
    pytest.param(deployment(9, "m9", at(1), "in_progress"), id="that has not finished"),
]


@pytest.mark.parametrize("named", ["9", "m9"])
@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_a_known_deployment_that_is_no_attempt_here_means_no_link_at_all(elsewhere, named):
    one = issue(100, at(3.5), links=links(deployment=named, root_cause="m1", caused_by=1))
    changed = one_a_day("a", "m1", "m2", "c", pull_requests=(change(1), revert(2, 1, closes=((HERE, 100),))))
    changed["deployments"] = (*changed["deployments"], elsewhere)
    assert link_of(one, **changed) is None


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        pytest.param(WORKFLOWS, {"workflow_runs": (run(4, updated_at=at(1)), run(9, sha="b", conclusion="cancelled"))}, id="a cancelled run"),
        pytest.param(WORKFLOWS, {"workflow_runs": (run(4, updated_at=at(1)), run(9, sha="b", conclusion=""))}, id="a run that goes on"),
        pytest.param(RELEASES, {"releases": (release(4, "a", at(1)), release(9, "b", at(1), is_prerelease=True))}, id="a prerelease"),
    ],
)
def test_the_same_goes_for_a_run_or_a_release_that_is_known_but_no_attempt(settings, changed):
    assert link_of(on_day_3(deployment="9"), settings=settings, **changed) is None


def test_a_sha_that_was_deployed_here_as_well_as_elsewhere_is_linked_here():
    changed = one_a_day("a", "b", "c")
    changed["deployments"] = (*changed["deployments"], deployment(9, "b", at(3), environment="staging"))
    assert link_of(on_day_3(deployment="b"), **changed) == ("1", "explicit")


def test_an_unknown_deployment_is_passed_over():
    assert link_of(on_day_3(deployment="77", root_cause="b"), **one_a_day("a", "b", "c")) == ("1", "explicit")


def test_a_root_cause_is_what_first_carries_that_commit():
    changed = one_a_day("a", "c", "d")
    changed["parents"] = line("a", SHA, "c", "d")
    for named in (SHA, SHA[:7]):
        assert link_of(on_day_3(root_cause=named), **changed) == ("1", "explicit")


def test_a_root_cause_that_two_commits_begin_with_names_neither():
    changed = one_a_day("a", SHA, "c", "d", parents=line("a", OTHER, SHA, "c", "d"))
    assert link_of(on_day_3(root_cause=SHA[:7]), **changed) == ("3", "time")


@pytest.mark.parametrize("named", ["c1", "h1"])
def test_a_root_cause_that_a_squash_left_out_of_the_branch_is_found_by_its_pull_request(named):
    changed = one_a_day("a", "m1", "c", pull_requests=(change(1, commit_shas=("c0", "c1")),))
    assert link_of(on_day_3(root_cause=named), **changed) == ("1", "explicit")


def test_of_several_pull_requests_with_that_commit_the_first_carried_counts():
    both = (change(1, commit_shas=("c9",)), change(2, commit_shas=("c9",)))
    assert link_of(on_day_3(root_cause="c9"), **one_a_day("a", "m2", "m1", "c", pull_requests=both)) == ("1", "explicit")


@pytest.mark.parametrize("named", ["x" * 40, "old", "new"], ids=["unknown", "older than the first deployment", "not deployed yet"])
def test_a_root_cause_that_nothing_carries_is_passed_over(named):
    changed = one_a_day("a", "b", "c", parents=line("old", "a", "b", "c", "new"))
    assert link_of(on_day_3(root_cause=named), **changed) == ("2", "time")


def test_a_later_rollback_to_a_commit_older_than_the_first_deployment_does_not_first_carry_it():
    changed = one_a_day("b", "c", "a", parents=line("a", "b", "c"))
    assert link_of(issue(100, at(1.5), links=links(root_cause="a")), **changed) == ("1", "time")


def test_caused_by_is_what_first_carries_that_pull_request():
    assert link_of(on_day_3(caused_by=1), **one_a_day("a", "m1", "m1", "c", pull_requests=(change(1),))) == ("1", "explicit")


def test_a_bot_s_pull_request_may_be_the_cause():
    bot = change(1, author="renovate[bot]", author_is_bot=True)
    assert link_of(on_day_3(caused_by=1), **one_a_day("a", "m1", "c", pull_requests=(bot,))) == ("1", "explicit")


@pytest.mark.parametrize("number", [2, 77], ids=["not deployed", "unknown"])
def test_a_caused_by_that_nothing_carries_is_passed_over(number):
    assert link_of(on_day_3(caused_by=number), **one_a_day("a", "m1", "c", pull_requests=(change(1), change(2)))) == ("2", "time")


@pytest.mark.parametrize(
    ("said", "is_reverted", "expected"),
    [
        ({"deployment": "1", "root_cause": "m2", "caused_by": 3}, True, ("1", "explicit")),
        ({"root_cause": "m2", "caused_by": 3}, True, ("2", "explicit")),
        ({"caused_by": 3}, True, ("3", "explicit")),
        ({}, True, ("4", "revert")),
        ({}, False, ("5", "time")),
    ],
)
def test_the_first_kind_of_link_that_yields_a_deployment_counts(said, is_reverted, expected):
    closes = ((HERE, 100),) if is_reverted else ()
    pulls = (*(change(number) for number in range(1, 6)), revert(6, 4, closes=closes))
    one = issue(100, at(5.5), links=links(**said))
    assert link_of(one, **one_a_day("a", *(f"m{number}" for number in range(1, 7)), pull_requests=pulls)) == expected


# --- (2) a revert that closes the incident ----------------------------------------------------------------------------


def reverting(*pulls):
    return one_a_day("a", "m1", "m2", "m3", "m4", pull_requests=(change(1), change(2), *pulls))


def test_a_revert_that_closes_it_links_it_to_what_carried_the_reverted_change():
    assert link_of(on_day_3(), **reverting(revert(3, 1, closes=((HERE, 100),)))) == ("1", "revert")


def test_a_revert_that_is_not_deployed_yet_links_it_as_well():
    assert link_of(on_day_3(), **reverting(revert(9, 1, closes=((HERE, 100),)))) == ("1", "revert")


def test_of_several_reverts_the_lowest_number_s_whose_target_was_carried_counts():
    closes = ((HERE, 100),)
    never_deployed, of_2, of_1 = revert(30, 8, closes=closes), revert(31, 2, closes=closes), revert(32, 1, closes=closes)
    assert link_of(on_day_3(), **reverting(change(8), of_1, of_2, never_deployed)) == ("2", "revert")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(change(4, closes=((HERE, 100),)), id="no revert"),
        pytest.param(revert(4, 1, closes=(("acme/other", 100),)), id="it closes another repository's"),
        pytest.param(revert(4, 1, closes=((HERE, 101),)), id="it closes another issue"),
        pytest.param(revert(4, 1), id="it closes none"),
        pytest.param(change(4, revert_signs=RevertSigns(has_title=True), closes=((HERE, 100),)), id="its target is unknown"),
        pytest.param(change(4, revert_signs=RevertSigns(pull=1, pull_repository="acme/other"), closes=((HERE, 100),)), id="another repository's"),
    ],
)
def test_other_pull_requests_link_nothing(other):
    assert link_of(on_day_3(), **reverting(other)) == ("3", "time")


def test_a_revert_of_a_revert_links_nothing():
    assert link_of(on_day_3(), **reverting(revert(3, 1), revert(4, 3, closes=((HERE, 100),)))) == ("3", "time")


@pytest.mark.parametrize("name", ["acme/billing", "Acme/Billing", "acme/invoices"])
def test_the_repository_goes_by_any_of_its_names_in_capital_or_small_letters(name):
    changed = reverting(revert(3, 1, closes=((name, 100),))) | {"repositories": frozenset({"ACME/billing", "acme/invoices"})}
    assert link_of(on_day_3(), **changed) == ("1", "revert")


# --- (3) by time ------------------------------------------------------------------------------------------------------


def test_the_latest_success_before_it_is_linked_and_no_failed_attempt():
    changed = one_a_day("a", "b")
    changed["deployments"] = (*changed["deployments"], deployment(9, "c", at(2), "failure"), deployment(10, "d", at(5)))
    assert link_of(on_day_3(), **changed) == ("1", "time")


def test_a_success_at_its_very_start_is_before_it():
    assert link_of(issue(100, at(1)), **one_a_day("a", "b")) == ("1", "time")


def test_of_two_successes_at_once_the_higher_id_is_the_latest():
    two = (deployment(10, "b", at(1)), deployment(9, "a", at(1)))
    assert link_of(on_day_3(), deployments=two) == ("10", "time")


@pytest.mark.parametrize(("hours", "expected"), [(168, ("0", "time")), (168 + 1 / 3600, None)])
def test_it_is_linked_to_a_success_at_most_168_hours_before(hours, expected):
    assert link_of(issue(100, at(0) + hours * HOUR), **one_a_day("a")) == expected


@pytest.mark.parametrize(("hours", "expected"), [(2, ("0", "time")), (2.001, None)])
def test_how_far_it_looks_back_is_a_setting(hours, expected):
    settings = Settings(deployments_from="github", look_back_hours=2)
    assert link_of(issue(100, at(0) + hours * HOUR), settings=settings, **one_a_day("a")) == expected


def test_before_the_first_success_there_is_no_link():
    assert link_of(issue(100, at(-1)), **one_a_day("a")) is None


def test_an_explicit_link_has_no_limit_in_time():
    assert link_of(issue(100, at(30), links=links(deployment="0")), **one_a_day("a")) == ("0", "explicit")


# --- outside production -----------------------------------------------------------------------------------------------


def staged(**changed):
    three = one_a_day("a", "m1", "m2", "m3", **changed)
    return three | {"deployments": tuple(replace(one, environment="staging") for one in three["deployments"]), "environment": "staging"}


def test_outside_production_time_alone_links_nothing():
    assert link_of(on_day_3(), **staged()) is None


def test_outside_production_a_body_or_a_revert_links():
    assert link_of(on_day_3(deployment="1"), **staged()) == ("1", "explicit")
    assert link_of(on_day_3(), **staged(pull_requests=(pull(1), revert(2, 1, closes=((HERE, 100),))))) == ("1", "revert")
