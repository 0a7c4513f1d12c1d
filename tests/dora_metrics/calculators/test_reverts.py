"""docs/metrics.md, "Revert": which pull requests are reverts, what they revert, and when they count."""

import pytest

from dora_metrics.calculators.git_history import Shas
from dora_metrics.calculators.inputs import RevertSigns
from dora_metrics.calculators.reverts_and_hotfixes import reverts
from tests.dora_metrics.calculators.examples import PULLS, at, change, deployment, failed, line, one_a_day, revert, unplanned

SHA = "ab12345" + 33 * "0"
UNKNOWN = None


def targets(*pulls):
    """Map each revert's number to the pull request or commit that it reverts."""
    shas = Shas({one.merge_sha for one in pulls}, {sha for one in pulls for sha in one.commit_shas})
    found = reverts(pulls, repositories=frozenset({"acme/billing", "acme/invoices"}), shas=shas)
    return {number: one.target_pull or one.target_sha or UNKNOWN for number, one in found.items()}


def signed(number, **signs):
    return change(number, revert_signs=RevertSigns(**signs))


def counted(*pulls, deployed=("a", "m1", "m2", "m3", "m4"), **changed):
    """Return two maps: why each failed deployment counts as failed, and why each unplanned one counts as unplanned (key to rules)."""
    changed = one_a_day(*deployed, pull_requests=pulls, **changed)
    return failed(**changed), unplanned(**changed)


NOTHING = ({}, {})


# --- signs of a revert ------------------------------------------------------------------------------------------------


def test_an_ordinary_pull_request_is_no_revert():
    assert targets(change(1), change(2)) == {}


@pytest.mark.parametrize(
    ("signs", "target"),
    [
        ({"pull": 1, "branch": 2, "sha": "m3", "has_title": True}, 1),
        ({"branch": 2, "sha": "m3", "has_title": True}, 2),
        ({"sha": "m3", "has_title": True}, 3),
        ({"has_title": True}, UNKNOWN),
    ],
)
def test_the_first_sign_that_is_there_says_what_was_reverted(signs, target):
    assert targets(change(1), change(2), change(3), signed(4, **signs)) == {4: target}


@pytest.mark.parametrize("repository", ["", "acme/billing", "Acme/Billing", "acme/invoices"])
def test_a_number_of_the_service_s_own_repository_whatever_its_name_is_meant(repository):
    assert targets(change(1), signed(2, pull=1, pull_repository=repository)) == {2: 1}


def test_of_another_repository_it_is_no_revert_whatever_else_says_so():
    assert targets(change(1), signed(2, pull=1, pull_repository="acme/other", branch=1, sha="m1", has_title=True)) == {}


def test_a_merge_commit_stands_for_its_pull_request():
    assert targets(change(1, merge_sha=SHA), signed(2, sha=SHA[:7])) == {2: 1}


def test_a_merge_commit_of_two_pull_requests_stands_for_the_same_one_in_whichever_order_they_came():
    """GitHub reports the same merge commit for both if merging the first also merged the second."""
    parents = {"a": (), "h1": ("a",), "m": ("a", "h1"), "m3": ("m",)}
    both = change(1, merge_sha="m"), change(2, merge_sha="m")
    one = signed(3, sha="m")
    assert counted(*both, one, deployed=("a", "h1", "m", "m3"), parents=parents) == counted(
        one, *both[::-1], deployed=("a", "h1", "m", "m3"), parents=parents
    )


def test_another_commit_is_reverted_itself():
    assert targets(change(1, commit_shas=(SHA,)), signed(2, sha=SHA)) == {2: SHA}


@pytest.mark.parametrize("sha", [SHA[:6], "ffffffff"], ids=["too short", "unknown"])
def test_a_sha_that_names_no_commit_leaves_the_target_unknown(sha):
    assert targets(change(1, merge_sha=SHA), signed(2, sha=sha)) == {2: UNKNOWN}


def test_a_beginning_of_two_commits_names_neither():
    assert targets(change(1, merge_sha=SHA), change(2, merge_sha=SHA[:-1] + "f"), signed(3, sha=SHA[:10])) == {3: UNKNOWN}


@pytest.mark.parametrize("target", [3, 77], ids=["merged later", "never merged"])
def test_what_was_not_merged_before_its_revert_is_unknown(target):
    assert targets(change(3), revert(2, target)) == {2: UNKNOWN}


def test_a_pull_request_that_names_itself_has_an_unknown_target():
    assert targets(revert(2, 2)) == {2: UNKNOWN}


def test_a_revert_of_a_revert_is_none_and_a_revert_of_that_is_one_again():
    chain = [change(1), revert(2, 1), revert(3, 2), revert(4, 3), revert(5, 4)]
    assert targets(*chain) == {2: 1, 4: 3}
    assert targets(*reversed(chain)) == {2: 1, 4: 3}


def test_a_revert_of_a_revert_is_known_by_its_merge_commit_too():
    assert targets(change(1), revert(2, 1), signed(3, sha="m2")) == {2: 1}


def test_a_revert_of_a_revert_of_another_repository_is_a_revert():
    elsewhere = change(1, revert_signs=RevertSigns(pull=9, pull_repository="acme/other"))
    assert targets(elsewhere, revert(2, 1)) == {2: 1}


# --- when a revert counts ---------------------------------------------------------------------------------------------


def test_what_carried_the_reverted_change_failed_and_what_carries_the_revert_was_not_planned():
    assert counted(change(1), revert(3, 1)) == ({"1": {"revert"}}, {"3": {"revert"}})


def test_a_revert_of_a_commit_fails_what_first_carries_that_commit():
    one = signed(3, sha="c1234567")
    assert counted(one, parents=line("a", "c1234567", "m1", "m2", "m3", "m4")) == ({"1": {"revert"}}, {"3": {"revert"}})


def test_a_revert_of_a_commit_that_a_squash_left_out_fails_what_carries_its_pull_request():
    assert counted(change(1, commit_shas=(SHA,)), signed(3, sha=SHA)) == ({"1": {"revert"}}, {"3": {"revert"}})


def test_a_revert_that_is_not_deployed_does_not_count():
    assert counted(change(1), revert(9, 1)) == NOTHING


def test_it_does_not_count_if_the_same_deployment_first_carried_what_it_reverts():
    assert counted(change(1), revert(2, 1), deployed=("a", "m2"), parents=line("a", "m1", "m2")) == NOTHING


def test_a_second_deployment_of_what_it_reverts_does_not_make_it_count():
    assert counted(change(1), revert(2, 1), deployed=("a", "m2", "m2"), parents=line("a", "m1", "m2")) == NOTHING


def test_with_an_unknown_target_it_fails_nothing_and_was_not_planned_all_the_same():
    assert counted(signed(2, has_title=True)) == ({}, {"2": {"revert"}})


def test_a_target_that_was_deployed_before_anybody_looked_fails_nothing():
    assert counted(change(1), revert(2, 1), deployed=("a", "m2"), parents=line("m1", "a", "m2")) == ({}, {"1": {"revert"}})


def test_a_target_that_was_not_deployed_yet_fails_nothing():
    """The revert reached production through another branch."""
    assert counted(change(1), revert(2, 1), deployed=("a", "m2"), parents=line("a", "m2")) == ({}, {"1": {"revert"}})


def test_a_target_that_was_deployed_only_after_its_revert_fails_nothing():
    assert counted(change(1), revert(2, 1), deployed=("a", "m2", "m1"), parents={"a": (), "m2": ("a",), "m1": ("a",)}) == ({}, {"1": {"revert"}})


def test_a_bot_s_revert_of_a_bot_s_change_counts():
    bot = {"author": "renovate[bot]", "author_is_bot": True}
    assert counted(change(1, **bot), revert(3, 1, **bot)) == ({"1": {"revert"}}, {"3": {"revert"}})


def test_two_reverts_of_one_change_are_one_reason():
    assert counted(change(1), revert(2, 1), revert(3, 1)) == ({"1": {"revert"}}, {"2": {"revert"}, "3": {"revert"}})


def test_a_revert_of_a_revert_in_another_deployment_cancels_nothing_and_is_no_rework():
    assert counted(change(1), revert(2, 1), revert(3, 2)) == ({"1": {"revert"}}, {"2": {"revert"}})


def test_a_revert_of_a_revert_in_the_same_deployment_cancels_it():
    pulls = change(1), revert(2, 1), revert(3, 2)
    assert counted(*pulls, deployed=("a", "m1", "m3"), parents=line("a", "m1", "m2", "m3")) == NOTHING


def test_a_revert_of_a_revert_that_is_not_deployed_cancels_nothing():
    assert counted(change(1), revert(2, 1), revert(9, 2)) == ({"1": {"revert"}}, {"2": {"revert"}})


def test_a_revert_of_what_put_the_change_back_fails_what_carried_that():
    pulls = change(1), revert(2, 1), revert(3, 2), revert(4, 3)
    assert counted(*pulls) == ({"1": {"revert"}, "3": {"revert"}}, {"2": {"revert"}, "4": {"revert"}})


def test_only_deployments_of_the_environment_carry():
    changed = one_a_day("a", "m1", "b", pull_requests=(change(1), revert(2, 1)))
    changed["deployments"] = (*changed["deployments"], deployment(9, "m2", at(2, hours=1), environment="staging"))
    assert failed(**changed) == {}


def test_where_merged_pull_requests_stand_for_deployments_a_revert_counts_as_well():
    both = {"settings": PULLS, "pull_requests": (change(1), revert(2, 1))}
    assert (failed(**both), unplanned(**both)) == ({"1": {"revert"}}, {"2": {"revert"}})
