"""What is left of the hour, and how large a page may be."""

import time

import pytest

from etl_tasks.errors import RetriableError
from etl_tasks.sources.github.budget import Budget, PageSize


def headers(remaining: int, *, limit: int = 5000, reset_in: float = 600) -> dict[str, str]:
    return {"X-RateLimit-Remaining": str(remaining), "X-RateLimit-Limit": str(limit), "X-RateLimit-Reset": str(int(time.time() + reset_in))}


def may_go_on(budget: Budget, resource: str) -> bool:
    try:
        budget.spare(resource)
    except RetriableError:
        return False
    return True


def test_the_reserve_for_people_is_left_alone_until_the_reset():
    budget = Budget()
    budget.read("graphql", headers(500))

    with pytest.raises(RetriableError, match="500 of GitHub's 5000 graphql points") as refused:
        budget.spare("graphql")
    assert refused.value.postpone
    assert 590 < (refused.value.retry_after or 0) <= 602


@pytest.mark.parametrize(
    "seen",
    [
        {},
        headers(501),
        headers(0, reset_in=-1),
        {"X-RateLimit-Remaining": "0"},
        {**headers(0), "X-RateLimit-Reset": "soon"},
    ],
)
def test_it_goes_on_with_enough_left_after_the_reset_or_without_knowing(seen):
    budget = Budget()
    budget.read("graphql", seen)

    assert may_go_on(budget, "graphql")


def test_graphql_and_rest_have_budgets_of_their_own():
    budget = Budget()
    budget.read("graphql", headers(0))

    assert not may_go_on(budget, "graphql")
    assert may_go_on(budget, "core")


def test_a_page_is_halved_by_failures_and_grows_back_after_successes():
    page = PageSize(start=100, largest=100)
    sizes = []
    for step in ["f", "f", "s", "s", "s", "s", "s", "s", "s"]:
        (page.failed if step == "f" else page.succeeded)()
        sizes.append(page.size)

    assert sizes == [50, 25, 25, 25, 50, 50, 50, 100, 100]


def test_a_small_first_page_grows_at_once():
    page = PageSize(start=25, largest=100)
    sizes = []
    for _ in range(3):
        page.succeeded()
        sizes.append(page.size)

    assert sizes == [50, 100, 100]


def test_a_page_never_has_no_record():
    page = PageSize(start=1, largest=100)
    page.failed()

    assert page.size == 1
