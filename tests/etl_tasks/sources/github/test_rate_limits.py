"""Stop before a rate limit of GitHub is used up, so that a reserve is left for people who use the same limit."""

import time

import pytest

from etl_tasks.errors import RetriableError
from etl_tasks.sources.github.rate_limits import RateLimits


def headers(remaining: int, *, limit: int = 5000, reset_in: float = 600) -> dict[str, str]:
    return {"X-RateLimit-Remaining": str(remaining), "X-RateLimit-Limit": str(limit), "X-RateLimit-Reset": str(int(time.time() + reset_in))}


def may_go_on(limits: RateLimits, resource: str) -> bool:
    try:
        limits.raise_if_reserve_reached(resource)
    except RetriableError:
        return False
    return True


def test_the_reserve_for_people_is_left_alone_until_the_reset():
    limits = RateLimits()
    limits.update("graphql", headers(500))

    with pytest.raises(RetriableError, match="500 of GitHub's 5000 graphql points") as refused:
        limits.raise_if_reserve_reached("graphql")
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
    limits = RateLimits()
    limits.update("graphql", seen)

    assert may_go_on(limits, "graphql")


def test_graphql_and_rest_have_rate_limits_of_their_own():
    limits = RateLimits()
    limits.update("graphql", headers(0))

    assert not may_go_on(limits, "graphql")
    assert may_go_on(limits, "core")
