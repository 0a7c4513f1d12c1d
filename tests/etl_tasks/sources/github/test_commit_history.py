"""Read the history of deployed commits outside the default branch. Each commit is requested once, even one that GitHub no longer has."""

from datetime import datetime, timedelta

import pytest
from pytest_django import Settings

from dora_metrics.calculators.change_matching import is_missing_from_git
from dora_metrics.calculators.deployment_sources import attempts
from dora_metrics.derivation.stored_facts import facts_of, settings_of
from dora_metrics.models import Commit, LogDeployment, Service
from etl_tasks import inline, ledger
from etl_tasks.models import Cursor, DeadLetter, Source
from etl_tasks.sources.github.rechecks import deployed_history
from etl_tasks.sources.github.rechecks.deployed_history import MOST_HISTORIES
from github_stand_in.server import StandIn
from github_stand_in.worlds.facts import Commit as Made
from github_stand_in.worlds.facts import Deployment as Deployed
from github_stand_in.worlds.facts import Release as Published
from github_stand_in.worlds.facts import WorkflowRun as Ran
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.people import DEPLOYER
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, show, source_of, spent

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
DAY = 24 * HOUR
DEPLOYED_AT = END - 2 * DAY
GONE = "f" * 40


@pytest.fixture
def released() -> World:
    """A repository with a month of typical activity. All pull requests are merged into main."""
    return ordinary_world("acme/released", end=END, days=30)


def branch(world: World, count: int, *, start: datetime = END - 10 * DAY) -> list[Made]:
    """Add a branch of `count` commits that leaves main at `start` and is never merged. The last commit is its head."""
    commits: list[Made] = []
    for number in range(count):
        parent = commits[-1].oid if commits else world.head(start)
        when = start + (number + 1) * timedelta(minutes=1)
        assert parent
        commits.append(world.commit((parent,), when, max(when, world.commits[parent].committed + timedelta(seconds=1)), "ana"))
    return commits


def deploy(world: World, oid: str, *, environment: str = "production", when: datetime = DEPLOYED_AT) -> None:
    number = len(world.deploys) + 1
    statuses = [(when + HOUR, "SUCCESS")]
    world.deploys[number] = Deployed(number, when, oid, environment, statuses, "release", DEPLOYER, "release/1")
    world.changed()


def stored() -> set[str]:
    return set(Commit.objects.values_list("sha", flat=True))


def reached(world: World, *oids: str | None) -> set[str]:
    return {commit.oid for oid in oids if oid for commit in world.history(oid)}


def unknown(service: Service) -> set[str]:
    """Return the deployed commits that the report flags as missing from Git."""
    facts = facts_of(service)
    found, _ = attempts(facts, settings_of(service, time_zone="UTC"))
    return {attempt.sha for attempt in found if attempt.is_success and is_missing_from_git(attempt, facts.parents)}


def test_what_a_deployment_of_a_release_branch_reaches_is_read_in_the_same_night(github: StandIn, released: World) -> None:
    commits = branch(released, 3)
    deploy(released, commits[-1].oid)
    show(github, released)
    source = source_of("acme/released")
    run = night(source)

    assert (run.status, run.extracted) == ("success", run.loaded + run.skipped)
    assert stored() == reached(released, released.head(END), commits[-1].oid)
    assert not unknown(source.service)
    assert Commit.objects.get(sha=commits[-1].oid).parents == [commits[-2].oid]


@pytest.mark.parametrize("deployments_from", ["logs", "auto"])
def test_what_a_deployment_that_was_logged_reaches_is_read_as_well(github: StandIn, released: World, deployments_from: str) -> None:
    released.deploys.clear()
    commits = branch(released, 3)
    show(github, released)
    source = source_of("acme/released")
    Service.objects.update(deployments_from=deployments_from)
    for event_id, sha in (("1", commits[-1].oid), ("2", commits[-1].oid[:8]), ("3", "f" * 64)):
        row = {"source": "web", "event_id": event_id, "time": DEPLOYED_AT, "sha": sha, "run_id": 1, "page_id": 1}
        LogDeployment.objects.create(service=source.service, **row)
    night(source)
    run = night(source)

    assert run.status == "success"
    assert commits[0].oid in stored()
    assert set(Cursor.objects.get(stream="commits").position.get("asked", ())) <= {commits[-1].oid}


def test_a_first_collection_without_a_hole_needs_no_graph_of_all_commits(github: StandIn, released: World, monkeypatch: pytest.MonkeyPatch) -> None:
    show(github, released)
    source = source_of("acme/released")
    monkeypatch.setattr(deployed_history, "reached", None)
    assert night(source).status == "success"
    assert stored() == reached(released, released.head(END))
    position = Cursor.objects.get(source=source, stream="commits").position
    assert (position["asked"], position["has_strays"]) == ([], False)


def test_a_night_without_an_unknown_one_asks_nothing_more(github: StandIn, released: World) -> None:
    deploy(released, branch(released, 3)[-1].oid)
    show(github, released)
    source = source_of("acme/released")
    night(source)
    first = spent(github)
    night(source)
    second = spent(github)

    pages = -(-len(reached(released, released.head(END))) // 100)
    assert first["Commits"] == first["points Commits"] == pages + 1
    assert "Commits" not in second
    assert second["points"] == 1


def test_a_commit_that_is_gone_is_asked_for_once(github: StandIn, released: World) -> None:
    deploy(released, GONE)
    show(github, released)
    source = source_of("acme/released")
    assert night(source).status == "success"
    assert spent(github)["Commits"] == 1 + -(-len(reached(released, released.head(END))) // 100)
    assert unknown(source.service) == {GONE}

    for _ in range(2):
        assert night(source).status == "success"
    assert "Commits" not in spent(github)
    assert Cursor.objects.get(stream="commits").position["asked"] == [GONE]


def test_a_null_with_an_error_beside_it_is_not_taken_for_gone(github: StandIn, released: World) -> None:
    head = branch(released, 2)[-1].oid
    deploy(released, head)
    show(github, released)
    source = source_of("acme/released")
    github.faults = {"null_object": "Commits", "after": -(-len(reached(released, released.head(END))) // 100)}
    assert night(source).status == "success"
    assert head not in stored()
    github.faults = {}
    night(source)

    assert head in stored()


def test_a_commit_that_cannot_be_read_is_one_dead_letter_and_no_question_of_every_night(github: StandIn, released: World) -> None:
    head = branch(released, 1)[-1].oid
    deploy(released, head)
    show(github, released)
    source = source_of("acme/released")
    made = released.commits[head]
    released._commit_rows[head] = {**made.row(released.repository), "committedDate": "not a date"}
    assert night(source).status == "partial"
    spent(github)

    assert night(source).status == "success"
    assert "Commits" not in spent(github)
    assert DeadLetter.objects.filter(state="open").count() == 1


def test_a_handful_a_night_production_first_and_the_newest_first(github: StandIn, released: World) -> None:
    staged = [branch(released, 1, start=END - (3 + number % 20) * DAY + number * timedelta(minutes=3))[-1].oid for number in range(MOST_HISTORIES)]
    for number, oid in enumerate(staged):
        deploy(released, oid, environment="staging", when=END - DAY + number * timedelta(minutes=1))
    produced = branch(released, 1)[-1].oid
    deploy(released, produced, when=END - 3 * DAY)
    show(github, released)
    source = source_of("acme/released")
    night(source)

    assert spent(github)["Commits"] == MOST_HISTORIES + -(-len(reached(released, released.head(END))) // 100)
    assert {produced, *staged} - stored() == {staged[0]}
    night(source)
    assert spent(github)["Commits"] == 1
    assert {produced, *staged} <= stored()


def test_deployments_of_one_branch_share_their_history(github: StandIn, released: World) -> None:
    """The branch shares no commit with main, like gh-pages. The commits read for the newest deployment are not requested again for the older ones."""
    root = released.commit((), END - 20 * DAY, END - 20 * DAY, "ana")
    pages = [root]
    for number in range(1, 130):
        when = root.committed + number * HOUR
        pages.append(released.commit((pages[-1].oid,), when, when, "ana"))
    for number in (40, 80, 129):
        deploy(released, pages[number].oid, environment="github-pages", when=END - 5 * DAY + number * HOUR / 4)
    show(github, released)
    source = source_of("acme/released")
    night(source)

    assert spent(github)["Commits"] == 2 + -(-len(reached(released, released.head(END))) // 100), "100 of 130 commits a page"
    assert {commit.oid for commit in pages} <= stored()


def test_what_main_brings_in_the_same_night_is_not_asked_for_twice(github: StandIn, released: World) -> None:
    github.clock = END - DAY
    commits = branch(released, 2, start=END - 2 * DAY)
    deploy(released, commits[-1].oid, when=END - 2 * DAY + HOUR)
    show(github, released)
    source = source_of("acme/released")
    night(source)
    head = released.main[-1][1]
    merged = released.commit((head, commits[-1].oid), END - 2 * HOUR, END - 2 * HOUR, "ana")
    released.push(merged.oid, END - 2 * HOUR)
    github.clock = END
    spent(github)
    night(source)

    assert spent(github)["Commits"] == 1
    assert commits[-1].oid in stored()


@pytest.mark.parametrize("kind", ["releases", "workflows"])
def test_releases_and_workflow_runs_are_followed_where_they_are_the_deployments(github: StandIn, released: World, kind: str) -> None:
    head = branch(released, 2)[-1].oid
    if kind == "releases":
        number = len(released.published) + 1
        released.published[number] = Published(number, DEPLOYED_AT, "v99", head, DEPLOYED_AT)
    else:  # a run on a commit that a force push removed from main
        number = len(released.runs) + 1
        attempt = (DEPLOYED_AT, DEPLOYED_AT + HOUR, "success")
        released.runs[number] = Ran(number, DEPLOYED_AT, "Deploy", ".github/workflows/deploy.yml", "main", head, "push", [attempt])
    released.changed()
    show(github, released)
    source = source_of("acme/released", deployments_from=kind)
    night(source)

    assert head in stored()
    assert not unknown(source.service)


def test_what_is_no_deployment_of_the_service_is_not_followed(github: StandIn, released: World) -> None:
    deploy(released, branch(released, 2)[-1].oid)
    number = len(released.runs) + 1
    attempt = (DEPLOYED_AT, DEPLOYED_AT + HOUR, "success")
    tried = branch(released, 1, start=END - 4 * DAY)[-1].oid
    released.runs[number] = Ran(number, DEPLOYED_AT, "Deploy", ".github/workflows/deploy.yml", "feature/1", tried, "pull_request", [attempt])
    released.changed()
    show(github, released)
    source = source_of("acme/released", deployments_from="workflows")
    night(source)
    night(source)

    assert stored() == reached(released, released.head(END))


def test_a_reading_that_was_cut_off_goes_on_at_the_page_where_it_stood(github: StandIn, released: World, settings: Settings) -> None:
    settings.GITHUB_PAGE_SIZE = 10
    settings.GITHUB_LANES = 1
    commits = branch(released, 35)
    other = branch(released, 12, start=END - 6 * DAY)
    show(github, released)
    source = source_of("acme/released")
    night(source)
    for one in (commits, other):
        deploy(released, one[-1].oid)
    show(github, released)
    spent(github)
    # The Survey query, the deployments and three pages of commits are answered. Then GitHub refuses by rate limit, which does not shrink pages.
    github.faults = {"after": 5, "retry_after": 0}
    run = ledger.open_run(source, trigger="shell")
    assert run
    with pytest.raises(inline.Postponed):
        inline.run_remaining_stages(run.pk)
    staged = run.pages.filter(stream="commits").count()
    assert staged >= 3
    github.faults = {}
    spent(github)
    inline.run_remaining_stages(run.pk)

    assert stored() == reached(released, released.head(END), commits[-1].oid, other[-1].oid)
    assert spent(github)["Commits"] + staged <= 7, "35 and 12 commits, 10 a page, and the last known ones"


def test_a_hole_that_a_run_left_is_filled(github: StandIn, released: World) -> None:
    """A run that was abandoned while it loaded may have stored the newest page of commits and not the older ones."""
    commits = branch(released, 5)
    deploy(released, commits[-1].oid)
    show(github, released)
    source = source_of("acme/released")
    github.clock = END - DAY
    night(source)
    night(source)
    Commit.objects.filter(sha__in=[commit.oid for commit in commits[:3]]).delete()
    assert released.head(END) != released.head(END - DAY), "nothing new, nothing is looked through"
    github.clock = END
    night(source)

    assert stored() == reached(released, released.head(END), commits[-1].oid)


def test_reading_everything_again_asks_for_the_gone_ones_too(github: StandIn, released: World) -> None:
    head = branch(released, 3)[-1].oid
    deploy(released, head)
    deploy(released, GONE)
    show(github, released)
    source = source_of("acme/released")
    night(source)
    night(source)
    before = stored()
    assert night(source, full=True).status == "success"

    assert stored() == before
    assert Cursor.objects.get(stream="commits").position["asked"] == [GONE]


def test_an_old_source_without_deployments_of_its_own_reads_main_alone(billing: Source, github: StandIn, world: World) -> None:
    Service.objects.filter(pk=billing.service_id).update(deployments_from="pulls")
    billing.refresh_from_db()
    night(billing)
    night(billing)

    assert stored() == reached(world, world.head(END))
