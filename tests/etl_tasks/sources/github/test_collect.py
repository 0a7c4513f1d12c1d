"""A nightly run stores every record of the repository once, with all fields, for a known number of requests."""

from datetime import timedelta

import pytest
from django.conf import settings
from pytest_django import Settings

from dora_metrics.models import Change, Commit, Deployment, DORAMetric, Issue, Release, Repository, Service, WorkflowRun
from etl_tasks import inline, ledger, stages
from etl_tasks.errors import RetriableError
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Source
from etl_tasks.sources.github import client
from etl_tasks.sources.github.survey import survey
from github_stand_in.budget import Budget
from github_stand_in.resolvers import Worlds
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import exact_world
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import finish, night, show, source_of, spent
from tests.tables import assert_equal_to_truth, facts, releases_of

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


# --- a first collection -----------------------------------------------------------------------------------------------


def test_a_service_by_workflows_has_every_attempt_of_its_deploying_runs(github: StandIn, world: World) -> None:
    source = source_of("acme/billing", deployments_from="workflows")
    night(source)

    assert not Deployment.objects.exists()
    assert not Release.objects.exists()
    reruns = [run for run in world.workflow_runs(END) if run["run_attempt"] > 1 and run["path"].endswith("deploy.yml")]
    assert reruns, "the world has no re-run to find"
    for run in reruns:
        stored = WorkflowRun.objects.filter(external_id=run["id"]).order_by("attempt").values_list("attempt", flat=True)
        assert list(stored) == list(range(1, run["run_attempt"] + 1))


@pytest.mark.slow
def test_a_service_by_releases_has_them_all_and_sees_a_draft_published_later(github: StandIn, world: World) -> None:
    source = source_of("acme/billing", deployments_from="releases")
    for days in range(40, -1, -1):
        github.clock = END - days * DAY
        night(source)

    assert facts()["releases"] == releases_of(world, END)
    assert [release for release in world.releases(END) if not release["isDraft"] and release["publishedAt"] > release["createdAt"]]
    assert not WorkflowRun.objects.exists()


@pytest.mark.slow
def test_thirty_nights_with_faults_on_a_tenth_of_all_answers_end_as_one_night_without(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"rate": 0.1, "seed": 11}
    for days in range(30, -1, -1):
        github.clock = END - days * DAY
        run = ledger.open_run(billing, trigger="shell")
        assert run
        finish(run)
        billing.refresh_from_db()
    github.faults = {}
    night(billing)

    assert_equal_to_truth(world, END, has_runs=False)


def test_a_list_that_shifts_between_two_pages_loses_nothing(billing: Source, github: StandIn, world: World, settings: Settings) -> None:
    settings.GITHUB_PAGE_SIZE = 10
    for operation in ("PullRequests", "Issues", "Deployments"):
        github.clock = END - 2 * DAY
        github.faults = {"shift": operation}
        night(billing)
        github.faults = {}
    github.clock = END
    night(billing)

    assert_equal_to_truth(world, END, has_runs=False)


def test_what_lies_beyond_the_first_hundred_is_read_for_a_metric_and_only_then(github: StandIn) -> None:
    large = ordinary_world("acme/large", end=END, days=40, large=True)
    show(github, large)
    night(source_of("acme/large"))

    rows = {row["number"]: row for row in large.pull_requests(END)}
    beyond = [row for row in rows.values() if row["commits"]["totalCount"] > 100]
    assert beyond
    for change in Change.objects.filter(number__in=[row["number"] for row in beyond]):
        truth = [node["commit"]["oid"] for node in rows[change.number]["commits"]["nodes"]]
        expected = truth if change.merged_at else truth[:100]
        assert [commit["sha"] for commit in change.commits] == expected
        assert change.commit_count == len(truth)
    reviewed = next(row for row in rows.values() if row["reviews"]["totalCount"] > 100)
    stored = Change.objects.get(number=reviewed["number"])
    assert len(stored.reviews) == reviewed["reviews"]["totalCount"]
    before = facts()
    night(Source.objects.get(name="large"), full=True)
    assert facts() == before


def test_what_is_left_out_is_told_by_the_counts_of_the_fact(github: StandIn) -> None:
    """Only the first page of its commits and reviews is read if a pull request is not merged, because no metric uses it."""
    large = ordinary_world("acme/large", end=END, days=40, large=True)
    for pull in large.pulls.values():
        if len(pull.commits) == 130 or len(pull.reviews) > 100:
            pull.merged = pull.closed = pull.merge_oid = None
    large.changed()
    show(github, large)
    night(source_of("acme/large"))

    cut = [(len(one.commits), one.commit_count, len(one.reviews), one.review_count) for one in Change.objects.order_by("number")]
    left_out = [one for one in cut if one[0] < one[1] or one[2] < one[3]]
    reviewed = next(row for row in large.pull_requests(END) if row["reviews"]["totalCount"] > 100)
    assert [one[:2] for one in left_out if one[1] > 100] == [(100, 130)]
    assert [one[2:] for one in left_out if one[3] > 100] == [(100, reviewed["reviews"]["totalCount"])]
    assert len(left_out) == 2


def test_a_path_filter_that_is_set_later_has_the_pull_requests_read_again(billing: Source, github: StandIn) -> None:
    night(billing)
    before = set(DORAMetric.objects.filter(metric="change_lead_time").values_list("period", "period_start", "value"))
    Service.objects.update(path="**")
    github.clock = END + timedelta(hours=1)
    night(Source.objects.get(pk=billing.pk))

    assert not Change.objects.filter(changed_files__gt=0, paths=[]).exists()
    assert Repository.objects.get().has_paths
    assert set(DORAMetric.objects.filter(metric="change_lead_time").values_list("period", "period_start", "value")) == before
    spent(github)
    night(Source.objects.get(pk=billing.pk))
    assert spent(github)["points"] <= 2  # this night does not read all pull requests again, as the previous one did


def test_paths_are_read_where_the_service_has_a_filter(github: StandIn, world: World) -> None:
    night(source_of("acme/billing", path="billing/**"))

    rows = {row["number"]: row for row in world.pull_requests(END)}
    for change in Change.objects.all():
        assert change.paths == [node["path"] for node in rows[change.number]["files"]["nodes"]]


def test_a_run_that_a_failed_deployment_names_is_read_alone(github: StandIn, world: World) -> None:
    source = source_of("acme/billing", deployments_from="github")
    night(source)

    named = {
        int(status["logUrl"].split("/runs/")[1].split("/")[0])
        for row in world.deployments(END)
        if row["state"] in ("FAILURE", "ERROR")
        for status in row["statuses"]["nodes"]
        if status["logUrl"]
    }
    assert named
    assert set(WorkflowRun.objects.values_list("external_id", flat=True)) == named


def test_a_backfill_reads_old_facts_again_and_leaves_the_cursors_alone(billing: Source, github: StandIn) -> None:
    night(billing)
    before = dict(Cursor.objects.exclude(stream="repository").values_list("stream", "version"))
    Issue.objects.all().delete()
    until = END - 20 * DAY
    night(billing, since=(END - 40 * DAY).isoformat(), until=until.isoformat())

    assert Issue.objects.filter(version_at__lte=until).exists()
    cursors = Cursor.objects.filter(stream="issues").get()
    assert cursors.position["newest"] > until.isoformat()
    assert set(before) == set(Cursor.objects.exclude(stream="repository").values_list("stream", flat=True))


# --- number of requests -----------------------------------------------------------------------------------------------


def test_a_quiet_night_costs_two_requests_and_changes_nothing(billing: Source, github: StandIn) -> None:
    night(billing)
    night(billing)
    before = facts()
    spent(github)
    run = night(billing)

    counts = spent(github)
    assert counts["points"] + counts.get("rest", 0) + counts.get("not_modified", 0) <= 2, counts
    assert (run.status, run.extracted) == ("success", 0)
    assert facts() == before


def test_a_stream_that_nobody_asked_for_costs_nothing(github: StandIn) -> None:
    night(source_of("acme/billing", deployments_from="pulls", incident_label=""))

    counts = spent(github)
    assert not {name for name in ("Deployments", "Releases", "Issues") if counts.get(name)}
    assert not [name for name in counts if "actions/runs" in name]


@pytest.mark.slow
def test_many_quiet_repositories_share_one_query(github: StandIn) -> None:
    names = [f"acme/part-{number}" for number in range(30)]
    for name in names:
        show(github, exact_world(name, end=END, days=30, pull_requests=3, deployments=2, issues=2, releases=1, runs=0, commits=4))
    sources = [source_of(name) for name in names]
    for _ in range(2):
        for source in sources:
            night(source)
    spent(github)
    news = survey(sources)
    for source in sources:
        assert night(source, news=news[source.pk]).status == "success"

    assert spent(github)["points"] <= 3


def test_a_large_page_that_github_cannot_finish_is_asked_for_in_halves(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"unfinished_above": 30}
    night(billing)

    assert_equal_to_truth(world, END)


def test_a_run_is_postponed_when_the_hour_is_spent_and_goes_on_where_it_stood(
    billing: Source, github: StandIn, world: World, settings: Settings
) -> None:
    settings.GITHUB_PAGE_SIZE = 10
    github.budget = Budget(limit=30, reset_seconds=3600)
    run = ledger.open_run(billing, trigger="shell")
    assert run
    claimed = ledger.claim(run.pk, "extract", "test")
    with pytest.raises(RetriableError) as told:
        stages.extract(claimed)
    assert told.value.postpone
    assert 0 < (told.value.retry_after or 0) <= 3602
    staged = claimed.pages.count()
    assert staged
    assert github.counts["points"] <= 30
    github.budget = Budget(limit=5000, reset_seconds=3600)
    client._rate_limits.clear()
    ETLRun.objects.filter(pk=run.pk).update(owner="")
    inline.run_remaining_stages(run.pk)

    assert claimed.pages.filter(number__lte=staged).count() == staged
    assert_equal_to_truth(world, END)


# --- one bad repository among good ones -------------------------------------------------------------------------------


def test_a_renamed_repository_is_followed_under_its_new_name(billing: Source, github: StandIn, world: World) -> None:
    moved = ordinary_world("acme/old-name", end=END, days=40)
    show(github, moved)
    source = source_of("acme/old-name")
    github.clock = END - DAY
    night(source)
    moved.renamed = [(END - timedelta(hours=12), "acme/new-name")]
    github.clock = END
    assert night(source).status == "success"

    assert source.repository == "acme/new-name"
    assert Change.objects.count() == len(moved.pull_requests(END))


def test_a_repository_whose_old_name_another_one_has_taken_is_followed_by_its_id(github: StandIn) -> None:
    first = ordinary_world("acme/first", end=END, days=30)
    show(github, first)
    source = source_of("acme/first")
    github.clock = END - DAY
    night(source)
    first.renamed = [(END - timedelta(hours=12), "acme/second")]
    newcomer = ordinary_world("acme/first", end=END, days=30, seed=99)
    github.worlds = Worlds({"acme/second": first, "acme/first": newcomer})
    github.clock = END
    night(source)

    assert source.repository == "acme/second"
    assert Change.objects.count() == len(first.pull_requests(END))


def test_a_repository_that_is_gone_fails_by_name_and_its_neighbours_go_on(billing: Source, github: StandIn) -> None:
    lost = ordinary_world("acme/lost", end=END, days=30)
    show(github, lost)
    source = source_of("acme/lost")
    github.clock = END - DAY
    night(source)
    lost.gone = END - timedelta(hours=1)
    github.clock = END

    assert source.pk not in survey([source, billing])
    with pytest.raises(inline.StageFailed, match=r"acme/lost: .*does not exist, or the token may not read it"):
        night(source)
    assert night(billing).status == "success"


def test_an_empty_and_an_archived_repository_are_read_as_they_are(github: StandIn) -> None:
    show(github, World("acme/empty", end=END))
    show(github, ordinary_world("acme/archive", end=END, days=20))
    github.worlds.by_name["acme/archive"].is_archived = True
    empty, archive = source_of("acme/empty"), source_of("acme/archive")

    assert night(empty).status == night(archive).status == "success"
    assert not Commit.objects.filter(service=empty.service).exists()
    assert archive.is_archived
    assert not empty.is_archived


def test_what_the_token_may_not_read_is_named_with_its_permission(github: StandIn) -> None:
    token = settings.GITHUB_CREDENTIALS[""]["token"]
    github.access.forbidden = {token: {"issues"}}
    with pytest.raises(inline.StageFailed, match="needs the permission “Issues: read” for issues"):
        night(source_of("acme/billing"))


def test_a_wrong_token_is_told_once_not_once_a_stream(billing: Source, github: StandIn, settings: Settings) -> None:
    settings.GITHUB_CREDENTIALS = {"": {**settings.GITHUB_CREDENTIALS[""], "token": "wrong"}}
    with pytest.raises(inline.StageFailed, match="wrong, expired or revoked"):
        night(billing)

    assert github.counts["requests"] == 1


def test_a_source_may_have_a_credential_of_its_own(github: StandIn, settings: Settings) -> None:
    ours = settings.GITHUB_CREDENTIALS[""]
    settings.GITHUB_CREDENTIALS = {"": {**ours, "token": "wrong"}, "ACME": {**ours, "token": "acme's own"}}
    source = source_of("acme/billing")
    source.credential = "ACME"
    source.save()
    assert night(source).status == "success"
    source.credential = "OTHER"
    source.save()
    with pytest.raises(inline.StageFailed, match="GITHUB_TOKEN_OTHER"):
        night(source)


# --- unusual answers --------------------------------------------------------------------------------------------------


def test_null_nodes_are_asked_for_again_in_the_list_and_by_their_ids(billing: Source, github: StandIn, world: World) -> None:
    for faults in ({"null_nodes": "PullRequests", "times": 1}, {"null_nodes": "PullRequests"}):
        github.faults = faults
        assert night(billing, full=True).status == "success"
        assert_equal_to_truth(world, END)
    assert not DeadLetter.objects.exists()


def test_half_a_page_is_asked_for_again(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"cut": True, "times": 2}
    assert night(billing).status == "success"

    assert_equal_to_truth(world, END)


def test_an_unknown_state_and_a_new_field_are_loaded(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"new_enum": "Deployments", "new_field": "Deployments"}
    assert night(billing).status == "success"

    assert Deployment.objects.count() == len(world.deployments(END))
