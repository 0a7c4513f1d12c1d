"""GitHub returns null for some records.

If GitHub has deleted the record, the stored row is marked as gone. Any other record is requested again by id or becomes a dead letter.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from dora_metrics.models import Change, Deployment, WorkflowRun
from etl_tasks import inline, ledger, replay, stages
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.sources.github.rechecks.changed_records import MOST_TRIES
from github_stand_in.server import StandIn
from github_stand_in.worlds.facts import Fact, Row
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, show, source_of, spent
from tests.tables import assert_equal_to_truth

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
DAY = timedelta(days=1)


@pytest.fixture
def lively(github: StandIn) -> World:
    world = ordinary_world("acme/lively", end=END, days=30)
    show(github, world)
    return world


def lose(world: World, facts: Sequence[Fact]) -> None:
    """Give these facts no `createdAt`. The schema forbids this, so the stand-in returns null for the whole record when the field is requested."""

    def build_without_creation(build: Callable[..., Row], *arguments: Any) -> Row:
        return {**build(*arguments), "createdAt": None}

    for fact in facts:
        fact.build = partial(build_without_creation, fact.build)  # type: ignore[method-assign]
        fact.changed()
    world.changed()


def mend(world: World, facts: Sequence[Fact]) -> None:
    for fact in facts:
        del fact.build
        fact.changed()
    world.changed()


def balanced(run: ETLRun) -> bool:
    return run.extracted == run.loaded + run.skipped + run.dead_lettered


def test_a_deployment_that_is_deleted_between_survey_and_read_is_gone_and_the_run_ends_well(github: StandIn, lively: World) -> None:
    source = source_of("acme/lively", deployments_from="github")
    github.clock = END - 3 * DAY
    night(source)
    waiting = Deployment.objects.filter(state__in=["failure", "error", "active"]).first()
    assert waiting
    Deployment.objects.filter(pk=waiting.pk).update(version_at=END - 300 * DAY)  # older than GitHub's version, so the next run requests it
    fact = lively.deploys[waiting.external_id - lively.number * 100_000]
    github.clock = END - 2 * DAY
    run = ledger.open_run(source, trigger="shell")
    assert run
    claimed = ledger.claim(run.pk, "extract", "test")
    fact.gone = END - 2 * DAY + timedelta(seconds=1)
    lively.changed()
    github.faults = {"shift": "Survey", "shift_seconds": 60}
    stages.extract(claimed)
    ETLRun.objects.filter(pk=run.pk).update(owner="")
    inline.run_remaining_stages(run.pk)
    run.refresh_from_db()

    assert (run.status, balanced(run)) == ("success", True)
    waiting.refresh_from_db()
    assert waiting.gone_at


def test_six_records_that_github_does_not_give_are_six_letters_and_each_replays_by_asking_for_it(github: StandIn, lively: World) -> None:
    source = source_of("acme/lively", deployments_from="github")
    lost = list(lively.deploys.values())[3:9]
    lose(lively, lost)
    run = night(source)
    assert (run.status, run.dead_lettered, balanced(run)) == ("partial", 6, True)
    letters = list(DeadLetter.objects.filter(kind="lost", state="open"))
    assert len(letters) == 6
    with pytest.raises(replay.ReplayFailed, match="gave null"):
        replay.replay_letter(letters[0], by="test")
    mend(lively, lost)
    for letter in letters:
        letter.refresh_from_db()
        replay.replay_letter(letter, by="test")

    assert_equal_to_truth(lively, END, has_runs=False)
    assert not DeadLetter.objects.filter(state="open").exists()


def test_what_github_gives_later_is_asked_for_in_the_next_nights_and_closes_its_letter(github: StandIn, lively: World) -> None:
    source = source_of("acme/lively", deployments_from="github")
    pull = list(lively.pulls.values())[5]
    lose(lively, [pull])
    assert night(source).status == "partial"
    github.clock = END + DAY
    assert night(source).status == "partial"
    assert DeadLetter.objects.get().attempts == 2
    mend(lively, [pull])
    github.clock = END + 2 * DAY
    assert night(source).status == "success"

    assert Change.objects.filter(number=pull.number).exists()
    assert DeadLetter.objects.get().state == "replayed"


def test_what_stays_lost_is_not_asked_for_for_ever(github: StandIn, lively: World) -> None:
    source = source_of("acme/lively", deployments_from="github")
    lose(lively, [list(lively.pulls.values())[5]])
    for days in range(MOST_TRIES):
        github.clock = END + days * DAY
        night(source)
    spent(github)
    github.clock = END + 10 * DAY

    assert night(source).status == "success"
    assert "PullRequestsById" not in spent(github)
    assert DeadLetter.objects.get().state == "open"


def test_runs_that_are_null_in_a_list_have_letters_that_read_the_list_again(github: StandIn, lively: World) -> None:
    source = source_of("acme/lively", deployments_from="workflows")
    github.faults = {"null_nodes": "WorkflowRuns"}
    run = night(source)
    assert (run.status, balanced(run)) == ("partial", True)
    letter = DeadLetter.objects.get(kind="lost", stream="workflow_runs")
    github.faults = {}
    replay.replay_letter(letter, by="test")

    assert set(WorkflowRun.objects.values_list("external_id", flat=True)) == {one["id"] for one in lively.workflow_runs(END)}


def test_a_record_whose_id_github_does_not_give_either_is_asked_for_by_its_place(github: StandIn, lively: World, billing: Source) -> None:
    source = source_of("acme/lively", deployments_from="github")
    github.faults = {"null_nodes": True}
    run = night(source)
    assert (run.status, balanced(run)) == ("partial", True)
    letters = list(DeadLetter.objects.filter(stream__in=["pull_requests", "deployments", "issues"], state="open"))
    assert letters
    assert len({letter.key for letter in letters}) == len(letters)
    github.faults = {}
    for letter in letters:
        replay.replay_letter(letter, by="test")

    assert Change.objects.count() == len(lively.pull_requests(END))
    assert Deployment.objects.count() == len(lively.deployments(END))
