from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.calculators.deployment_sources import attempts, finished
from dora_metrics.calculators.deployment_sources import logged as of_logs
from dora_metrics.calculators.inputs import Status
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import GITHUB, LOGS, PULLS, RELEASES, WORKFLOWS, at, deployment, facts, line, logged, pull, release, run


def ids(found):
    return [attempt.ids for attempt in found[0]]


@pytest.mark.parametrize(
    ("states", "is_success", "minute"),
    [
        (["success"], True, 0),
        (["pending", "in_progress", "success"], True, 2),
        (["success", "failure"], True, 0),
        (["success", "inactive"], True, 0),
        (["failure", "success"], True, 1),
        (["success", "in_progress", "success"], True, 0),
        (["in_progress", "failure"], False, 1),
        (["in_progress", "error"], False, 1),
        (["error", "failure"], False, 1),
        (["failure", "inactive"], False, 0),
        (["failure", "in_progress", "failure"], False, 2),
    ],
)
def test_statuses_end_a_deployment(states, is_success, minute):
    attempt = finished(deployment(1, "a", at(0), *states))
    assert (attempt.is_success, attempt.started_at, attempt.finished_at) == (is_success, at(0), at(0, minutes=minute))


@pytest.mark.parametrize(
    "states", [["inactive"], ["pending"], ["in_progress", "inactive"], *(["failure", s] for s in ("pending", "queued", "waiting", "in_progress"))]
)
def test_statuses_that_decide_nothing_make_no_attempt(states):
    assert finished(deployment(1, "a", at(0), *states)) is None


def test_a_deployment_without_a_status_is_no_success():
    assert finished(replace(deployment(1, "a", at(0)), statuses=())) is None


def test_in_progress_within_the_second_of_the_failure_is_not_after_it():
    statuses = (Status("in_progress", at(0)), Status("failure", at(0)))
    for order in (statuses, statuses[::-1]):
        assert finished(replace(deployment(1, "a", at(0)), statuses=order)).is_success is False


def test_a_failure_of_a_cancelled_workflow_run_is_no_attempt():
    failed = replace(deployment(1, "a", at(0)), statuses=(Status("failure", at(0), "https://github.com/a/b/actions/runs/77/job/5"),))
    assert attempts(facts(deployments=(failed,), workflow_runs=(run(77, conclusion="cancelled"),)), GITHUB)[0] == []
    assert ids(attempts(facts(deployments=(failed,), workflow_runs=(run(77, conclusion="failure"),)), GITHUB)) == [("1",)]
    assert ids(attempts(facts(deployments=(failed,), workflow_runs=(run(7, conclusion="cancelled"),)), GITHUB)) == [("1",)]


@pytest.mark.parametrize("name", ["production", "Production", "prod", "PROD", "live", "prod-eu", "production_2", "live us", "prod/eu"])
def test_every_environment_that_reads_like_production_is_production(name):
    assert ids(attempts(facts(deployments=(deployment(1, "a", at(0), environment=name),)), GITHUB)) == [("1",)]


@pytest.mark.parametrize("name", ["staging", "preprod", "pre-production", "product", "production2", "delivery", ""])
def test_other_environments_are_not_production(name):
    assert ids(attempts(facts(deployments=(deployment(1, "a", at(0), environment=name),)), GITHUB)) == []


def test_what_reads_like_production_is_a_setting():
    both = facts(deployments=(deployment(1, "a", at(0), environment="shop"), deployment(2, "a", at(0))))
    assert ids(attempts(both, replace(GITHUB, production="^shop$"))) == [("1",)]


@pytest.mark.parametrize("settings", [LOGS, RELEASES, WORKFLOWS, PULLS])
def test_what_names_no_environment_is_production_whatever_that_is_called(settings):
    told = facts(
        log_deployments=(logged(1, at(0)), logged(2, at(1), environment="production")),
        releases=(release(1, "a", at(0)),),
        workflow_runs=(run(1),),
        pull_requests=(pull(1),),
    )
    found, _ = attempts(told, replace(settings, production="^shop$"))
    assert [attempt.key.partition(".")[0] for attempt in found] == ["1"]


@pytest.mark.parametrize("name", ["production", "prod-eu"])
def test_an_environment_keeps_its_own_name(name):
    (one,), _ = attempts(facts(deployments=(deployment(1, "a", at(0), environment=name),)), GITHUB)
    assert one.environment == name


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        (WORKFLOWS, {"workflow_runs": (run(1),)}),
        (RELEASES, {"releases": (release(1, "a", at(0)),)}),
        (PULLS, {"pull_requests": (pull(1),)}),
    ],
    ids=["workflow runs", "releases", "pull requests"],
)
def test_without_an_environment_of_its_own_an_attempt_is_production(settings, changed):
    (one,), _ = attempts(facts(**changed), settings)
    assert one.environment == "production"
    assert attempts(facts(**changed), settings, environment="staging")[0] == []


def test_one_that_finished_before_it_started_has_started_at_its_finish_and_is_marked():
    early = replace(deployment(1, "a", at(1)), statuses=(Status("success", at(0)),))
    (one,), _ = attempts(facts(deployments=(early,)), GITHUB)
    assert (one.started_at, one.finished_at, one.has_skew) == (at(0), at(0), True)


def test_one_that_finished_when_it_started_is_not_marked():
    (one,), _ = attempts(facts(deployments=(deployment(1, "a", at(1)),)), GITHUB)
    assert (one.started_at, one.finished_at, one.has_skew) == (at(1), at(1), False)


def test_another_environment_goes_by_its_exact_name():
    both = facts(deployments=(deployment(1, "a", at(0), environment="staging"), deployment(2, "a", at(0), environment="Staging")))
    assert ids(attempts(both, GITHUB, environment="staging")) == [("1",)]


@pytest.mark.parametrize("conclusion", ["success", "failure", "timed_out"])
def test_a_deploying_run_that_ended_is_an_attempt(conclusion):
    found, _ = attempts(facts(workflow_runs=(run(1, conclusion=conclusion),)), WORKFLOWS)
    assert [(one.is_success, one.started_at, one.finished_at) for one in found] == [(conclusion == "success", at(0), at(0, minutes=5))]


@pytest.mark.parametrize(
    "changed",
    [
        *({"conclusion": conclusion} for conclusion in ("", "cancelled", "skipped", "neutral", "action_required", "stale", "startup_failure")),
        {"branch": "topic"},
        {"event": "pull_request"},
        {"event": "pull_request_target"},
        {"name": "Tests", "path": ".github/workflows/tests.yml"},
    ],
)
def test_other_runs_are_no_attempts(changed):
    assert attempts(facts(workflow_runs=(run(1, **changed),)), WORKFLOWS)[0] == []


def test_a_run_matches_by_its_path_as_well():
    assert ids(attempts(facts(workflow_runs=(run(1, name="CD", path=".github/workflows/deploy.yml"),)), WORKFLOWS)) == [("1.1",)]


def test_which_runs_deploy_is_a_setting():
    both = facts(workflow_runs=(run(1), run(2, name="Ship it")))
    assert ids(attempts(both, replace(WORKFLOWS, workflow="^Ship"))) == [("2.1",)]


def test_while_the_default_branch_is_unknown_every_branch_counts():
    changed = facts(workflow_runs=(run(1, branch="topic"),), pull_requests=(pull(2, base_branch="topic"),))
    assert ids(attempts(replace(changed, default_branch=""), WORKFLOWS)) == [("1.1",)]
    assert ids(attempts(replace(changed, default_branch=""), PULLS)) == [("2",)]


def test_a_second_attempt_of_a_run_within_the_hour_is_a_retry():
    runs = run(1, conclusion="failure"), run(1, attempt=2, updated_at=at(0, minutes=50))
    assert ids(attempts(facts(workflow_runs=runs), WORKFLOWS)) == [("1.1", "1.2")]


def test_a_published_release_is_a_success_of_its_tag_s_commit_at_its_publication():
    (one,), _ = attempts(facts(releases=(release(1, "a", at(2)),)), RELEASES)
    assert (one.ids, one.sha, one.started_at, one.finished_at, one.is_success) == (("1",), "a", at(2), at(2), True)


@pytest.mark.parametrize("changed", [{"is_draft": True}, {"published_at": None}, {"is_prerelease": True}], ids=["draft", "unpublished", "prerelease"])
def test_drafts_and_prereleases_are_no_deployments(changed):
    assert attempts(facts(releases=(replace(release(1, "a", at(2)), **changed),)), RELEASES)[0] == []


def test_prereleases_are_deployments_if_asked_for_but_no_drafts():
    both = (release(1, "a", at(2), is_prerelease=True), release(2, "b", at(2), is_prerelease=True, is_draft=True))
    assert ids(attempts(facts(releases=both), replace(RELEASES, prereleases=True))) == [("1",)]


def test_each_attempt_of_a_run_is_one():
    runs = (run(1, sha="a"), run(1, attempt=2, sha="a", updated_at=at(2)))
    assert ids(attempts(facts(workflow_runs=runs), WORKFLOWS)) == [("1.1",), ("1.2",)]


def test_attempts_that_finish_together_are_ordered_by_id_as_numbers():
    runs = tuple(run(number, attempt=attempt) for number, attempt in ((10, 1), (9, 10), (9, 9)))
    assert ids(attempts(facts(workflow_runs=runs), WORKFLOWS)) == [("9.9",), ("9.10",), ("10.1",)]


def test_pull_requests_stand_for_deployments_only_on_the_default_branch():
    found, _ = attempts(facts(pull_requests=(pull(1), pull(2, base_branch="topic"))), PULLS)
    assert [(one.pull_request, one.is_success, one.finished_at) for one in found] == [(1, True, at(0))]


@pytest.mark.parametrize("state", ["success", "SUCCESS", "Succeeded", "successful", ""])
def test_a_line_of_a_log_that_tells_of_a_success_is_one_at_its_time(state):
    [attempt], source = attempts(facts(log_deployments=(logged(1, at(0), sha="a", state=state),)), LOGS)
    assert (attempt.is_success, attempt.sha, attempt.environment, source) == (True, "a", "production", "logs")
    assert (attempt.started_at, attempt.finished_at) == (at(0), at(0))


@pytest.mark.parametrize("state", ["failure", "Failed", "error"])
def test_a_line_that_tells_of_a_failure_is_a_failed_attempt(state):
    [attempt], _ = attempts(facts(log_deployments=(logged(1, at(0), state=state),)), LOGS)
    assert not attempt.is_success


@pytest.mark.parametrize("state", ["started", "in_progress", "cancelled", "pending", "rolled back"])
def test_any_other_state_ends_no_attempt(state):
    assert ids(attempts(facts(log_deployments=(logged(1, at(0), state=state),)), LOGS)) == []


def test_a_line_s_environment_is_its_own_and_production_without_one():
    lines = (logged(1, at(0)), logged(2, at(1), environment="prod-eu"), logged(3, at(2), environment="staging"))
    assert ids(attempts(facts(log_deployments=lines), LOGS)) == [("1",), ("2",)]
    assert ids(attempts(facts(log_deployments=lines), LOGS, environment="staging")) == [("3",)]


def test_a_line_s_shortened_sha_is_the_one_commit_that_it_names():
    full, other = "abcdef1" + "0" * 33, "abcdef2" + "0" * 33
    told = facts(log_deployments=(logged(1, at(0), sha="abcdef1"), logged(2, at(1), sha="abcdef"), logged(3, at(2), sha="abcdef3")))
    assert [one.sha for one in attempts(told, LOGS)[0]] == ["abcdef1", "abcdef", "abcdef3"]
    for known_commits in ({"parents": line(full, other)}, {"pull_requests": (pull(1, merge_sha=full, head_sha=other),)}):
        assert [one.sha for one in attempts(replace(told, **known_commits), LOGS)[0]] == [full, "abcdef", "abcdef3"]
        assert of_logs(replace(told, **known_commits)) == {"": {("1", full), ("2", "abcdef"), ("3", "abcdef3")}}


def test_a_failure_that_was_logged_may_be_retried_too():
    lines = (logged(1, at(0), sha="a", state="failed"), logged(2, at(0, minutes=50), sha="a"))
    assert ids(attempts(facts(log_deployments=lines), LOGS)) == [("1", "2")]


def test_one_deployment_that_the_api_a_log_and_a_workflow_tell_of_counts_once():
    everywhere = facts(
        deployments=(deployment(1, "a", at(0)),),
        log_deployments=(logged(2, at(0), sha="a"),),
        workflow_runs=(run(3),),
        releases=(release(4, "a", at(0)),),
    )
    assert attempts(everywhere, Settings())[1] == "github"
    assert attempts(replace(everywhere, deployments=()), Settings())[1] == "logs"
    assert attempts(replace(everywhere, deployments=(), log_deployments=()), Settings())[1] == "releases"
    for settings in (Settings(), GITHUB, LOGS, RELEASES, WORKFLOWS):
        assert len(attempts(everywhere, settings)[0]) == 1


def test_auto_takes_one_source_and_never_sums():
    auto = Settings()
    one_each = facts(deployments=(deployment(1, "a", at(0)),), releases=(release(4, "a", at(0)),), workflow_runs=(run(2),), pull_requests=(pull(3),))
    assert (ids(attempts(one_each, auto)), attempts(one_each, auto)[1]) == ([("1",)], "github")
    assert attempts(replace(one_each, deployments=()), auto)[1] == "releases"
    assert attempts(replace(one_each, deployments=(), releases=()), auto)[1] == "workflows"
    assert attempts(replace(one_each, deployments=(), releases=(), workflow_runs=()), auto)[1] == "pulls"


def test_auto_without_any_finished_attempt_waits_for_github_s():
    assert attempts(facts(), Settings()) == ([], "github")


def test_auto_chooses_by_production_for_every_environment():
    staged = deployment(1, "a", at(0), environment="staging")
    both = facts(deployments=(staged,), workflow_runs=(run(2),))
    assert attempts(both, Settings(), environment="staging") == ([], "workflows")


def test_auto_passes_over_a_source_without_a_finished_production_attempt():
    auto = Settings()
    for idle in (deployment(1, "a", at(0), "in_progress"), deployment(1, "a", at(0), environment="staging")):
        assert attempts(facts(deployments=(idle,), workflow_runs=(run(2),)), auto)[1] == "workflows"


def test_one_failed_attempt_is_enough_for_auto():
    assert attempts(facts(deployments=(deployment(1, "a", at(0), "failure"),), workflow_runs=(run(2),)), Settings())[1] == "github"


def test_the_configured_source_counts_even_if_it_has_nothing():
    assert attempts(facts(workflow_runs=(run(2),)), GITHUB) == ([], "github")


def test_a_retry_within_the_hour_replaces_the_failure():
    failed, retried = deployment(1, "a", at(0), "failure"), deployment(2, "a", at(0, minutes=60))
    (merged,), _ = attempts(facts(deployments=(failed, retried)), GITHUB)
    assert (merged.ids, merged.is_success, merged.started_at, merged.finished_at) == (("1", "2"), True, at(0, minutes=60), at(0, minutes=60))


@pytest.mark.parametrize(
    "second",
    [
        deployment(2, "a", at(0, minutes=60, seconds=1)),
        deployment(2, "b", at(0, minutes=10)),
        deployment(2, "a", at(0, minutes=10), environment="prod"),
    ],
)
def test_later_or_of_another_commit_or_environment_it_is_no_retry(second):
    assert ids(attempts(facts(deployments=(deployment(1, "a", at(0), "failure"), second)), GITHUB)) == [("1",), ("2",)]


def test_a_success_is_never_merged_into_the_next():
    assert ids(attempts(facts(deployments=(deployment(1, "a", at(0)), deployment(2, "a", at(0, minutes=5)))), GITHUB)) == [("1",), ("2",)]


def test_only_the_next_attempt_can_be_the_retry():
    three = (deployment(1, "a", at(0), "failure"), deployment(2, "b", at(0, minutes=5)), deployment(3, "a", at(0, minutes=10)))
    assert ids(attempts(facts(deployments=three), GITHUB)) == [("1",), ("2",), ("3",)]


def test_retries_of_retries_become_one():
    tries = (deployment(1, "a", at(0), "failure"), deployment(2, "a", at(0, minutes=50), "failure"), deployment(3, "a", at(0, minutes=100)))
    assert ids(attempts(facts(deployments=tries), GITHUB)) == [("1", "2", "3")]


def test_failures_of_unknown_commits_are_not_each_other_s_retries():
    unknown = (deployment(1, "", at(0), "failure"), deployment(2, "", at(0, minutes=5)))
    assert ids(attempts(facts(deployments=unknown), GITHUB)) == [("1",), ("2",)]


some_deployments = st.lists(
    st.builds(
        lambda number, sha, minute, states, name: deployment(number, sha, at(0, minutes=minute), *states, environment=name),
        st.integers(1, 10_000),
        st.sampled_from("abc"),
        st.integers(0, 300),
        st.lists(st.sampled_from(["success", "failure", "error", "in_progress", "inactive"]), min_size=1, max_size=3),
        st.sampled_from(["production", "prod", "staging"]),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)


@given(some_deployments, st.randoms(use_true_random=False))
def test_the_order_in_which_deployments_arrive_does_not_matter(arrived, random):
    mixed = [replace(one, statuses=tuple(random.sample(one.statuses, len(one.statuses)))) for one in arrived]
    random.shuffle(mixed)
    assert attempts(facts(deployments=tuple(mixed)), GITHUB) == attempts(facts(deployments=tuple(arrived)), GITHUB)


@given(some_deployments)
def test_every_finished_production_deployment_is_named_exactly_once(arrived):
    ended = sorted(one.id for one in arrived if one.environment != "staging" and finished(one))
    assert sorted(name for names in ids(attempts(facts(deployments=tuple(arrived)), GITHUB)) for name in names) == ended
