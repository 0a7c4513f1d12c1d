"""Lists inside a record that are longer than one page. A list that a metric uses is read completely."""

from datetime import timedelta
from typing import Any

import pytest
from graphql import FieldNode, FragmentDefinitionNode, parse, visit
from graphql.language.visitor import Visitor

from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Change, Commit, Deployment, Issue
from etl_tasks.models import ETLRun
from etl_tasks.sources.github.query_texts import QUERIES
from etl_tasks.sources.github.streams import STREAMS
from github_stand_in.server import StandIn
from github_stand_in.worlds.facts import BOT, MINUTE, SECOND
from tests.etl_tasks.sources.github.nights import night, show, source_of
from tests.etl_tasks.sources.github.small_repository import MERGED_AT, OPENED_AT, REPORTED_AT, SmallRepository, month


def collected(github: StandIn, small: SmallRepository, **settings_of_service: object) -> ETLRun:
    show(github, small.ready())
    run = night(source_of("acme/train", **settings_of_service))
    assert (run.status, run.extracted) == ("success", run.loaded + run.skipped)
    return run


pytestmark = pytest.mark.django_db


def test_a_release_that_closes_25_issues_counts_as_rework_for_the_incident_among_the_last(github: StandIn) -> None:
    small = SmallRepository()
    small.pull.closes = [("acme/elsewhere", number) for number in range(24)] + [("", 1)]
    collected(github, small)

    assert month("deployment_rework_rate").numerator == 1


def test_a_release_that_closes_250_issues_counts_as_rework_for_the_incident_among_the_last(github: StandIn) -> None:
    small = SmallRepository()
    small.pull.closes = [("acme/elsewhere", number) for number in range(249)] + [("", 1)]
    collected(github, small)

    assert month("deployment_rework_rate").numerator == 1
    assert len(Change.objects.get().closes) == 250


def test_a_hotfix_is_known_by_the_last_of_120_labels(github: StandIn) -> None:
    small = SmallRepository()
    small.pull.labels = [f"area {number}" for number in range(119)] + ["hotfix"]
    collected(github, small)

    assert month("deployment_rework_rate").numerator == 1


def test_an_incident_is_known_by_the_last_of_120_labels(github: StandIn) -> None:
    small = SmallRepository()
    small.incident.labelled = [(f"area {number}", REPORTED_AT, None) for number in range(119)] + [("incident", REPORTED_AT, None)]
    small.incident.events = [(REPORTED_AT + MINUTE * n, "ReopenedEvent" if n % 2 else "ClosedEvent", "COMPLETED") for n in range(121)]
    collected(github, small)

    assert month("change_fail_rate").numerator == 1
    assert len(Issue.objects.get().events) == 121


def test_a_deployment_succeeded_at_its_first_success_whatever_its_tool_said_130_times_since(github: StandIn) -> None:
    """GitHub lists the newest status first, so the success is not on the first page."""
    small = SmallRepository()
    small.mended.statuses += [(small.mended.statuses[0][0] + SECOND * (number + 1), "IN_PROGRESS") for number in range(130)]
    collected(github, small)

    assert month("deployment_frequency").numerator == 2
    [mended] = [one for one in Deployment.objects.all() if len(one.statuses) > 1]
    assert [status["created_at"] for status in mended.statuses] == sorted(status["created_at"] for status in mended.statuses)
    assert len(mended.statuses) == mended.status_count == 131


def test_statuses_beyond_the_first_hundred_are_read_of_a_deployment_that_is_asked_for_again(github: StandIn) -> None:
    small = SmallRepository()
    end = small.mended.statuses.pop()
    small.mended.statuses = [(end[0] + SECOND * number, "IN_PROGRESS") for number in range(120)]
    show(github, small.ready())
    source = source_of("acme/train")
    github.clock = end[0] + timedelta(hours=1)
    night(source)
    assert month("deployment_frequency").numerator == 1

    github.clock += timedelta(hours=1)
    small.mended.statuses.insert(0, end)
    small.mended.statuses.append((github.clock - MINUTE, "IN_PROGRESS"))
    small.ready()
    night(source)

    assert len(Deployment.objects.get(sha=small.mended.oid).statuses) == 122
    assert month("deployment_frequency").numerator == 2


def test_a_cause_that_is_named_by_its_commit_is_found_among_130_of_a_bots_release(github: StandIn) -> None:
    small = SmallRepository(author=BOT, commits=130)
    small.incident.body = f"root cause: {small.pull.commits[-2].oid}"
    collected(github, small)

    assert len(Change.objects.get().commits) == 130
    assert month("change_fail_rate").details["reasons"] == {"incident": 1}
    assert month("change_fail_rate").details["unlinked_incidents"] == 0
    assert month("deployment_rework_rate").numerator == 0


def test_a_bots_change_belongs_to_a_path_by_the_last_of_its_150_files(github: StandIn) -> None:
    small = SmallRepository(author=BOT)
    small.pull.paths = [f"generated/part_{number:03}.py" for number in range(149)] + ["web/last.py"]
    collected(github, small, path="web/**")

    assert month("change_lead_time").details["n_bots"] == 1


def test_the_first_review_by_a_person_is_found_behind_200_of_a_bot_that_is_only_configured(github: StandIn) -> None:
    small = SmallRepository()
    noise = [(OPENED_AT + SECOND * number, "noisy", "COMMENTED") for number in range(200)]
    small.pull.reviews = [*noise, (OPENED_AT + timedelta(hours=2), "ben", "APPROVED")]
    collected(github, small)
    assert month("change_lead_time").details["stages"]["pickup"]["p50"] == 0

    service = Change.objects.get().service
    service.bots = ["noisy"]
    service.save()
    recompute(service, run_id=1)
    assert month("change_lead_time").details["stages"]["pickup"]["p50"] == 7200


def test_a_merge_of_120_branches_has_all_its_parents(github: StandIn) -> None:
    small = SmallRepository()
    world = small.world
    head = world.commits[world.main[-1][1]]
    sides = [world.commit((), MERGED_AT - MINUTE, MERGED_AT - MINUTE, "ana").oid for _ in range(119)]
    octopus = world.commit((head.oid, *sides), MERGED_AT + MINUTE, MERGED_AT + MINUTE, "ana")
    world.push(octopus.oid, MERGED_AT + MINUTE)
    collected(github, small)

    assert Commit.objects.get(sha=octopus.oid).parents == [head.oid, *sides]
    assert Commit.objects.filter(sha__in=sides).count() == 119


# --- no list is forgotten ---------------------------------------------------------------------------------------------


def inner_lists() -> set[tuple[str, str]]:
    """Return all lists with pages that the GraphQL queries request inside a record, as (name of the query's file, name of the list's field)."""
    found: set[tuple[str, str]] = set()

    class Connections(Visitor):
        def enter_field(self, node: FieldNode, _key: Any, _parent: Any, _path: Any, ancestors: Any) -> None:
            names = {argument.name.value for argument in node.arguments or ()}
            is_inside = any(isinstance(one, FieldNode) and one.name.value == "nodes" for one in ancestors) or any(
                isinstance(one, FragmentDefinitionNode) and not one.name.value.startswith("TopOf") for one in ancestors
            )
            if names & {"first", "last"} and is_inside:
                found.add((file.stem, node.name.value))

    for file in QUERIES.rglob("*.graphql"):
        visit(parse(file.read_text()), Connections())
    return found


def test_every_list_inside_a_record_has_a_query_for_what_lies_beyond_its_first_page() -> None:
    known = {name for stream in STREAMS for name in stream.next_pages.lists}
    assert {name for _, name in inner_lists()} == known
