"""Signs of life are stored once each, and a late writer does not overwrite a newer one."""

from datetime import UTC, datetime, timedelta

import pytest

from etl_tasks import heartbeats
from etl_tasks.models import GitHubBudget, Heartbeat

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)


def test_each_name_has_one_row_with_its_latest_time() -> None:
    heartbeats.mark_seen(["sweep", heartbeats.name_of_queue("extract")], NOON)
    heartbeats.mark_seen(["sweep"], NOON + timedelta(minutes=1))
    assert heartbeats.last_seen() == {"sweep": NOON + timedelta(minutes=1), "queue extract": NOON}


def test_a_known_name_costs_two_queries(django_assert_num_queries) -> None:
    names = [heartbeats.name_of_queue(f"extract@web{number}") for number in range(50)]
    heartbeats.mark_seen(names, NOON)
    with django_assert_num_queries(2):
        heartbeats.mark_seen(names, NOON)
    assert Heartbeat.objects.count() == 50


def test_the_budget_is_that_of_the_latest_answer() -> None:
    reset = NOON + timedelta(minutes=30)
    heartbeats.store_budget("", {"graphql": (4000, 5000, reset.timestamp())}, NOON)
    heartbeats.store_budget("", {"graphql": (3900, 5000, reset.timestamp())}, NOON + timedelta(minutes=2))
    heartbeats.store_budget("", {"graphql": (3950, 5000, reset.timestamp())}, NOON + timedelta(minutes=1))
    heartbeats.store_budget("ACME", {"graphql": (10, 5000, reset.timestamp())}, NOON)

    budget = GitHubBudget.objects.get(credential="")
    assert (budget.remaining, budget.remaining_at(NOON)) == (3900, 3900)
    assert budget.remaining_at(reset) == 5000
    assert str(budget) == "default credential: 3900 of 5000 GraphQL points"
