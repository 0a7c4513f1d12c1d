"""Read workflow runs by REST. GitHub returns at most 1,000 runs per filter, so older runs are requested by time window."""

from datetime import timedelta

import pytest

from dora_metrics.models import WorkflowRun
from etl_tasks.sources.github.readers import workflow_runs
from github_stand_in import rest
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import add_day, exact_world
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, show, source_of, spent

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
DAY = timedelta(days=1)


def numbers(world: World) -> list[int]:
    return sorted(run["id"] for run in world.workflow_runs(world.end))


def stored() -> list[int]:
    return sorted(WorkflowRun.objects.values_list("external_id", flat=True))


def test_more_than_a_thousand_runs_come_by_halved_windows(github: StandIn) -> None:
    busy = exact_world("acme/busy", end=END, pull_requests=2, deployments=0, issues=0, releases=0, runs=2300, commits=5)
    show(github, busy)
    run = night(source_of("acme/busy", deployments_from="workflows"))

    assert run.status == "success"
    assert stored() == numbers(busy)
    # Requests: the first page; one for each of three windows with too many runs (2,200, then two halves of 1,100); 6 pages for each of four
    # windows of 550 runs.
    assert spent(github)["WorkflowRuns"] == 1 + 3 + 4 * 6


def test_a_burst_within_minutes_is_halved_down_to_seconds(github: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lower the limit of 1,000 in the reader and the stand-in, because serving more than 1,000 runs takes minutes.
    for module in (workflow_runs, rest):
        name = "MOST_RUNS_OF_A_FILTER" if module is workflow_runs else "MOST_FOUND"
        monkeypatch.setattr(module, name, 20)
    burst = exact_world("acme/burst", end=END, pull_requests=1, deployments=0, issues=0, releases=0, runs=30, commits=2)
    add_day(burst, END + DAY, runs=250)  # one per second
    github.clock = END + DAY
    show(github, burst)
    source = source_of("acme/burst", deployments_from="workflows")
    assert night(source).status == "success"

    assert stored() == numbers(burst)


def test_a_night_of_more_than_a_thousand_new_runs_loses_none(github: StandIn) -> None:
    busy = exact_world("acme/busy", end=END, pull_requests=1, deployments=0, issues=0, releases=0, runs=50, commits=2)
    show(github, busy)
    source = source_of("acme/busy", deployments_from="workflows")
    night(source)
    add_day(busy, END + DAY, runs=1200)
    github.clock = END + DAY
    night(source)
    assert stored() == numbers(busy)

    spent(github)
    assert night(source).extracted == 0
    assert spent(github)["not_modified"] == 1
