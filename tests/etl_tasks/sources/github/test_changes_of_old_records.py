"""Records that change, appear late or are deleted on GitHub after a run has read the list that they belong to.

Later runs bring the database into agreement with GitHub, with a limited number of requests.
"""

from datetime import datetime, timedelta

import pytest
from django.core.management import call_command

from dora_metrics.models import Attempt, Change, Deployment, Incident, Issue, Release, WorkflowRun
from etl_tasks.models import Cursor, Source
from etl_tasks.sources.github.rechecks import deleted_records
from etl_tasks.sources.github.watched_records import LONGEST_WAIT_FOR_AN_END, watched
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import exact_world
from github_stand_in.worlds.facts import Deployment as Deployed
from github_stand_in.worlds.facts import Issue as Opened
from github_stand_in.worlds.facts import Release as Published
from github_stand_in.worlds.facts import WorkflowRun as Ran
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.people import DEPLOYER
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, show, source_of, spent

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DEPLOY, CI = ("Deploy", ".github/workflows/deploy.yml"), ("CI", ".github/workflows/ci.yml")


@pytest.fixture
def quiet() -> World:
    """A repository with six commits and no other records."""
    world = World("acme/quiet", end=END, days=60)
    commit = world.commit((), world.start, world.start, "ana")
    world.push(commit.oid, world.start)
    for number in range(1, 6):
        commit = world.commit((commit.oid,), world.start + number * DAY, world.start + number * DAY, "ana")
        world.push(commit.oid, world.start + number * DAY)
    return world


def deploy(world: World, when: datetime, *statuses: tuple[datetime, str], environment: str = "production") -> int:
    number = len(world.deploys) + 1
    world.deploys[number] = Deployed(number, when, world.main[-1][1], environment, list(statuses), "release", DEPLOYER)
    world.changed()
    return world.number * 100_000 + number


def run(world: World, when: datetime, *, oid: str = "", of: tuple[str, str] = DEPLOY, conclusion: str = "success") -> Ran:
    number = len(world.runs) + 1
    attempt = (when, when + 5 * MINUTE, conclusion)
    world.runs[number] = Ran(number, when, *of, "main", oid or world.main[-1][1], "push", [attempt])
    world.changed()
    return world.runs[number]


def open_issue(world: World, when: datetime, *, label: str = "incident") -> Opened:
    number = world.next_number()
    issue = world.issue_of[number] = Opened(number, when, f"Payments fail, {number}", "", "ana")
    issue.labelled.append((label, when, None))
    world.changed()
    return issue


def publish(world: World, created: datetime, *, shown: datetime | None = None, published: datetime | None = None) -> Published:
    number = len(world.published) + 1
    one = world.published[number] = Published(number, created, f"v{number}", world.main[-1][1], published or shown or created)
    one.shown = shown
    world.changed()
    return one


def nights(github: StandIn, source: Source, *clocks: datetime) -> None:
    for clock in clocks:
        github.clock = clock
        assert night(source).status == "success"


# --- deployments ------------------------------------------------------------------------------------------------------


def test_a_deployment_that_failed_and_is_taken_up_again_becomes_a_success(github: StandIn, quiet: World) -> None:
    when = END - 3 * DAY
    key = deploy(quiet, when, (when + 5 * MINUTE, "FAILURE"), (when + 4 * HOUR, "IN_PROGRESS"), (when + 4 * HOUR + 10 * MINUTE, "SUCCESS"))
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="github")
    nights(github, source, when + HOUR)
    assert not Attempt.objects.get(key=key).is_success

    nights(github, source, when + DAY)

    attempt = Attempt.objects.get(key=key)
    assert (attempt.is_success, attempt.finished_at) == (True, when + 4 * HOUR + 10 * MINUTE)


def test_a_waiting_deployment_is_asked_for_however_many_newer_ones_are_active(github: StandIn, quiet: World) -> None:
    begun = END - 20 * DAY
    waiting = deploy(quiet, begun, (begun, "WAITING"), (END - HOUR, "SUCCESS"), environment="live")
    for number in range(150):
        when = begun + HOUR + number * HOUR
        deploy(quiet, when, (when + MINUTE, "SUCCESS"), environment=f"preview-{number}")
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="github")
    nights(github, source, END - DAY)
    spent(github)

    nights(github, source, END)

    assert Attempt.objects.get(key=waiting).is_success
    assert spent(github)["points"] <= 3


def test_three_hundred_unfinished_deployments_push_none_of_them_out(github: StandIn, quiet: World) -> None:
    begun = END - 20 * DAY
    keys = [deploy(quiet, begun + number * MINUTE, (begun + DAY, "QUEUED"), (END - HOUR, "SUCCESS")) for number in range(300)]
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="github")
    nights(github, source, END - DAY)
    spent(github)
    nights(github, source, END - 12 * HOUR)
    quiet_night = spent(github)["points"]
    nights(github, source, END)

    assert Deployment.objects.filter(external_id__in=keys, state__in=["active", "inactive", "success"]).count() == 300
    assert quiet_night <= 2
    assert spent(github)["points"] <= 8


def test_a_success_is_settled_and_not_asked_for_by_its_record_again(github: StandIn, quiet: World) -> None:
    for number in range(60):
        when = END - 20 * DAY + number * HOUR
        deploy(quiet, when, (when + MINUTE, "SUCCESS"), (when + 2 * MINUTE, "INACTIVE"))
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="github")
    nights(github, source, END - DAY)
    spent(github)
    nights(github, source, END)

    counts = spent(github)
    assert counts["points"] == 1
    assert "DeploymentsById" not in counts


def test_a_deployment_that_never_ends_is_given_up_and_said_so(github: StandIn, quiet: World, capsys: pytest.CaptureFixture[str]) -> None:
    begun = END - LONGEST_WAIT_FOR_AN_END - 10 * DAY
    key = deploy(quiet, begun, (begun, "WAITING"))
    deploy(quiet, END - 5 * DAY, (END - 5 * DAY + MINUTE, "SUCCESS"))
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="github")
    nights(github, source, END - DAY)
    assert Deployment.objects.get(external_id=key).node_id not in watched(source.ensure_facts_repository())

    call_command("etl_status")
    assert f"without an outcome for 30 days, not asked for any more: {key} (production, {begun:%F})" in capsys.readouterr().out


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_rollback_by_running_an_old_successful_run_again_is_seen_behind_130_newer_runs(github: StandIn, quiet: World) -> None:
    good, bad = quiet.main[-3][1], quiet.main[-2][1]
    old = run(quiet, END - 9 * DAY, oid=good)
    run(quiet, END - 8 * DAY, oid=bad)
    for number in range(130):
        run(quiet, END - 7 * DAY + number * MINUTE, of=CI)
    again, once_more = END - 30 * HOUR, END - 20 * HOUR
    old.attempts += [(again, again + 5 * MINUTE, "failure"), (once_more, once_more + 5 * MINUTE, "success")]
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="workflows")
    nights(github, source, END - 2 * DAY)
    assert WorkflowRun.objects.filter(path=DEPLOY[1]).count() == 2
    spent(github)

    nights(github, source, END)

    number = quiet.number * 100_000 + old.number
    assert list(WorkflowRun.objects.filter(external_id=number).order_by("attempt").values_list("attempt", flat=True)) == [1, 2, 3]
    attempts = list(Attempt.objects.order_by("finished_at"))
    assert [(one.key.rpartition(".")[2], one.is_success) for one in attempts] == [("1", True), ("1", True), ("2", False), ("3", True)]
    assert "rollback" in {cause["rule"] for cause in attempts[1].causes}
    counts = spent(github)
    assert counts["points"] + counts["rest"] + counts.get("not_modified", 0) <= 8


def test_a_run_of_a_workflow_that_a_setting_calls_deploying_only_now_is_read_again(github: StandIn, quiet: World) -> None:
    ship = run(quiet, END - 9 * DAY, of=("Ship", ".github/workflows/ship.yml"), conclusion="failure")
    ship.attempts.append((END - 3 * DAY, END - 3 * DAY + MINUTE, "success"))
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="workflows")
    nights(github, source, END - 4 * DAY, END - 2 * DAY)
    assert not Attempt.objects.exists()

    type(source.service).objects.update(workflow="^Ship$")
    nights(github, Source.objects.get(pk=source.pk), END)

    assert [(one.key.rpartition(".")[2], one.is_success) for one in Attempt.objects.order_by("finished_at")] == [("1", False), ("2", True)]


def test_the_attempts_of_a_run_that_was_cancelled_and_run_again_are_all_read(github: StandIn, quiet: World) -> None:
    """GitHub reports the deployment of a cancelled job as a failure. The run's last attempt no longer shows the cancellation."""
    cancelled = run(quiet, END - 5 * DAY, of=CI, conclusion="cancelled")
    cancelled.attempts.append((END - 4 * DAY, END - 4 * DAY + MINUTE, "success"))
    deploy(quiet, END - 5 * DAY, (END - 5 * DAY + MINUTE, "FAILURE"))
    quiet.deploys[1].run = cancelled.number
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="github")
    nights(github, source, END)

    assert list(WorkflowRun.objects.order_by("attempt").values_list("conclusion", flat=True)) == ["cancelled", "success"]
    assert not Attempt.objects.exists()


# --- deleted records --------------------------------------------------------------------------------------------------


def test_the_attempts_of_a_listed_run_that_a_deployment_names_are_all_read(github: StandIn, quiet: World) -> None:
    cancelled = run(quiet, END - 5 * DAY, of=CI, conclusion="cancelled")
    cancelled.attempts.append((END - 4 * DAY, END - 4 * DAY + MINUTE, "success"))
    deploy(quiet, END - 5 * DAY, (END - 5 * DAY + MINUTE, "FAILURE"), (END - 5 * DAY + 2 * MINUTE, "INACTIVE"))
    quiet.deploys[1].run = cancelled.number
    show(github, quiet)
    nights(github, source_of("acme/quiet", deployments_from="auto"), END)

    assert list(WorkflowRun.objects.order_by("attempt").values_list("conclusion", flat=True)) == ["cancelled", "success"]
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("moved", [None, ("acme/elsewhere", 77)], ids=["deleted", "transferred"])
def test_an_issue_that_is_gone_counts_no_more_and_its_row_stays(github: StandIn, quiet: World, moved: tuple[str, int] | None) -> None:
    when = END - 5 * DAY
    deploy(quiet, when - DAY, (when - DAY + MINUTE, "SUCCESS"))
    issue, other = open_issue(quiet, when), open_issue(quiet, when + HOUR)
    issue.gone, issue.moved = END - 2 * DAY, moved
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="github")
    nights(github, source, END - 3 * DAY)
    assert Incident.objects.count() == 2

    nights(github, source, END)

    assert [one.number for one in Incident.objects.all()] == [other.number]
    row = Issue.objects.get(number=issue.number)
    assert row.gone_at
    assert row.title == issue.title
    spent(github)
    nights(github, source, END + HOUR)
    assert spent(github)["points"] == 1, "what is explained is not looked for again"


def test_a_deployment_a_release_a_run_and_a_pull_request_that_are_gone_count_no_more(github: StandIn, world: World) -> None:
    lively = ordinary_world("acme/lively", end=END, days=30)
    show(github, lively)
    sources = {kind: source_of("acme/lively", deployments_from=kind) for kind in ("github",)}
    source = sources["github"]
    nights(github, source, END - DAY)
    deployed = next(one for one in lively.deploys.values() if one.environment == "production" and one.statuses[-1][1] == "INACTIVE")
    merged = next(one for one in lively.pulls.values() if one.merge_oid)
    deployed.gone = merged.gone = END - HOUR
    lively.changed()
    nights(github, source, END)

    key = lively.number * 100_000 + deployed.number
    assert Deployment.objects.get(external_id=key).gone_at
    assert Change.objects.get(number=merged.number).gone_at
    assert str(key) not in {one for ids in Attempt.objects.values_list("ids", flat=True) for one in ids}
    assert not Change.objects.filter(number=merged.number, delivery__isnull=False).exists()


def test_a_release_and_a_run_that_are_gone_count_no_more(github: StandIn, quiet: World) -> None:
    for kind in ("releases", "workflows"):
        kept, lost = (publish(quiet, END - days * DAY) for days in (9, 8))
        if kind == "workflows":
            kept, lost = (run(quiet, END - days * DAY) for days in (59, 58))  # GitHub allows no re-run after 30 days
        show(github, quiet)
        source = source_of("acme/quiet", deployments_from=kind)
        nights(github, source, END - DAY)
        lost.gone = END - HOUR
        quiet.changed()
        nights(github, source, END)

        rows = Attempt.objects.filter(service=source.service)
        assert [one.key.partition(".")[0] for one in rows] == [str(quiet.number * 100_000 + kept.number)]
        source.service.delete()
        quiet.published.clear()


def test_reading_everything_again_finds_what_is_gone_even_if_the_counts_agree(github: StandIn, quiet: World) -> None:
    issue = open_issue(quiet, END - 5 * DAY)
    show(github, quiet)
    source = source_of("acme/quiet")
    nights(github, source, END - 3 * DAY)
    issue.gone = END - 2 * DAY
    quiet.changed()
    cursor = Cursor.objects.get(stream="issues")
    cursor.position |= {"total": 0, "top": {**cursor.position["top"], "total": 0}}
    cursor.save()
    github.clock = END
    night(source, full=True)

    assert Issue.objects.get().gone_at


def test_what_was_gone_and_is_back_counts_again(github: StandIn, quiet: World) -> None:
    """GitHub can hide all issues of a user and show them again later. Their update times do not change."""
    issue = open_issue(quiet, END - 9 * DAY)
    open_issue(quiet, END - 8 * DAY)
    show(github, quiet)
    source = source_of("acme/quiet")
    nights(github, source, END - 5 * DAY)
    issue.gone = END - 4 * DAY
    quiet.changed()
    nights(github, source, END - 3 * DAY)
    assert Issue.present.count() == 1
    issue.gone = None
    quiet.changed()
    nights(github, source, END)

    assert Issue.present.count() == 2


def test_a_large_repository_is_looked_through_over_several_nights(github: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleted_records, "MOST_EXISTENCE_QUERIES", 2)  # a repository that exceeds the real limit takes minutes to read
    large = exact_world("acme/large", end=END, pull_requests=1, deployments=0, issues=700, releases=0, runs=0, commits=2)
    lost = [list(large.issue_of.values())[place] for place in (20, 400)]
    show(github, large)
    source = source_of("acme/large")
    nights(github, source, END)
    for issue in lost:
        issue.gone = END + HOUR
    large.changed()
    spent(github)
    for number in range(1, 6):
        nights(github, source, END + number * DAY)
        assert spent(github).get("CheckExistence", 0) <= 2

    assert set(Issue.objects.exclude(gone_at=None).values_list("number", flat=True)) == {issue.number for issue in lost}


# --- releases (dated by their commits) --------------------------------------------------------------------------------


def test_a_release_of_an_old_commit_and_an_old_draft_that_is_published_are_seen(github: StandIn, quiet: World) -> None:
    for days in (9, 8, 7):
        publish(quiet, END - days * DAY)
    late = publish(quiet, END - 30 * DAY, shown=END - HOUR)
    draft = publish(quiet, END - 50 * DAY, published=END - HOUR)
    promoted = publish(quiet, END - 40 * DAY)
    promoted.is_prerelease, promoted.promoted = True, END - HOUR
    quiet.changed()
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="releases")
    nights(github, source, END - DAY)
    assert Attempt.objects.count() == 3

    nights(github, source, END)

    keys = {str(quiet.number * 100_000 + one.number) for one in (late, draft, promoted)}
    assert keys <= set(Attempt.objects.values_list("key", flat=True))


def test_a_release_of_an_old_commit_is_found_behind_a_hundred_newer_ones(github: StandIn, quiet: World) -> None:
    for number in range(250):
        publish(quiet, END - 20 * DAY + number * HOUR)
    late = publish(quiet, END - 30 * DAY, shown=END - HOUR)
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="releases")
    nights(github, source, END - DAY, END)

    assert Release.objects.filter(external_id=quiet.number * 100_000 + late.number).exists()


# --- which deployments count ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["deleted", "inactive"])
def test_releases_count_in_the_very_night_in_which_no_deployment_in_production_does_any_more(github: StandIn, quiet: World, state: str) -> None:
    key = deploy(quiet, END - 9 * DAY, (END - 9 * DAY + MINUTE, "FAILURE"))
    show(github, quiet)
    source = source_of("acme/quiet", deployments_from="auto")
    nights(github, source, END - 5 * DAY, END - 4 * DAY)
    late = publish(quiet, END - 3 * DAY)
    if state == "deleted":
        quiet.deploys[1].gone = END - DAY
    else:
        quiet.deploys[1].statuses += [(END - DAY, "IN_PROGRESS"), (END - DAY + HOUR, "INACTIVE")]
        quiet.deploys[1].changed()
    quiet.changed()
    assert Attempt.objects.get().key == str(key)
    nights(github, source, END)

    assert Attempt.objects.get().key == str(quiet.number * 100_000 + late.number)


# --- a stream that was switched off for a while -----------------------------------------------------------------------


def test_a_stream_that_a_setting_left_out_for_a_while_is_read_anew(github: StandIn, quiet: World) -> None:
    issue = open_issue(quiet, END - 9 * DAY)
    issue.gone = END - 6 * DAY
    kept = open_issue(quiet, END - 8 * DAY)
    show(github, quiet)
    source = source_of("acme/quiet")
    nights(github, source, END - 7 * DAY)
    services = type(source.service).objects
    services.update(incident_label="")
    nights(github, Source.objects.get(pk=source.pk), END - 5 * DAY)
    services.update(incident_label="incident")
    nights(github, Source.objects.get(pk=source.pk), END)

    assert [one.number for one in Issue.present.all()] == [kept.number]
