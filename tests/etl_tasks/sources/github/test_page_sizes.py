"""Page sizes for repositories whose full pages GitHub cannot answer. The source stores the size that works and raises it again later."""

from datetime import timedelta

import pytest
from django.conf import settings
from pytest_django import Settings

from dora_metrics.models import Change, Deployment, DORAMetric, WorkflowRun
from etl_tasks import inline, ledger, stages
from etl_tasks.errors import RetriableError
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources.github.client import page_of
from etl_tasks.sources.github.page_sizes import PageSize, PageSizes
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import exact_world
from github_stand_in.worlds.facts import MINUTE, SECOND
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, show, source_of, spent
from tests.etl_tasks.sources.github.small_repository import SmallRepository
from tests.tables import assert_equal_to_truth

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
DAY = timedelta(days=1)


def attempt(run: ETLRun) -> bool:
    """Try the extract stage once, as a worker does. Return whether it finished."""
    claimed = ledger.claim(run.pk, "extract", "test")
    try:
        stages.extract(claimed)
    except RetriableError:
        ETLRun.objects.filter(pk=run.pk).update(owner="")
        return False
    return True


def test_the_next_attempt_of_a_stage_goes_on_with_the_page_that_the_last_one_came_down_to(billing: Source, github: StandIn, world: World) -> None:
    """Pages of 100, 50 and 25 records fail. Pages of 12 work."""
    github.faults = {"unfinished_above": 20}
    run = ledger.open_run(billing, trigger="shell")
    assert run
    tries = 1
    while not attempt(run):
        tries += 1
    assert tries <= 1 + len({"pull_requests", "commits", "issues", "deployments", "workflow_runs", "releases"})
    inline.run_remaining_stages(run.pk)

    assert_equal_to_truth(world, END)


def test_a_night_that_failed_leaves_its_page_to_the_next_one(github: StandIn) -> None:
    """Without a worker, each night has only one attempt."""
    small = exact_world("acme/small", end=END, pull_requests=30, deployments=0, issues=0, releases=0, runs=0, commits=40)
    show(github, small)
    source = source_of("acme/small", deployments_from="pulls", incident_label="")
    github.faults = {"unfinished_above": 20}
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(night(source).status)
            break
        except inline.StageFailed:
            outcomes.append("failed")
        source.refresh_from_db()

    assert outcomes[-1] == "success", outcomes
    assert Change.objects.count() == 30
    assert DORAMetric.objects.filter(metric="deployment_frequency", numerator__gt=0).exists()


def test_the_next_night_asks_for_no_more_than_what_worked(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"unfinished_above": 20}
    github.clock = END - DAY
    run = ledger.open_run(billing, trigger="shell")
    assert run
    while not attempt(run):
        pass
    inline.run_remaining_stages(run.pk)
    spent(github)
    github.clock = END
    assert night(Source.objects.get(pk=billing.pk)).status == "success"

    assert not spent(github).get("fault unfinished_above")
    assert_equal_to_truth(world, END, has_runs=False)


def test_pages_shrink_down_to_a_single_record(github: StandIn) -> None:
    small = exact_world("acme/small", end=END, pull_requests=9, deployments=4, issues=5, releases=0, runs=7, commits=11)
    show(github, small)
    source = source_of("acme/small", deployments_from="workflows")
    github.faults = {"unfinished_above": 1}
    run = ledger.open_run(source, trigger="shell")
    assert run
    while not attempt(run):
        assert ETLRun.objects.get(pk=run.pk).attempt < 20
    inline.run_remaining_stages(run.pk)

    assert_equal_to_truth(small, END, has_deployments=False)
    assert WorkflowRun.objects.count() == 7


def test_what_lies_beyond_a_page_and_what_is_asked_for_again_come_in_smaller_pages_too(github: StandIn) -> None:
    small = SmallRepository(commits=150)
    small.mended.statuses = [(small.mended.statuses[0][0] + SECOND * number, "IN_PROGRESS") for number in range(180)]
    waiting = [small.deploy_later(number) for number in range(30)]
    show(github, small.ready())
    source = source_of("acme/train")
    github.clock = END - DAY
    night(source)
    assert not DORAMetric.objects.filter(metric="deployment_frequency", period="month", numerator=32)

    for deployment in [*waiting, small.mended]:
        deployment.statuses.append((END - MINUTE, "SUCCESS"))
    small.pull.reviews.append((END - DAY + MINUTE, "ben", "COMMENTED"))
    small.ready()
    github.clock = END
    github.faults = {"unfinished_above": 10}
    run = ledger.open_run(source, trigger="shell")
    assert run
    while not attempt(run):
        assert ETLRun.objects.get(pk=run.pk).attempt < 20
    inline.run_remaining_stages(run.pk)

    assert len(Change.objects.get().commits) == 150
    assert len(Deployment.objects.get(external_id__endswith="00002").statuses) == 181
    assert DORAMetric.objects.get(metric="deployment_frequency", period="month", period_start="2026-03-01").numerator == 32


def test_pages_grow_back_once_github_can_finish_them(billing: Source, github: StandIn, settings: Settings) -> None:
    settings.GITHUB_PAGE_SIZE = 40
    github.faults = {"unfinished_above": 5}
    run = ledger.open_run(billing, trigger="shell")
    assert run
    while not attempt(run):
        pass
    inline.run_remaining_stages(run.pk)
    billing.refresh_from_db()
    assert billing.page_sizes["pull_requests"] == 5

    github.faults = {}
    sizes = []
    while "pull_requests" in billing.page_sizes:
        sizes.append(billing.page_sizes["pull_requests"])
        night(billing, full=True)
    assert sizes == sorted(set(sizes))


def test_a_page_of_another_size_begins_at_the_same_record_or_before() -> None:
    first = "https://api.github.com/repos/a/b/actions/runs?per_page=100&created=2026-01-01T00%3A00%3A00Z..2026-02-01T00%3A00%3A00Z"
    for page, size, expected in ((1, 12, None), (3, 12, 17), (3, 100, 3), (3, 25, 9)):
        asked = page_of(f"{first}&page={page}", size)
        assert "created=2026-01-01T00%3A00%3A00Z..2026-02-01T00%3A00%3A00Z" in asked
        assert f"per_page={size}&" in f"{asked}&"
        assert (f"&page={expected}" in asked) if expected else ("&page" not in asked)
        assert expected is None or (expected - 1) * size <= (page - 1) * 100 < expected * size


def test_what_worked_is_remembered_and_a_whole_page_is_not() -> None:
    sizes = PageSizes({"issues": 6})
    pulls = sizes.of("pull_requests", largest=100)
    assert sizes.learned() is None
    pulls.failed()
    assert sizes.learned() == {"issues": 6, "pull_requests": 50}
    for _ in range(3):
        pulls.succeeded()
    assert sizes.learned() is None  # the next page may have 100 records, but 50 is still the largest size that has worked
    pulls.succeeded()
    assert sizes.learned() == {"issues": 6}
    assert sizes.of("issues", largest=settings.GITHUB_PAGE_SIZE, start=25).size == 6


def test_a_page_that_grows_too_soon_again_and_again_waits_longer_each_time() -> None:
    page, failures = PageSize(start=12, largest=100, known=12), []
    for number in range(120):
        if page.size > 20:
            failures.append(number)
            page.failed()
        else:
            page.succeeded()

    assert failures == [3, 7, 14, 27, 52, 77, 102]


def test_a_page_is_halved_by_failures_and_grows_back_after_successes() -> None:
    page = PageSize(start=100, largest=100)
    sizes = []
    for step in ["f", "f", "s", "s", "s", "s", "s", "s", "s"]:
        (page.failed if step == "f" else page.succeeded)()
        sizes.append(page.size)

    assert sizes == [50, 25, 25, 25, 50, 50, 50, 100, 100]


def test_a_small_first_page_grows_at_once() -> None:
    page = PageSize(start=25, largest=100)
    sizes = []
    for _ in range(3):
        page.succeeded()
        sizes.append(page.size)

    assert sizes == [50, 100, 100]


def test_a_page_never_has_no_record() -> None:
    page = PageSize(start=1, largest=100)
    page.failed()

    assert page.size == 1
