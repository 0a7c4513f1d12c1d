"""After many nightly runs over a changing repository, facts and metrics equal those of a first collection at the end.

NIGHTS_SEEDS=100:400 runs seeds 100 to 399 instead of the usual few.
"""

import os
import random
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings

from dora_metrics.derivation.recompute import recompute_periods
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources.github import client
from github_stand_in.budget import Budget
from github_stand_in.server import StandIn
from tests.etl_tasks.sources.github.changing_repository import ChangingRepository
from tests.etl_tasks.sources.github.nights import show, source_of, surveyed_night
from tests.tables import difference_of_services

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 12
KINDS = ("github", "workflows", "releases", "auto")
FIRST, LAST = map(int, os.environ.get("NIGHTS_SEEDS", "0:2").split(":"))


def live(github: StandIn, rng: random.Random, *, deployments_from: str, days: int = DAYS, faults: float = 0) -> list[str]:
    """Run many nights of one source, then the first night of a second source at the time of the last one.

    Return the differences between the facts and metrics of the two.

    `faults`: the share of failed answers, which interrupt stages. The last night has no faults, so it reads
    the pages that were skipped after three answers with invalid JSON.
    """
    github.budget = Budget(limit=5000, reset_seconds=3600)  # the full budget, whatever an earlier call has spent
    client._rate_limits.clear()
    show(github, ChangingRepository(rng, start=START, days=days).world)
    ours = source_of("acme/restless", deployments_from=deployments_from)
    clock = START
    for day in range(1, days + 1):
        clock = START + timedelta(days=day, hours=1)
        if day == days or rng.random() < 0.8:  # about one night in five is missed
            github.faults = {"rate": faults, "seed": day} if day < days else {}
            collect(github, ours, clock)
    fresh = source_of("acme/restless", name="fresh", deployments_from=deployments_from)
    collect(github, fresh, clock)
    return difference_of_services(ours.service, fresh.service)


def collect(github: StandIn, source: Source, clock: datetime, *, trigger: str = "shell") -> None:
    github.clock = clock
    with time_machine.travel(clock, tick=False):
        surveyed_night(source, trigger=trigger)
    source.refresh_from_db()


@pytest.fixture(autouse=True)
def small_pages(settings: Settings) -> None:
    """Use small pages, so that one night does not read a whole list again."""
    settings.GITHUB_PAGE_SIZE = 5


@pytest.mark.parametrize("deployments_from", KINDS)
@pytest.mark.parametrize("seed", range(FIRST, LAST))
def test_many_nights_end_as_a_fresh_first_one(github: StandIn, seed: int, deployments_from: str) -> None:
    assert live(github, random.Random(seed), deployments_from=deployments_from, faults=0.1 * (seed % 2)) == []


@hypothesis_settings(max_examples=int(os.environ.get("NIGHTS_EXAMPLES", "6")), suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), deployments_from=st.sampled_from(KINDS), days=st.integers(2, 5), faults=st.sampled_from([0, 0.15]))
def test_whatever_happens_in_a_few_days_a_few_nights_end_as_a_fresh_first_one(
    github: StandIn, rng: random.Random, deployments_from: str, days: int, faults: float
) -> None:
    with transaction.atomic():
        found = live(github, rng, deployments_from=deployments_from, days=days, faults=faults)
        transaction.set_rollback(True)
    assert found == []


@pytest.mark.parametrize("deployments_from", KINDS)
@pytest.mark.parametrize("seed", range(FIRST, LAST, 2))
def test_between_the_nights_the_numbers_are_those_of_a_full_recompute_and_the_facts_end_the_same(
    github: StandIn, seed: int, deployments_from: str
) -> None:
    """A run between the nights that finds nothing new recomputes nothing. It must not leave out anything that a recompute would change."""
    rng = random.Random(seed)
    client._rate_limits.clear()
    github.budget = Budget(limit=5000, reset_seconds=3600)
    show(github, ChangingRepository(rng, start=START, days=2).world)
    source = source_of("acme/restless", deployments_from=deployments_from)
    clock, checked = START + timedelta(hours=1), 0
    while clock < START + timedelta(days=2):
        collect(github, source, clock, trigger="interval")
        if ETLRun.objects.latest("pk").is_quiet:
            checked += 1
            with time_machine.travel(clock, tick=False), transaction.atomic():
                assert recompute_periods(source.service) == 0, clock
        clock += timedelta(minutes=rng.choice([5, 15, 60, 300]))
    assert checked > 2
    collect(github, source, clock)
    fresh = source_of("acme/restless", name="fresh", deployments_from=deployments_from)
    collect(github, fresh, clock)
    assert difference_of_services(source.service, fresh.service) == []
