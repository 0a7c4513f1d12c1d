"""The naive implementation is checked against values calculated by hand, so that a comparison with it is meaningful."""

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from dora_metrics.calculators.inputs import (
    Coverage,
    DraftEvent,
    Facts,
    GithubDeployment,
    Issue,
    Links,
    PullRequest,
    Release,
    RevertSigns,
    Review,
    Status,
)
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import HOUR, at, deployment, line, pull, run
from tests.dora_metrics.naive.attempts import attempts_in
from tests.dora_metrics.naive.metrics import naive_values
from tests.dora_metrics.naive.periods import percentile, periods

GITHUB = Settings(deployments_from="github")
STREAMS = ("deployments", "workflow_runs", "releases", "pull_requests", "commits", "issues")
A, B, C, D = "a" * 40, "b" * 40, "c" * 40, "d" * 40
HISTORY = line(A, B, C, D)


def facts(**changed: Any) -> Facts:
    coverage = {stream: Coverage(at(0), at(31)) for stream in STREAMS}
    return Facts(**({"coverage": coverage, "repositories": frozenset({"acme/shop"}), "parents": HISTORY, "default_branch": "main"} | changed))


def change(number: int, merge_sha: str, **changed: Any) -> PullRequest:
    return pull(number, **({"merge_sha": merge_sha, "closed_at": at(0), "head_sha": f"{number}" * 40} | changed))


def incident(number: int, started_at: datetime, **changed: Any) -> Issue:
    return Issue(number, started_at, **({"closed_at": started_at + HOUR, "labels": ("incident",)} | changed))


def january(metric: str, facts: Facts, settings: Settings = GITHUB, *, environment: str = "production") -> dict[str, Any]:
    return naive_values(facts, settings, now=at(40), environment=environment)[metric, "month", date(2026, 1, 1)]


def reasons_by_day(facts: Facts, settings: Settings = GITHUB) -> dict[int, dict[str, int]]:
    values = naive_values(facts, settings, now=at(40))
    days = {key[2]: value["details"]["reasons"] for key, value in values.items() if key[:2] == ("change_fail_rate", "day")}
    return {day.day: reasons for day, reasons in days.items() if reasons}


def test_percentiles_interpolate() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.9) == 3
    assert percentile([1.0, 2.0], 0.5) == 1.5
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.9) == pytest.approx(3.7)


def test_periods_overlap_the_days() -> None:
    assert [start for kind, start, _ in periods(date(2025, 12, 31), date(2026, 1, 1)) if kind != "day"] == [
        date(2025, 12, 29),
        date(2025, 12, 1),
        date(2026, 1, 1),
    ]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("success", "failure"), (True, 0)),
        (("failure", "error"), (False, 1)),
        (("failure", "inactive"), (False, 0)),
        (("failure", "in_progress"), None),
        (("in_progress", "inactive"), None),
        (("failure", "in_progress", "success"), (True, 2)),
    ],
)
def test_statuses_decide(states: tuple[str, ...], expected: tuple[bool, int] | None) -> None:
    found = attempts_in(facts(deployments=(deployment(1, A, at(1), *states),)), GITHUB, "github", "production")
    assert [(one.is_success, one.finished_at) for one in found] == ([(expected[0], at(1, minutes=expected[1]))] if expected else [])


def test_a_cancelled_job_is_no_failure() -> None:
    status = Status("failure", at(1), "https://github.com/acme/shop/actions/runs/7/job/1")
    both = facts(deployments=(GithubDeployment("1", "production", A, at(1), (status,)),), workflow_runs=(run(7, conclusion="cancelled"),))
    assert attempts_in(both, GITHUB, "github", "production") == []


@pytest.mark.parametrize(("minutes", "expected"), [(60, [("9", "10")]), (61, [("9",), ("10",)])])
def test_a_retry_is_merged_within_the_hour(minutes: int, expected: list[tuple[str, ...]]) -> None:
    both = facts(deployments=(deployment(10, A, at(1, minutes=minutes)), deployment(9, A, at(1), "failure")))
    assert [attempt.ids for attempt in attempts_in(both, GITHUB, "github", "production")] == expected


def test_ties_go_by_number() -> None:
    both = facts(deployments=(deployment(10, A, at(1)), deployment(9, B, at(1))))
    assert [attempt.ids for attempt in attempts_in(both, GITHUB, "github", "production")] == [("9",), ("10",)]


def test_frequency_counts_days_and_complete_weeks() -> None:
    value = january("deployment_frequency", facts(deployments=tuple(deployment(n, A, at(n)) for n in (0, 4, 5, 5.5, 6, 11))))
    assert (value["numerator"], value["denominator"], value["value"]) == (6, 31, 6 / 31)
    # The week of 29 December is incomplete. The next weeks have three, one and no deploy days; the median is one.
    assert value["details"] == {"deployments": 6, "deploy_days": 5, "deploy_days_per_week": 1}
    assert value["tier"] == "high"
    assert not value["is_partial"]


def test_lead_time_and_its_stages() -> None:
    one = change(
        1,
        B,
        created_at=at(1),
        merged_at=at(3),
        authored_at=(at(0.5), at(-9999), at(4)),
        draft_events=(DraftEvent("ready_for_review", at(1.5)),),
        reviews=(Review("ada", False, at(1.6)), Review("ci[bot]", False, at(1.7)), Review("bob", False, at(2))),
    )
    value = january("change_lead_time", facts(deployments=(deployment(1, A, at(0)), deployment(2, C, at(4))), pull_requests=(one,)))
    assert (value["n"], value["value"]) == (1, 3.5 * 86400)
    assert {stage: found["p50"] / 3600 for stage, found in value["details"]["stages"].items()} == {
        "coding": 12,
        "draft": 12,
        "pickup": 12,
        "review": 24,
        "deploy": 24,
    }
    assert value["quality_flags"] == ("clock_skew", "low_n")


def test_the_first_known_deployment_hides_what_was_before() -> None:
    both = facts(deployments=(deployment(1, C, at(1)), deployment(2, A, at(2)), deployment(3, D, at(3))), pull_requests=(change(1, A), change(2, C)))
    assert january("change_lead_time", both)["n"] == 1


def test_a_rollback_fails_what_it_rolls_back() -> None:
    back_and_forth = facts(deployments=(deployment(1, A, at(1)), deployment(2, C, at(2)), deployment(3, A, at(3)), deployment(4, C, at(4))))
    assert reasons_by_day(back_and_forth) == {3: {"rollback": 1}}
    assert january("deployment_rework_rate", back_and_forth)["value"] == 1 / 4
    assert january("failed_deployment_recovery_time", back_and_forth)["value"] == 86400


def test_the_slow_deployment_of_an_older_commit_is_no_rollback() -> None:
    slow = GithubDeployment("3", "production", A, at(1), (Status("success", at(3)),))
    assert reasons_by_day(facts(deployments=(deployment(2, C, at(2)), slow))) == {}


def reverting(**changed: Any) -> Facts:
    """Pull request 1 is deployed on the 2nd. Number 2 reverts it on the 3rd, and number 3 reverts number 2 on the 4th."""
    pulls = (
        change(1, B, merged_at=at(0)),
        change(2, C, merged_at=at(0.1), revert_signs=RevertSigns(pull=1)),
        change(3, D, merged_at=at(0.2), revert_signs=RevertSigns(branch=2)),
    )
    deployments = (deployment(1, A, at(0.5)), deployment(2, B, at(1)), deployment(3, C, at(2)), deployment(4, D, at(3)))
    return facts(**({"deployments": deployments, "pull_requests": pulls} | changed))


def test_a_revert_fails_what_carried_its_target() -> None:
    assert reasons_by_day(reverting()) == {2: {"revert": 1}}
    assert january("deployment_rework_rate", reverting())["numerator"] == 1


def test_a_revert_put_back_in_the_same_deployment_does_not_count() -> None:
    together = reverting(deployments=(deployment(1, A, at(0.5)), deployment(2, B, at(1)), deployment(4, D, at(3))))
    assert reasons_by_day(together) == {}
    assert january("deployment_rework_rate", together)["numerator"] == 0


def test_another_repositorys_revert_is_none() -> None:
    pulls = (change(1, B), change(2, C, merged_at=at(0.1), revert_signs=RevertSigns(pull=1, pull_repository="other/shop", branch=1, has_title=True)))
    assert reasons_by_day(reverting(pull_requests=pulls)) == {}


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        (Links(), {5: {"incident": 1}}),  # the latest success before the incident
        (Links(deployments=("2",)), {3: {"incident": 1}}),
        (Links(deployments=(B[:7],)), {3: {"incident": 1}}),
        (Links(deployments=("8", "2")), {3: {"incident": 1}}),  # 8 does not exist
        (Links(deployments=("7", "2")), {}),  # 7 is in another environment
        (Links(deployments=("6",)), {}),  # 6 is not finished
        (Links(root_causes=(C,)), {4: {"incident": 1}}),
        (Links(root_causes=("e" * 9,)), {3: {"incident": 1}}),  # a commit inside a squashed pull request
        (Links(root_causes=("f" * 9,), caused_by=(2,)), {4: {"incident": 1}}),
    ],
)
def test_an_incident_is_linked_by_its_body(links: Links, expected: dict[int, dict[str, int]]) -> None:
    deployments = (
        *(deployment(number, sha, at(number)) for number, sha in enumerate((A, D[:39] + "0", B, C, D))),
        deployment(7, A, at(1), environment="staging"),
        deployment(6, A, at(1), "in_progress"),
    )
    pulls = (change(1, B, commit_shas=("e" * 40,)), change(2, C))
    assert reasons_by_day(facts(deployments=deployments, pull_requests=pulls, issues=(incident(50, at(5), links=links),))) == expected


@pytest.mark.parametrize("source", ["workflows", "releases"])
def test_an_id_is_that_of_the_source_that_counts(source: str) -> None:
    told = facts(
        deployments=(deployment(7, A, at(1), environment="staging"),),
        workflow_runs=(run(1, updated_at=at(1), sha=A), run(2, updated_at=at(2), sha=A, conclusion="cancelled")),
        releases=(Release("1", A, False, False, at(1)), Release("2", A, False, True, at(2))),
    )
    settings = replace(GITHUB, deployments_from=source)
    # GitHub's deployment 7 exists, but is not an attempt of this source.
    assert reasons_by_day(replace(told, issues=(incident(50, at(5), links=Links(deployments=("7",))),)), settings) == {}
    assert reasons_by_day(replace(told, issues=(incident(50, at(5), links=Links(deployments=("1",))),)), settings) == {2: {"incident": 1}}
    assert reasons_by_day(replace(told, issues=(incident(50, at(5), links=Links(deployments=("2",))),)), settings) == {}


def test_an_incident_closed_by_a_revert_is_the_reverted_ones() -> None:
    closing = [replace(one, closes=(("Acme/Shop", 50),)) if one.number == 2 else one for one in reverting().pull_requests]
    both = reverting(pull_requests=tuple(closing), issues=(incident(50, at(2.5)),))
    assert reasons_by_day(both) == {2: {"incident": 1, "revert": 1}}


def test_a_hotfix_fails_the_deployment_before_its_creation() -> None:
    hotfix = change(4, C, created_at=at(1.5), merged_at=at(1.6), head_branch="hotfix/cart")
    both = reverting(pull_requests=(hotfix,))
    assert reasons_by_day(both) == {2: {"hotfix": 1}}
    assert january("deployment_rework_rate", both)["value"] == 1 / 4


def test_an_old_deployment_is_not_linked_and_the_incident_counted() -> None:
    value = january("change_fail_rate", facts(deployments=(deployment(1, A, at(1)),), issues=(incident(50, at(8, seconds=1)),)))
    assert value["details"] == {"failed": 0, "deployments": 1, "reasons": {}, "unlinked_incidents": 1, "devlake_value": 0}
    assert value["quality_flags"] == ("unlinked_incidents",)


def test_recovery_is_the_earliest_end() -> None:
    both = facts(
        deployments=(deployment(1, A, at(1), "failure"), deployment(2, B, at(1, hours=5)), deployment(3, C, at(20), "failure")),
        issues=(incident(50, at(2), links=Links(deployments=("1",))), incident(51, at(9), closed_at=at(8))),
    )
    value = january("failed_deployment_recovery_time", both)
    assert (value["n"], value["value"], value["tier"]) == (1, 5 * 3600, "high")
    assert value["details"] == {"n_open": 1, "mean_time_to_restore": {"mean": 1800, "n": 2}}
    assert value["quality_flags"] == ("clock_skew", "low_n")


@pytest.mark.parametrize(("failures", "tier"), [(1, "elite"), (2, "high"), (3, "medium"), (4, "low")])
def test_bounds_of_the_fail_rate_belong_to_the_better_tier(failures: int, tier: str) -> None:
    deployments = tuple(deployment(n, A, at(n), "failure" if n < failures else "success") for n in range(20))
    assert january("change_fail_rate", facts(deployments=deployments))["tier"] == tier
