"""docs/metrics.md, "Change fail rate": the reason `rollback`."""

import pytest

from tests.dora_metrics.calculators.examples import PULLS, RELEASES, at, deployment, failed, line, one_a_day, pull, release, unplanned


def rolled_back(*shas, **changed):
    """Return the keys of the deployments that were rolled back, and of those that are rollbacks."""
    changed = one_a_day(*shas, **changed)
    return (
        [key for key, rules in failed(**changed).items() if "rollback" in rules],
        [key for key, rules in unplanned(**changed).items() if "rollback" in rules],
    )


def of(*deployments, parents=None):
    return rolled_back(deployments=deployments, parents=parents or line("a", "b", "c"))


NOTHING = ([], [])


def test_a_success_of_a_true_ancestor_rolls_the_one_before_it_back():
    assert rolled_back("a", "b", "a") == (["1"], ["2"])


def test_an_ancestor_of_any_distance_and_by_any_parent_is_one():
    parents = {"a": (), "b": ("a",), "c": ("a",), "m": ("b", "c"), "d": ("m",)}
    assert rolled_back("a", "d", "c", parents=parents) == (["1"], ["2"])


def test_the_same_commit_again_is_no_rollback():
    assert rolled_back("a", "b", "b") == NOTHING


def test_forward_again_is_no_rollback():
    assert rolled_back("a", "b", "a", "b") == (["1"], ["2"])


def test_another_branch_is_no_rollback():
    assert rolled_back("a", "b", "c", parents={"a": (), "b": ("a",), "c": ("a",)}) == NOTHING


@pytest.mark.parametrize("known", [("a",), ("b",), ()], ids=["the one before is gone", "the ancestor is gone", "both are gone"])
def test_a_commit_that_is_gone_from_git_tells_nothing(known):
    assert rolled_back("a", "b", "a", parents={sha: parents for sha, parents in line("a", "b").items() if sha in known}) == NOTHING


def test_only_the_last_one_before_it_is_rolled_back():
    assert rolled_back("a", "b", "c", "a", parents=line("a", "b", "c")) == (["2"], ["3"])


def test_two_steps_back_roll_two_back():
    assert rolled_back("a", "b", "c", "b", "a") == (["2", "3"], ["3", "4"])


def test_a_failed_attempt_and_the_success_before_it_may_both_be_rolled_back():
    tries = deployment(1, "b", at(1)), deployment(2, "c", at(2), "failure"), deployment(3, "a", at(3))
    assert of(*tries) == (["1", "2"], ["3"])


def test_a_failed_attempt_alone_is_rolled_back_where_the_success_before_it_had_the_same_commit():
    tries = deployment(1, "a", at(1)), deployment(2, "c", at(2), "failure"), deployment(3, "a", at(3))
    assert of(*tries) == (["2"], ["3"])


def test_a_failed_attempt_rolls_nothing_back():
    assert of(deployment(1, "b", at(1)), deployment(2, "a", at(2), "failure")) == NOTHING


def test_an_earlier_failed_attempt_is_neither_the_last_attempt_nor_a_success():
    tries = deployment(1, "c", at(1), "failure"), deployment(2, "a", at(2)), deployment(3, "a", at(3))
    assert of(*tries) == (["1"], ["2"])


def test_started_when_the_other_finished_it_is_a_rollback():
    assert of(deployment(1, "b", at(1)), deployment(2, "a", at(1), "in_progress", "success")) == (["1"], ["2"])


def test_started_before_the_other_had_finished_it_is_a_slow_deployment():
    slow = deployment(2, "a", at(1, seconds=-1), "in_progress", "success")
    assert of(deployment(1, "b", at(1)), slow) == NOTHING


def test_only_the_very_same_environment_counts():
    assert of(deployment(1, "b", at(1), environment="prod-eu"), deployment(2, "a", at(2), environment="prod-us")) == NOTHING
    between = deployment(3, "c", at(1.5), environment="prod-us")
    both = deployment(1, "b", at(1), environment="prod-eu"), between, deployment(2, "a", at(2), environment="prod-eu")
    assert of(*both) == (["1"], ["2"])


def test_a_release_of_an_older_commit_is_a_rollback_as_well():
    releases = release(1, "b", at(1)), release(2, "a", at(2))
    assert rolled_back(settings=RELEASES, releases=releases, parents=line("a", "b")) == (["1"], ["2"])


def test_a_merge_rolls_nothing_back_where_merges_stand_for_deployments():
    """Stacked pull requests that were pushed together: both were merged in the same second, and the lower number has the younger commit."""
    both = pull(10, merge_sha="b"), pull(11, merge_sha="a")
    assert rolled_back(settings=PULLS, pull_requests=both, parents=line("a", "b")) == NOTHING
