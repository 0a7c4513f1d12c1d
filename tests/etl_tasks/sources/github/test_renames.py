"""Renames of the default branch or the repository do not change which earlier runs, merges and reverts count."""

from datetime import datetime, timedelta

import pytest

from dora_metrics.models import Repository, Service
from etl_tasks.models import Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.facts import HOUR, MINUTE, PullRequest, WorkflowRun
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, show, source_of, spent
from tests.etl_tasks.sources.github.small_repository import SmallRepository, month
from tests.tables import facts

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
DAY = timedelta(days=1)
RENAMED_AT = END - 5 * DAY


class Deployer:
    """A repository whose runs on pushes to main are its deployments."""

    def __init__(self) -> None:
        self.world = World("acme/deployer", end=END, days=30)
        self.world.push(self.world.commit((), self.world.start, self.world.start, "ana").oid, self.world.start)

    def merge(self, when: datetime, *, branch: str = "main") -> str:
        """Add a pull request with one commit, merge it with a merge commit and deploy it from `branch`. Return the commit's SHA."""
        world, number = self.world, len(self.world.pulls) + 1
        head = world.head(when)
        assert head
        commit = world.commit((head,), when - 2 * HOUR, when - 2 * HOUR, "ana")
        pull = world.pulls[number] = PullRequest(number, when - HOUR, f"Part {number}", f"feature/{number}", "ana", [commit])
        merge = world.commit((head, commit.oid), when, when, "ana")
        pull.merged = pull.closed = when
        pull.merge_oid = merge.oid
        world.push(merge.oid, when)
        self.run(when, merge.oid, branch)
        return commit.oid

    def run(self, when: datetime, oid: str, branch: str, *, event: str = "push") -> None:
        number = len(self.world.runs) + 1
        path = ".github/workflows/deploy.yml"
        self.world.runs[number] = WorkflowRun(number, when, "Deploy", path, branch, oid, event, [(when, when + 5 * MINUTE, "success")])


@pytest.fixture
def deployer() -> Deployer:
    found = Deployer()
    for number in range(6):
        found.merge(END - (15 - number) * DAY)
    return found


def seen_by_nights(github: StandIn, repository: str, **settings_of_service: object) -> Source:
    """Collect on three nights before the rename and two after it."""
    source = source_of(repository, **settings_of_service)
    for days in (8, 7, 6, 1, 0):
        github.clock = END - days * DAY
        night(source)
    return source


def seen_at_once(github: StandIn, repository: str, **settings_of_service: object) -> Source:
    github.clock = END
    Service.objects.all().delete()
    source = source_of(repository, **settings_of_service)
    night(source)
    return source


@pytest.mark.parametrize("see", [seen_by_nights, seen_at_once])
@pytest.mark.parametrize("deployments_from", ["workflows", "pulls", "auto"])
def test_six_deployments_of_the_default_branch_stay_six_after_it_was_renamed(
    github: StandIn, deployer: Deployer, deployments_from: str, see: object
) -> None:
    deployer.world.rename_default_branch(RENAMED_AT, "trunk")
    show(github, deployer.world)
    assert callable(see)
    see(github, "acme/deployer", deployments_from=deployments_from)

    assert month("deployment_frequency").numerator == 6
    assert month("change_lead_time").n == 6
    home = Repository.objects.get()
    assert (home.default_branch, set(home.default_branches)) == ("trunk", {"main", "trunk"})


@pytest.mark.parametrize("deployments_from", ["workflows", "pulls"])
def test_many_nights_around_two_renames_end_as_one_night_after_them(github: StandIn, deployer: Deployer, deployments_from: str) -> None:
    for number in range(4):
        deployer.merge(END - (4 - number) * DAY)
    deployer.world.rename_default_branch(RENAMED_AT, "trunk")
    deployer.world.rename_default_branch(END - 2 * DAY, "stem/1")
    show(github, deployer.world)
    seen_by_nights(github, "acme/deployer", deployments_from=deployments_from)
    after_nights = facts()
    assert month("deployment_frequency").numerator == 10

    seen_at_once(github, "acme/deployer", deployments_from=deployments_from)
    assert facts() == after_nights


def test_runs_on_other_branches_and_tags_are_no_deployments_though_the_default_branch_has_their_commits(github: StandIn, deployer: Deployer) -> None:
    """Covers a branch merged with a merge commit, a branch whose head is also on main, and a tag."""
    when = END - 8 * DAY
    merged = deployer.merge(when)
    for number in range(9):
        deployer.run(when - HOUR, merged, f"feature/{number}")
        deployer.run(when + HOUR, deployer.world.head(when) or "", f"v1.{number}")
    deployer.run(when, deployer.world.head(when) or "", "release/1")
    deployer.run(when, deployer.world.head(when) or "", "release/1")
    deployer.world.rename_default_branch(RENAMED_AT, "trunk")
    show(github, deployer.world)
    seen_at_once(github, "acme/deployer", deployments_from="workflows")

    assert month("deployment_frequency").numerator == 7


def test_a_few_names_are_tried_at_first_and_none_later(github: StandIn, deployer: Deployer) -> None:
    for number in range(20):
        deployer.run(END - 9 * DAY, deployer.world.head(END) or "", f"v1.{number}")
    show(github, deployer.world)
    github.clock = END - DAY
    source = source_of("acme/deployer", deployments_from="workflows")
    spent(github)
    night(source)
    assert spent(github)["Branch"] == 5

    deployer.run(END - HOUR, deployer.world.head(END) or "", "v2.0")
    deployer.world.changed()
    github.clock = END
    night(source)
    assert "Branch" not in spent(github)


@pytest.mark.parametrize("is_seen_by_nights", [True, False])
def test_a_revert_that_names_the_repository_by_a_former_name_counts(github: StandIn, is_seen_by_nights: bool) -> None:
    """GitHub's revert button writes the repository's name at that time into the text of the new pull request."""
    small = SmallRepository()
    small.incident.labelled = []
    former = small.world.pulls[3] = PullRequest(
        3, small.pull.created, 'Back out "Release 7"', "back-out", "ana", small.pull.commits, body="Reverts acme/train#2"
    )
    merged_at = END - 7 * DAY
    merge = small.world.commit((small.pull.merge_oid or "",), merged_at, merged_at, "ana")
    former.merged = former.closed = merged_at
    former.merge_oid = merge.oid
    small.world.push(merge.oid, merged_at)
    small.deploy(3, merged_at + HOUR, merge.oid)
    small.world.renamed = [(RENAMED_AT, "acme/rail"), (END - 3 * DAY, "acme/metro")]
    show(github, small.ready())
    if is_seen_by_nights:
        seen_by_nights(github, "acme/train")
    else:
        seen_at_once(github, "acme/metro")

    assert month("change_fail_rate").details["reasons"] == {"revert": 1}
    assert month("deployment_rework_rate").numerator == 1


def test_a_revert_in_another_repository_is_none_even_if_that_was_renamed(github: StandIn) -> None:
    small = SmallRepository()
    small.incident.labelled = []
    small.pull.body = "Reverts acme/billing#1"
    github.worlds.by_name["acme/billing"].renamed = []
    show(github, small.ready())
    seen_at_once(github, "acme/train")

    assert month("deployment_rework_rate").numerator == 0
