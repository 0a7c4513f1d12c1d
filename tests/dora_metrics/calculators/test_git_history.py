"""Find the commit of a shortened sha, and whether one commit descends from another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.calculators.git_history import History, Shas
from tests.dora_metrics.calculators.examples import line

FIRST, SECOND = "ab12345" + 33 * "0", "ab12345f" + 32 * "0"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (FIRST, FIRST),
        (FIRST[:8], FIRST),
        (SECOND[:8], SECOND),
        (FIRST[:7], ""),  # both commits begin with it
        ("cd67890", "cd67890a"),
        ("cd6789", ""),  # only six digits
        ("0" * 40, ""),
        ("", ""),
        (FIRST + "0", ""),
    ],
)
def test_a_beginning_names_the_one_commit_that_has_it(text, named):
    assert Shas({FIRST: ()}, [SECOND, "", FIRST], {"cd67890a"}).named(text) == named


def test_a_whole_sha_is_meant_even_if_another_begins_with_it():
    assert Shas([FIRST[:10], FIRST]).named(FIRST[:10]) == FIRST[:10]


@pytest.mark.parametrize(
    ("ancestor", "descendant", "expected"),
    [("a", "c", True), ("a", "b", True), ("c", "a", False), ("b", "b", False), ("a", "gone", False), ("gone", "a", False), ("root", "a", False)],
)
def test_a_true_ancestor_is_another_commit_from_which_one_descends(ancestor, descendant, expected):
    parents = line("a", "b", "c") | {"a": ("root",)}  # the root itself was not collected
    assert History(parents).is_true_ancestor(ancestor, descendant) is expected


def test_the_second_parent_of_a_merge_is_an_ancestor():
    history = History({"a": (), "b": ("a",), "c": ("a",), "m": ("b", "c")})
    assert history.is_true_ancestor("c", "m")
    assert not history.is_true_ancestor("c", "b")


def test_a_generation_is_one_more_than_the_highest_parent_s():
    assert History({"a": (), "b": ("a",), "c": ("gone",), "m": ("a", "b", "c")}).generations == {"a": 1, "b": 2, "c": 1, "m": 3}


def test_a_long_line_is_no_deep_recursion():
    shas = [str(number) for number in range(20_000)]
    assert History(line(*shas)).is_true_ancestor("0", "19999")


def reached(sha, parents):
    return {sha}.union(*(reached(parent, parents) for parent in parents.get(sha, ())))


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 8))
    return {str(n): tuple(str(p) for p in draw(st.sets(st.integers(-1, n - 1), max_size=2))) if n else () for n in range(size)}


@given(graphs(), st.integers(0, 7), st.integers(0, 7))
def test_the_short_way_agrees_with_a_full_walk(parents, first, second):
    ancestor, descendant = str(first), str(second)
    are_known = ancestor in parents and descendant in parents
    expected = are_known and ancestor != descendant and ancestor in reached(descendant, parents)
    assert History(parents).is_true_ancestor(ancestor, descendant) is expected


@pytest.mark.timeout(10)
@pytest.mark.parametrize("parents", [{"a": ("a",)}, {"a": ("b",), "b": ("a",)}, {"a": ("b", "x"), "b": ("c",), "c": ("a",), "x": ()}])
def test_a_history_that_leads_back_to_itself_comes_to_an_end(parents: dict[str, tuple[str, ...]]) -> None:
    """Git has no such history, but what an answer of GitHub contains need not be git's."""
    assert History(parents).generations.keys() == parents.keys()
    assert not History(parents).is_true_ancestor("a", "a")


def test_a_history_reads_like_the_commits_that_it_was_made_of():
    parents = {"m": ("b", "c"), "c": ("a",), "b": ("a", "gone"), "a": ()}
    history = History(parents)
    assert dict(history) == parents
    assert set(history) == parents.keys()
    assert len(history) == len(parents)
    assert "gone" not in history
    assert history.get("gone") is None
    assert history.get("unknown") is None


def test_a_commit_that_was_collected_after_its_children_keeps_its_number():
    history = History({"m": ("b",)})
    number = history.number_of("b")
    history.add("b", ("a",))
    assert history.number_of("b") == number
    assert history["b"] == ("a",)
