"""Stop before a rate limit of GitHub is used up, so that a reserve is left for people who use the same limit."""

import time
from datetime import timedelta

import pytest

from etl_tasks import inline, ledger
from etl_tasks.errors import RetriableError
from etl_tasks.models import GitHubBudget, Source
from etl_tasks.sources.github.rate_limits import RateLimits
from github_stand_in.budget import Budget
from github_stand_in.server import StandIn


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


def test_an_older_answer_that_arrives_later_gives_nothing_back():
    limits = RateLimits()
    later, before = headers(4983), headers(4989)
    limits.update("graphql", later)
    limits.update("graphql", before | {"X-RateLimit-Reset": later["X-RateLimit-Reset"]})
    assert limits.remaining("graphql") == 4983

    limits.update("graphql", headers(4999, reset_in=3600))  # the next hour
    assert limits.remaining("graphql") == 4999


@pytest.mark.django_db
def test_what_is_left_is_stored_if_there_is_news_and_not_more_often_than_asked(django_assert_num_queries):
    limits = RateLimits()
    limits.store("")
    limits.update("graphql", headers(4000))
    limits.store("", interval=timedelta(seconds=30))
    assert GitHubBudget.objects.get().remaining == 4000

    limits.update("graphql", headers(3990))
    with django_assert_num_queries(0):
        limits.store("", interval=timedelta(seconds=30))
    limits.store("")
    assert GitHubBudget.objects.get().remaining == 3990
    with django_assert_num_queries(0):
        limits.store("")


@pytest.mark.django_db
def test_an_impossible_reset_does_not_fail_the_run():
    limits = RateLimits()
    limits.update("core", headers(10) | {"X-RateLimit-Reset": "9" * 30})
    limits.store("")
    assert not GitHubBudget.objects.exists()


@pytest.mark.django_db
def test_a_run_stores_what_its_credential_has_left(billing: Source, github: StandIn):
    github.budget = Budget(limit=5000, reset_seconds=3600)
    run = ledger.open_run(billing, trigger="shell")
    assert run
    inline.run_remaining_stages(run.pk)
    budget = GitHubBudget.objects.get(resource="graphql")
    assert (budget.credential, budget.limit, budget.remaining) == ("", 5000, 5000 - github.counts["points"])
