import re
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from dora_metrics.calculators.incidents import Incident
from dora_metrics.calculators.inputs import Coverage, Facts, Issue
from dora_metrics.calculators.linked_facts import all_incidents
from dora_metrics.calculators.service_settings import Settings
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import add_day, exact_world
from github_stand_in.worlds.facts import FACTS_A_REPOSITORY, Release, iso
from github_stand_in.worlds.global_ids import global_id, parse_global_id
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World
from tests.dora_metrics.calculators.examples import log_hours
from tests.github_stand_in.conftest import END
from tests.github_stand_in.requests_to_stand_in import post

NOON = END - timedelta(days=1)
LISTS = (World.pull_requests, World.issues, World.deployments, World.releases, World.workflow_runs)


def only(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def labels(row: dict[str, Any]) -> set[str]:
    return {label["name"] for label in row["labels"]["nodes"]}


def test_the_same_seed_makes_the_same_world(service: World) -> None:
    again = ordinary_world("acme/billing", seed=7, days=120, end=END)
    other = ordinary_world("acme/billing", seed=8, days=120, end=END)

    assert all(rows(again, END) == rows(service, END) for rows in LISTS)
    assert again.head(END) == service.head(END)
    assert all(rows(other, END) != rows(service, END) for rows in LISTS)


@pytest.mark.parametrize("seed", range(5))
def test_history_lists_each_commit_once_and_before_its_parents(seed: int) -> None:
    world = ordinary_world("acme/other", seed=seed, days=60, end=END, large=True)
    head = world.head(END)
    assert head
    history = world.history(head)
    place = {commit.oid: n for n, commit in enumerate(history)}

    assert len(place) == len(history)
    assert [oid for oid, n in place.items() for parent in world.commits[oid].parents if place[parent] < n] == []
    assert all(pull["mergeCommit"]["oid"] in place for pull in world.pull_requests(END) if pull["mergedAt"])
    assert all(before < after for (before, _), (after, _) in pairwise(world.main))


@pytest.mark.parametrize("seed", range(5))
def test_nothing_of_the_future_is_seen(seed: int) -> None:
    world = ordinary_world("acme/other", seed=seed, days=60, end=END, large=True)
    for clock in (END - timedelta(days=49, hours=3), END - timedelta(days=8), END):
        now, head = iso(clock), world.head(clock)
        assert head
        for pull in world.pull_requests(clock):
            assert pull["createdAt"] <= pull["updatedAt"] <= now
            assert (pull["state"] == "MERGED") == (pull["mergedAt"] is not None) == (pull["mergeCommit"] is not None)
            assert pull["headRefOid"] == pull["commits"]["nodes"][-1]["commit"]["oid"]
        for issue in world.issues(clock):
            assert issue["createdAt"] <= issue["updatedAt"] <= now
            assert (issue["state"] == "CLOSED") == (issue["closedAt"] is not None)
        assert [row for row in world.deployments(clock) if not row["createdAt"] <= row["updatedAt"] <= now] == []
        assert [row for row in world.releases(clock) if not row["createdAt"] <= row["updatedAt"] <= now] == []
        assert [run for run in world.workflow_runs(clock) if not run["created_at"] <= run["updated_at"] <= now] == []
        assert [commit for commit in world.history(head) if commit.committed > clock] == []


def test_what_is_deployed_was_on_main_by_then(service: World) -> None:
    since = {oid: iso(when) for when, oid in service.main}

    assert [row for row in service.deployments(END) if since[row["commitOid"]] > row["createdAt"]] == []


def test_ids_are_unique_across_worlds_and_tell_what_they_are_of(service: World) -> None:
    other = ordinary_world("acme/web", seed=7, days=60, end=END)
    rows = [row for world in (service, other) for view in LISTS for row in view(world, END)]
    ids = [row.get("node_id", row["id"]) for row in rows] + [service.node_id, other.node_id]

    assert len(set(ids)) == len(ids)
    assert parse_global_id(service.node_id) == ("R", service.number, 0)
    assert parse_global_id(global_id("WFR", 2**31 - 1, 99_999)) == ("WFR", 2**31 - 1, 99_999)
    assert [parse_global_id(text) for text in ("", "nonsense", "DE_", "PR_kwDO", "DE_ñ", ids[0] + "A")] == [None] * 6


def test_issues_and_pull_requests_are_counted_together(service: World) -> None:
    assert not set(service.pulls) & set(service.issue_of)


def test_pull_requests_have_what_is_hard(service: World) -> None:
    pulls = service.pull_requests(END)
    merged = [pull for pull in service.pulls.values() if pull.merge_oid]

    assert {pull["state"] for pull in pulls} == {"OPEN", "CLOSED", "MERGED"}
    assert any(labels(pull) == {"hotfix"} for pull in pulls)
    assert any(pull["author"] is None for pull in pulls)
    assert any(pull["author"] and pull["author"]["__typename"] == "Bot" for pull in pulls)
    assert any(review["author"] is None for pull in pulls for review in pull["reviews"]["nodes"])
    kinds = {event["__typename"] for pull in pulls for event in pull["timelineItems"]["nodes"]}
    assert kinds == {"ReadyForReviewEvent", "ConvertToDraftEvent"}
    assert {pull.merge_kind for pull in merged} == {"squash", "merge", "rebase", "fast-forward"}
    assert any(pull["body"] == "" for pull in pulls)
    assert any(pull["closingIssuesReferences"]["nodes"] for pull in pulls)
    assert all(pull["changedFiles"] == len(pull["files"]["nodes"]) for pull in pulls)
    head = service.head(END)
    assert head
    assert {(commit.has_author, bool(commit.login)) for commit in service.history(head)} == {(True, True), (True, False), (False, False)}


def test_each_way_of_merging_leaves_its_own_trace(service: World) -> None:
    by_kind = {pull.merge_kind: pull for pull in service.pulls.values() if pull.merge_oid and len(pull.commits) > 1}
    main = {kind: service.commits[pull.merge_oid or ""] for kind, pull in by_kind.items()}

    assert len(main["merge"].parents) == 2
    assert main["merge"].parents[1] == by_kind["merge"].commits[-1].oid
    assert len(main["squash"].parents) == 1
    assert main["fast-forward"] is by_kind["fast-forward"].commits[-1]
    rebased, reviewed = main["rebase"], by_kind["rebase"].commits[::-1]
    for commit in reviewed:
        assert rebased.oid != commit.oid
        assert rebased.authored == commit.authored
        rebased = service.commits[rebased.parents[0]]


def test_a_commit_may_be_pushed_after_the_first_review(service: World) -> None:
    pull = next(pull for pull in service.pulls.values() if pull.late)
    [(oid, when)] = pull.late.items()
    rows = [service.row("PR", pull.number, clock) for clock in (when - timedelta(seconds=1), when)]

    assert [row and row["headRefOid"] == oid for row in rows] == [False, True]
    assert [row and row["commits"]["totalCount"] for row in rows] == [len(pull.commits) - 1, len(pull.commits)]


def test_reverts_are_made_by_button_and_by_hand_and_deployed(service: World) -> None:
    pulls = service.pull_requests(END)
    by_button = [pull for pull in pulls if pull["body"].startswith("Reverts acme/billing#")]
    by_hand = [pull for pull in pulls if "This reverts commit " in pull["body"]]
    deployed = [service.history(row["commitOid"]) for row in service.deployments(END)[:20] if row["environment"] == "production"]
    reached = {commit.oid for history in deployed for commit in history}

    for pull in by_button:
        number = int(pull["body"].rpartition("#")[2])
        assert pull["headRefName"].startswith(f"revert-{number}-")
        assert pull["title"].startswith('Revert "')
        assert service.pulls[number].merged
    assert any(pull["mergeCommit"]["oid"] in reached for pull in by_button)
    shas = [pull["body"].rpartition(" ")[2].rstrip(".") for pull in by_hand]
    assert all(sha in service.commits for sha in shas)
    assert any(pull["mergeCommit"]["oid"] in reached for pull in by_hand)


def test_a_large_world_has_more_than_a_page_of_everything(large: World) -> None:
    pulls = large.pull_requests(END)
    counts = sorted(pull["commits"]["totalCount"] for pull in pulls)[-2:]
    [long] = only(pulls, changedFiles=150)
    [picked] = [pull for pull in pulls if pull["commits"]["totalCount"] == 130]
    [talked] = [pull for pull in pulls if pull["reviews"]["totalCount"] > 100]
    dates = [node["commit"]["authoredDate"] for node in picked["commits"]["nodes"]]

    assert counts == [130, 250]
    assert (long["commits"]["totalCount"], long["state"]) == (250, "MERGED")
    assert dates.index(min(dates)) > 100
    assert {review["author"]["__typename"] for review in talked["reviews"]["nodes"][:100]} == {"Bot"}
    assert {review["author"]["__typename"] for review in talked["reviews"]["nodes"][100:]} == {"User"}


def test_a_deployments_state_is_that_of_its_last_status(service: World) -> None:
    for clock in (END - timedelta(days=41), END):
        for row in service.deployments(clock):
            latest = row["statuses"]["nodes"][0] if row["statuses"]["nodes"] else None
            assert row["latestStatus"] == latest
            assert row["updatedAt"] == (latest["createdAt"] if latest else row["createdAt"])
            assert row["state"] == ({"SUCCESS": "ACTIVE"}.get(latest["state"], latest["state"]) if latest else "PENDING")


def test_a_success_is_inactive_once_another_follows(service: World) -> None:
    superseded = [row for row in service.deployments(END) if row["state"] == "INACTIVE"]

    assert len(superseded) > 20
    assert {tuple(status["state"] for status in row["statuses"]["nodes"][:2]) for row in superseded} == {("INACTIVE", "SUCCESS")}
    assert len([row for row in service.deployments(END) if row["state"] == "ACTIVE"]) == 2, "one an environment"


def test_a_bad_nights_failures_are_no_retries_of_each_other(service: World) -> None:
    night = iso(END - timedelta(days=41)), iso(END - timedelta(days=39))
    failed = [row for row in service.deployments(END) if row["state"] == "FAILURE" and night[0] < row["createdAt"] < night[1]]
    ends = sorted(datetime.fromisoformat(row["updatedAt"]) for row in failed if row["environment"] == "production")

    assert len(ends) >= 4
    assert all(later - earlier > timedelta(minutes=60) for earlier, later in list(pairwise(ends))[-3:])


def test_a_deployment_stays_in_progress_over_a_night(service: World) -> None:
    midnight = END.replace(hour=0)
    over_night = only(service.deployments(midnight - timedelta(days=1)), state="IN_PROGRESS", environment="production")

    assert len(over_night) == 1
    by_noon = service.row("DE", over_night[0]["databaseId"] % 100_000, END - timedelta(hours=1))
    assert by_noon
    assert "SUCCESS" in {status["state"] for status in by_noon["statuses"]["nodes"]}
    assert by_noon["updatedAt"] > over_night[0]["updatedAt"]


def test_deployments_have_what_is_hard(service: World) -> None:
    production = only(service.deployments(END), environment="production")
    succeeded = [row["commitOid"] for row in production[::-1] if "SUCCESS" in {status["state"] for status in row["statuses"]["nodes"]}]
    order = [oid for _, oid in service.main]
    run_of = {run["html_url"]: run for run in service.workflow_runs(END)}
    failed = [row["latestStatus"]["logUrl"] for row in only(production, state="FAILURE")]
    named = {run_of[url.partition("/job/")[0]]["conclusion"] for url in failed if url}

    assert any(order.index(b) < order.index(a) for a, b in pairwise(succeeded)), "a rollback"
    assert named >= {"failure", "cancelled"}
    assert any(row["ref"] is None for row in production)
    assert [row["environment"] for row in only(service.deployments(END), state="IN_PROGRESS")] == ["staging"], "a runner was lost"


def test_runs_are_run_again_within_the_hour_and_days_later(service: World) -> None:
    waits = [run.attempts[1][0] - run.attempts[0][0] for run in service.runs.values() if len(run.attempts) > 1]
    again = next(run for run in service.runs.values() if len(run.attempts) > 1 and run.attempts[1][0] - run.attempts[0][0] > timedelta(days=1))
    moments = [again.attempts[0][0], again.attempts[0][1], again.attempts[1][0], again.attempts[1][1]]
    rows = [service.row("WFR", again.number, moment) for moment in moments]

    assert min(waits) <= timedelta(hours=1)
    assert max(waits) >= timedelta(days=2)
    assert [(row["run_attempt"], row["status"], row["conclusion"]) for row in rows if row] == [
        (1, "in_progress", None),
        (1, "completed", "failure"),
        (2, "in_progress", None),
        (2, "completed", "success"),
    ]
    assert [row["updated_at"] for row in rows if row] == [iso(moment) for moment in moments]
    assert len({row["id"] for row in rows if row}) == 1


def test_incidents_have_what_is_hard(service: World) -> None:
    issues = service.issues(END)
    incidents = [issue for issue in service.issue_of.values() if {"incident", "sev-1"} & {label for label, *_ in issue.labelled}]
    bodies = " ".join(issue.body for issue in incidents)

    assert {issue["stateReason"] for issue in issues} >= {"COMPLETED", "NOT_PLANNED", "DUPLICATE", None}
    assert {label for issue in incidents for label, *_ in issue.labelled} == {"incident", "sev-1"}
    assert all(words in bodies for words in ("deployment: ", "root cause: ", "caused by #"))
    assert any(not issue.body or issue.body == "Nobody knows yet." for issue in incidents)
    assert any(not labels(issue) for issue in issues)
    assert any(issue["author"] is None for issue in issues)
    closed = {int(issue.number) for issue in service.issue_of.values() if issue.is_closed}
    assert any(number in closed for pull in service.pulls.values() for repository, number in pull.closes if not repository and pull.merged)


@pytest.mark.parametrize("seed", range(5))
def test_what_an_incident_names_as_its_cause_was_in_production_before_it_began(seed: int) -> None:
    world = ordinary_world("acme/other", seed=seed, days=120, end=END)
    merged = {pull.number: pull.merge_oid for pull in world.pulls.values()}
    named = 0
    for issue in world.issue_of.values():
        if not (found := re.search(r"(deployment:|root cause:|caused by) #?(\w+)", issue.body)) or found[2] == "unknown":
            continue
        named += 1
        before = [
            one
            for one in world.deploys.values()
            if one.environment == "production" and any(state == "SUCCESS" and when <= issue.created for when, state in one.statuses)
        ]
        match found[1]:
            case "deployment:":
                assert int(found[2]) % FACTS_A_REPOSITORY in {one.number for one in before}
            case "root cause:":
                assert found[2] in {commit.oid for one in before for commit in world.history(one.oid)}
            case _:
                assert merged[int(found[2])] in {commit.oid for one in before for commit in world.history(one.oid)}
    assert named > 5


def test_an_incident_comes_back_and_is_closed_again(service: World) -> None:
    issue = next(issue for issue in service.issue_of.values() if len(issue.events) == 3)
    rows = [service.row("I", issue.number, when) for when, *_ in issue.events]

    assert [(row["state"], row["stateReason"]) for row in rows if row] == [("CLOSED", "COMPLETED"), ("OPEN", "REOPENED"), ("CLOSED", "COMPLETED")]
    assert [len(row["timelineItems"]["nodes"]) for row in rows if row] == [1, 2, 3]
    assert [row["closedAt"] == row["updatedAt"] for row in rows if row] == [True, False, True]


def test_an_incidents_label_is_taken_off_later(service: World) -> None:
    issue = next(issue for issue in service.issue_of.values() if any(until for _, _, until in issue.labelled))
    [(label, _, until)] = issue.labelled
    assert until
    rows = [service.row("I", issue.number, clock) for clock in (until - timedelta(seconds=1), until)]

    assert [labels(row) for row in rows if row] == [{label}, set()]
    assert rows[1]
    assert rows[1]["updatedAt"] == iso(until)


def test_releases_are_published_at_once_later_or_never(service: World) -> None:
    late = next(release for release in service.published.values() if release.published and release.published > release.created)
    assert late.published
    rows = [service.row("RE", late.number, clock) for clock in (late.created, late.published)]
    releases = service.releases(END)
    main = {oid for _, oid in service.main}

    assert [(row["isDraft"], row["publishedAt"], row["tagCommit"]) for row in rows if row] == [
        (True, None, None),
        (False, iso(late.published), {"__typename": "Commit", "oid": late.oid}),
    ]
    assert [row["updatedAt"] for row in rows if row] == [iso(late.created), iso(late.published)]
    assert Counter(row["isPrerelease"] for row in releases)[True] > 2
    assert any(row["isDraft"] and row["createdAt"] < iso(END - timedelta(days=10)) for row in releases)
    assert all(row["tagCommit"]["oid"] in main for row in releases if row["tagCommit"])


@pytest.mark.parametrize("view", LISTS)
def test_a_day_changes_a_handful(service: World, view: Any) -> None:
    before = view(service, END - timedelta(days=1))
    changed = [row for row in view(service, END) if row not in before]

    assert len(changed) < 20


def test_an_empty_repository_has_nothing() -> None:
    empty = World("acme/empty", end=END)

    assert [view(empty, END) for view in LISTS] == [[]] * 5
    assert empty.head(END) is None


# --- worlds of an exact size --------------------------------------------------------------------------------------------


def sizes(world: World, clock: datetime) -> list[int]:
    return [len(view(world, clock)) for view in LISTS] + [len(world.history(world.head(clock) or ""))]


@pytest.mark.parametrize(
    ("pull_requests", "issues", "deployments", "releases", "runs", "commits"),
    [(200, 150, 90, 50, 100, 500), (200, 0, 0, 0, 0, 100), (1, 1, 1, 1, 1, 1), (0, 0, 3, 0, 0, 40), (7, 0, 0, 0, 0, 9)],
)
def test_a_sized_world_is_of_exactly_that_size(pull_requests: int, issues: int, deployments: int, releases: int, runs: int, commits: int) -> None:
    world = exact_world(
        "acme/big", end=END, pull_requests=pull_requests, issues=issues, deployments=deployments, releases=releases, runs=runs, commits=commits
    )

    assert sizes(world, END) == [pull_requests, issues, deployments, releases, runs, commits]
    assert {row["statuses"]["totalCount"] for row in world.deployments(END)} <= {3}
    assert max((view(world, END)[0].get("updatedAt", "") for view in LISTS[:4] if view(world, END)), default="") <= iso(END)


def test_a_sized_worlds_day_brings_exactly_what_was_ordered() -> None:
    world = exact_world("acme/big", end=END, pull_requests=300, issues=50, deployments=90, releases=20, runs=30, commits=400)
    before = [view(world, END) for view in LISTS]
    head, tomorrow = world.head(END), END + timedelta(days=1)

    add_day(world, tomorrow, changed=10, deployed=2, issues=3, releases=1, runs=4)

    after = [view(world, tomorrow) for view in LISTS]
    news = [[row for row in new if row not in old] for old, new in zip(before, after, strict=True)]
    assert [len(rows) for rows in news] == [10, 3, 2 + 1, 1, 4], "and a success that is inactive now"
    assert [view(world, END) for view in LISTS] == before
    assert world.head(tomorrow) != head
    assert world.end == tomorrow
    with pytest.raises(ValueError, match="already lives until"):
        add_day(world, tomorrow)


# --- facts that disappear, appear late or change without an update ----------------------------------------------------


@pytest.fixture
def changing_world() -> World:
    return ordinary_world("acme/restless", seed=3, days=30, end=END)


def test_what_was_deleted_is_in_no_list_and_nowhere_by_its_id(changing_world: World) -> None:
    when = END - timedelta(days=1, hours=5)
    lost = [next(iter(facts.values())) for facts in (changing_world.issue_of, changing_world.deploys, changing_world.published, changing_world.runs)]
    for fact in lost:
        fact.gone = when
    views = (World.issues, World.deployments, World.releases, World.workflow_runs)
    counts = [(len(view(changing_world, when - timedelta(seconds=1))), len(view(changing_world, when))) for view in views]

    assert [(before - after) for before, after in counts] == [1, 1, 1, 1]
    assert [changing_world.row(fact.KIND, fact.number, when) for fact in lost] == [None] * 4
    assert changing_world.workflow_run_attempt(lost[3].number, 1, when) is None


def test_a_transferred_issue_is_found_by_its_id_in_another_repository(changing_world: World) -> None:
    issue = next(iter(changing_world.issue_of.values()))
    issue.gone, issue.moved = END, ("acme/elsewhere", 77)
    known = global_id("I", changing_world.number, issue.number)
    query = "query Q($id: ID!) { node(id: $id) { id ... on Issue { number repository { nameWithOwner } } } }"
    with StandIn({"acme/restless": changing_world}, clock=END - timedelta(seconds=1)) as stand_in:
        before = post(stand_in, query, {"id": known}).json()["data"]["node"]
        stand_in.clock = END
        after = post(stand_in, query, {"id": known}).json()["data"]["node"]

    assert before == {"id": known, "number": issue.number, "repository": {"nameWithOwner": "acme/restless"}}
    assert (after["number"], after["repository"], after["id"] == known) == (77, {"nameWithOwner": "acme/elsewhere"}, False)


def test_a_release_of_an_old_commit_appears_deep_in_the_list(changing_world: World) -> None:
    when = END - timedelta(days=1)
    number = len(changing_world.published) + 1
    late = changing_world.published[number] = Release(number, END - timedelta(days=20), "v99", changing_world.main[0][1], when)
    late.shown = when
    changing_world.changed()
    before, after = ([one["tagName"] for one in changing_world.releases(clock)] for clock in (when - timedelta(seconds=1), when))

    assert "v99" not in before
    assert after.index("v99") > 0
    assert changing_world.row("RE", number, when)["updatedAt"] == iso(when)  # type: ignore[index]


def test_a_reference_to_an_issue_that_is_gone_is_dropped_without_an_update(changing_world: World) -> None:
    pull = next(iter(changing_world.pulls.values()))
    pull.closes, pull.dropped = [("", 3), ("", 5)], {("", 3): END}
    pull.changed()
    before, after = (changing_world.row("PR", pull.number, clock) for clock in (END - timedelta(seconds=1), END))

    assert before
    assert after
    assert [len(row["closingIssuesReferences"]["nodes"]) for row in (before, after)] == [2, 1]
    assert before["updatedAt"] == after["updatedAt"]


def test_a_pull_request_that_was_pushed_to_by_force_has_other_commits(changing_world: World) -> None:
    pull = next(iter(changing_world.pulls.values()))
    commit = changing_world.commit((changing_world.main[0][1],), END, END, "ana")
    pull.forced.append((END, [commit]))
    pull.changed()
    row = changing_world.row("PR", pull.number, END)

    assert row
    assert [node["commit"]["oid"] for node in row["commits"]["nodes"]] == [row["headRefOid"]] == [commit.oid]


def test_its_forgotten_incidents_do_not_hide_an_outage_in_its_logs(service: World) -> None:
    """Regression: three open incidents hid an outage of ten minutes in which a quarter of the events were errors."""
    issues = tuple(
        Issue(row["number"], datetime.fromisoformat(row["createdAt"]), None, labels=tuple(labels(row)))
        for row in service.issues(END)
        if row["closedAt"] is None
    )
    facts = Facts(issues=issues, log_hours=log_hours(NOON, *[(40, 10)] * 10), coverage={"log_events": Coverage(NOON, END)})
    from_issues, from_logs = partition(all_incidents(facts, Settings(), now=END))

    assert len(from_issues) >= 3
    assert [one.evidence.errors for one in from_logs if one.evidence] == [100]


def partition(found: list[Incident]) -> tuple[list[Incident], list[Incident]]:
    return [one for one in found if one.number is not None], [one for one in found if one.number is None]
