import time

from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.calculators.change_matching import is_missing_from_git, match_changes
from dora_metrics.calculators.deployments import Attempt
from tests.dora_metrics.calculators.examples import at, line, pull, success


def carried(pulls, successes, parents, **more):
    """Map each pull request's number to the id of the deployment that carries it and how it was matched."""
    return {number: (match.deployment.ids[0], match.how) for number, match in match_changes(pulls, successes, parents, **more).items()}


def test_a_deployment_of_the_merge_commit_carries_it_by_sha():
    assert carried([pull(1)], [success(1, "a", at(0)), success(2, "m1", at(1))], line("a", "m1")) == {1: ("2", "sha")}


def test_a_deployment_of_the_head_carries_it_by_sha():
    parents = {"a": (), "h1": ("a",), "m1": ("a", "h1")}
    assert carried([pull(1)], [success(1, "a", at(-1)), success(2, "h1", at(-0.5))], parents) == {1: ("2", "sha")}


def test_a_descendant_of_the_merge_commit_carries_it_by_range():
    assert carried([pull(1)], [success(1, "a", at(0)), success(2, "c", at(1))], line("a", "m1", "b", "c")) == {1: ("2", "range")}


def test_the_second_parent_of_a_merge_is_history_too():
    parents = {"a": (), "m1": ("a",), "b": ("a",), "c": ("b", "m1")}
    assert carried([pull(1)], [success(1, "a", at(0)), success(2, "c", at(1))], parents) == {1: ("2", "range")}


def test_a_descendant_of_the_head_alone_carries_nothing_while_git_has_the_merge_commit():
    parents = {"a": (), "h1": ("a",), "x": ("h1",), "m1": ("a",)}
    assert carried([pull(1)], [success(1, "a", at(0)), success(2, "x", at(1))], parents) == {}


def test_where_git_lacks_the_merge_commit_the_head_stands_in():
    successes, parents = [success(1, "a", at(0)), success(2, "b", at(1))], line("a", "h1", "b")
    assert carried([pull(1)], successes, parents) == {1: ("2", "range")}
    assert carried([pull(1, merge_sha="")], successes, parents) == {1: ("2", "range")}


def test_squash_rebase_fast_forward_and_merge_commit_are_carried_alike():
    squash, rebase = {"a": (), "m1": ("a",), "z": ("m1",)}, {"a": (), "r1": ("a",), "m1": ("r1",), "z": ("m1",)}
    merge = {"a": (), "h1": ("a",), "m1": ("a", "h1"), "z": ("m1",)}
    for parents in (squash, rebase, merge):
        assert carried([pull(1)], [success(1, "a", at(0)), success(2, "z", at(1))], parents) == {1: ("2", "range")}
    forward = carried([pull(1, merge_sha="h1")], [success(1, "a", at(0)), success(2, "z", at(1))], line("a", "h1", "z"))
    assert forward == {1: ("2", "range")}


def test_the_first_success_carries_it_and_no_later_one():
    successes = [success(1, "a", at(0)), success(2, "b", at(1)), success(3, "m1", at(2)), success(4, "b", at(3))]
    assert carried([pull(1)], successes, line("a", "m1", "b")) == {1: ("2", "range")}


def test_the_first_deployment_does_not_carry_500_older_pull_requests():
    shas = [f"m{number}" for number in range(500)]
    assert carried([pull(number) for number in range(500)], [success(1, "m499", at(0))], line(*shas)) == {499: ("1", "sha")}


def test_a_rollback_into_the_first_deployment_s_history_carries_nothing():
    successes = [success(1, "m2", at(0)), success(2, "m1", at(1)), success(3, "m2", at(2))]
    assert carried([pull(1), pull(2)], successes, line("m1", "m2")) == {2: ("1", "sha")}


def test_a_rollback_and_forward_again_change_nothing():
    successes = [success(1, "a", at(0)), success(2, "m2", at(1)), success(3, "m1", at(2)), success(4, "m2", at(3))]
    assert carried([pull(1), pull(2)], successes, line("a", "m1", "m2")) == {1: ("2", "range"), 2: ("2", "sha")}


def test_a_slow_deployment_of_an_older_sha_carries_nothing_new():
    successes = [success(1, "a", at(0)), success(3, "m2", at(1)), success(2, "m1", at(1, hours=1))]
    assert carried([pull(1), pull(2)], successes, line("a", "m1", "m2")) == {1: ("3", "range"), 2: ("3", "sha")}


def test_a_sha_that_is_gone_carries_nothing_by_descent_and_hides_nothing():
    successes = [success(1, "gone", at(0)), success(2, "a", at(1)), success(3, "m1", at(2))]
    assert carried([pull(1)], successes, line("a", "m1")) == {1: ("3", "sha")}
    assert [is_missing_from_git(one, line("a", "m1")) for one in successes] == [one is successes[0] for one in successes]


def test_a_sha_that_is_gone_still_carries_what_has_that_very_sha():
    successes = [success(1, "h1", at(0)), success(2, "m1", at(1))]
    assert carried([pull(1)], successes, {"m1": ()}) == {1: ("1", "sha")}


def test_the_first_success_that_git_knows_is_the_one_that_hides_not_the_first():
    successes = [success(1, "gone", at(0)), success(2, "m2", at(1)), success(3, "m3", at(2))]
    assert carried([pull(1), pull(2), pull(3)], successes, line("m1", "m2", "m3")) == {2: ("2", "sha"), 3: ("3", "sha")}


def test_a_pull_request_that_was_never_deployed_has_no_match():
    assert carried([pull(1)], [success(1, "a", at(0))], line("a", "m1")) == {}
    assert carried([pull(1)], [], line("a", "m1")) == {}


def test_without_any_sha_the_first_success_after_the_merge_carries_it():
    successes = [success(1, "", at(-1)), success(2, "", at(0)), success(3, "", at(1))]
    assert carried([pull(1)], successes, {}) == {1: ("2", "time_matched")}


def test_without_any_sha_the_first_success_of_all_carries_nothing():
    assert carried([pull(1)], [success(1, "", at(1)), success(2, "", at(2))], {}) == {}


def test_without_any_sha_only_the_default_branch_is_matched():
    successes = [success(1, "", at(-1)), success(2, "", at(1))]
    assert carried([pull(1, base_branch="topic")], successes, {}, default_branch="main") == {}


def test_one_sha_anywhere_ends_matching_by_time():
    assert carried([pull(1)], [success(1, "", at(-1)), success(2, "", at(1)), success(3, "x", at(2))], {}) == {}


def test_a_pull_request_that_stands_for_a_deployment_carries_itself_only():
    one = Attempt(("1",), "production", "m1", at(0), at(0), is_success=True, pull_request=1)
    assert carried([pull(1), pull(2, base_branch="topic")], [one], {}) == {1: ("1", "sha")}


def test_a_hundred_thousand_commits_and_ten_thousand_deployments_take_seconds():
    shas = [f"m{number}" for number in range(100_000)]
    successes = [success(number, shas[number], at(0, minutes=number)) for number in range(9, 100_000, 10)]
    started = time.perf_counter()
    found = match_changes([pull(number) for number in range(100_000)], successes, line(*shas))
    assert len(found) == 100_000 - 9
    assert time.perf_counter() - started < 20


def descends(sha, ancestor, parents):
    return sha == ancestor or any(descends(parent, ancestor, parents) for parent in parents[sha])


@st.composite
def histories(draw):
    size = draw(st.integers(1, 8))
    parents = {f"m{n}": tuple(f"m{p}" for p in draw(st.sets(st.integers(0, n - 1), max_size=2))) if n else () for n in range(size)}
    return parents, draw(st.lists(st.sampled_from([*parents, "gone"]), max_size=6))


@given(histories())
def test_walking_once_agrees_with_asking_each_success(history):
    parents, deployed = history
    pulls, successes = [pull(number) for number in range(len(parents))], [success(n, sha, at(n)) for n, sha in enumerate(deployed)]
    known = [one for one in successes if one.sha in parents]
    expected = {}
    for one in pulls:
        carriers = [each for each in known if descends(each.sha, one.merge_sha, parents)]
        if carriers and (carriers[0] is not known[0] or carriers[0].sha == one.merge_sha):
            expected[one.number] = carriers[0].ids[0]
    assert {number: match.deployment.ids[0] for number, match in match_changes(pulls, successes, parents).items()} == expected


@given(histories(), st.randoms(use_true_random=False))
def test_the_order_in_which_pull_requests_and_commits_arrive_does_not_matter(history, random):
    parents, deployed = history
    pulls, successes = [pull(number) for number in range(len(parents))], [success(n, sha, at(n)) for n, sha in enumerate(deployed)]
    mixed = dict(random.sample(list(parents.items()), len(parents)))
    assert match_changes(random.sample(pulls, len(pulls)), successes, mixed) == match_changes(pulls, successes, parents)
