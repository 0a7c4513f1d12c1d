"""Faulty answers of GitHub. The run still loads everything or reports what it did not load."""

import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from django.conf import settings
from pytest_django import Settings

from dora_metrics.models import Change, Deployment, Issue, Release, WorkflowRun
from etl_tasks import inline, ledger, stages
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.sources.github.client import GitHub
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, source_of, spent
from tests.tables import assert_equal_to_truth

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def refused(source: Source) -> RetriableError:
    """Run the extract stage. Return the RetriableError that it raises."""
    run = ledger.open_run(source, trigger="shell")
    assert run
    with pytest.raises(RetriableError) as told:
        stages.extract(ledger.claim(run.pk, "extract", "test"))
    ETLRun.objects.filter(pk=run.pk).update(owner="")
    return told.value


@pytest.mark.parametrize("status", [403, 429])
def test_a_secondary_limit_is_obeyed_to_the_second_and_asked_by_one_thing_at_a_time_then(
    billing: Source, github: StandIn, world: World, status: int
) -> None:
    github.faults = {"retry_after": 17, "status": status, "after": 2, "times": 1}
    told = refused(billing)
    assert (told.retry_after, told.postpone) == (17, False)
    spent(github)
    run = ETLRun.objects.get()
    inline.run_remaining_stages(run.pk)

    assert spent(github)["most_at_once"] == 1
    assert ETLRun.objects.get().status == "success"
    assert_equal_to_truth(world, END)


def test_a_limit_inside_an_answer_is_a_wait_too(billing: Source, github: StandIn) -> None:
    github.budget.spend(settings.GITHUB_CREDENTIALS[""]["token"], "graphql", github.budget.limit)
    told = refused(billing)

    assert told.postpone
    assert 3000 < (told.retry_after or 0) <= 3602


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_servers_errors_that_pass_are_not_even_seen(billing: Source, github: StandIn, world: World, status: int) -> None:
    github.faults = {"outage": True, "status": status, "times": 2}
    assert night(billing).status == "success"

    assert_equal_to_truth(world, END)


def test_servers_errors_that_stay_fail_the_stage_after_three_attempts(billing: Source, github: StandIn) -> None:
    github.faults = {"outage": True, "status": 503}
    with pytest.raises(inline.StageFailed, match="GitHub answered HTTP 503"):
        night(billing)

    assert github.counts["requests"] == settings.ETL_MAX_ATTEMPTS == 3


@pytest.mark.parametrize("operation", ["PullRequests", "WorkflowRuns"])
def test_half_a_page_is_asked_for_again(billing: Source, github: StandIn, world: World, operation: str) -> None:
    github.faults = {"cut": operation, "times": 2}
    assert night(billing).status == "success"

    assert_equal_to_truth(world, END)
    assert github.counts["fault cut"] == 2


@pytest.mark.parametrize("operation", ["PullRequests", "Commits", "Deployments", "WorkflowRuns"])
def test_what_is_no_json_is_asked_for_again(billing: Source, github: StandIn, world: World, operation: str) -> None:
    github.faults = {"garbage": operation, "times": 2}
    assert night(billing).status == "success"

    assert_equal_to_truth(world, END)


@pytest.mark.parametrize("operation", ["Commits", "Deployments", "Releases", "WorkflowRuns"])
def test_what_stays_no_json_is_one_letter_with_what_came_and_its_neighbours_go_on(
    billing: Source, github: StandIn, world: World, operation: str
) -> None:
    github.faults = {"garbage": operation}
    assert night(billing).status == "partial"
    letter = DeadLetter.objects.get()
    assert (letter.kind, letter.page and letter.page.content) == ("page", b"<html>half a pa")
    assert Change.objects.count() == len(world.pull_requests(END))

    github.faults = {}
    assert night(billing).status == "success"
    assert_equal_to_truth(world, END, has_runs=False)  # deployments_from is `auto`: once deployments are found, workflow runs are not requested


class Elsewhere(BaseHTTPRequestHandler):
    """Another host, which must receive no request."""

    asked: list[dict[str, str]] = []

    def do_GET(self) -> None:
        self.asked.append(dict(self.headers))
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET  # noqa: N815  the name that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def elsewhere() -> Any:
    Elsewhere.asked = []
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("operation", ["PullRequests", "WorkflowRuns"])
def test_a_redirect_to_another_host_is_not_followed_and_not_tried_again(billing: Source, github: StandIn, elsewhere: str, operation: str) -> None:
    github.faults = {"redirect": operation, "to": f"{elsewhere}/steal"}
    with pytest.raises(inline.StageFailed, match=r"GitHub redirects .*HTTP 302"):
        night(billing)

    assert not Elsewhere.asked
    assert github.counts[operation] == 1


def test_a_next_page_on_another_host_gets_no_token(github: StandIn, elsewhere: str) -> None:
    with pytest.raises(FatalError, match="on another host"):
        GitHub().get(f"{elsewhere}/repos/acme/billing/actions/runs?page=2")

    assert not Elsewhere.asked


@pytest.fixture
def impatient(settings: Settings) -> None:
    """Allow one second for each read from the socket. The whole answer may then take two seconds."""
    settings.GITHUB_TIMEOUT_SECONDS = 1


@pytest.mark.parametrize("operation", ["PullRequests", "WorkflowRuns"])
def test_a_slow_drip_is_broken_off_and_asked_for_again(impatient: None, github: StandIn, world: World, operation: str) -> None:
    """Each piece arrives before the read timeout, so only a limit on the whole answer ends it."""
    source = source_of("acme/billing")
    github.faults = {"drip": operation, "drip_seconds": 20, "times": 1}
    began = time.monotonic()
    assert night(source).status == "success"

    assert time.monotonic() - began < 15
    assert_equal_to_truth(world, END)
    assert github.counts["fault drip"] == 1


def test_a_slow_drip_that_stays_fails_the_stage_for_the_moment(impatient: None, billing: Source, github: StandIn, settings) -> None:
    settings.ETL_MAX_ATTEMPTS = 1
    github.faults = {"drip": "PullRequests", "drip_seconds": 20}
    told = refused(billing)

    assert "too slowly" in str(told)


@pytest.mark.parametrize("operation", ["PullRequests", "Deployments", "Issues", "Releases", "WorkflowRuns"])
def test_a_state_and_a_field_that_nobody_has_seen_are_loaded(github: StandIn, world: World, operation: str) -> None:
    kind = {"Releases": "releases", "WorkflowRuns": "workflows"}.get(operation, "github")
    source = source_of("acme/billing", deployments_from=kind)
    github.faults = {"new_enum": operation, "new_field": operation}
    assert night(source).status == "success"

    table, there = {
        "PullRequests": (Change, world.pull_requests),
        "Deployments": (Deployment, world.deployments),
        "Issues": (Issue, world.issues),
        "Releases": (Release, world.releases),
        "WorkflowRuns": (WorkflowRun, lambda clock: {run["id"] for run in world.workflow_runs(clock)}),
    }[operation]
    if operation == "WorkflowRuns":
        assert set(WorkflowRun.objects.values_list("external_id", flat=True)) == there(END)
        assert WorkflowRun.objects.filter(conclusion="something_new").exists()
    else:
        assert table.objects.count() == len(there(END))
    if operation in {"PullRequests", "Issues", "Deployments"}:
        assert table.objects.filter(state="something_new").exists()


def test_a_state_that_no_column_can_hold_is_a_letter_with_the_raw_record(billing: Source, github: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    # Make the stand-in's unknown state longer than the column.
    monkeypatch.setattr("github_stand_in.faults.NEW_STATE", "SOMETHING_" + "VERY_" * 10 + "NEW")
    github.faults = {"new_enum": "Deployments", "times": 1}
    assert night(billing).status == "partial"

    letter = DeadLetter.objects.get()
    assert (letter.kind, letter.stream) == ("record", "deployments")
    assert "SOMETHING_VERY_" in letter.data
    assert '"commitOid"' in letter.data
