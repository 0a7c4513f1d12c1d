"""docs/metrics.md, "Flags": every flag has a description, is set where it should be, and nowhere else."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import dora_metrics
from dora_metrics.calculators import quality_flags as flags
from dora_metrics.calculators.inputs import Status
from tests.dora_metrics.calculators.examples import (
    GITHUB,
    PULLS,
    at,
    change,
    covering,
    deployment,
    issue,
    line,
    links,
    one_a_day,
    pull,
    values,
)

PAGE = Path(dora_metrics.__file__).parents[1] / "docs" / "metrics.md"
FREQUENCY, LEAD_TIME, FAIL_RATE, RECOVERY, REWORK = (
    "deployment_frequency",
    "change_lead_time",
    "change_fail_rate",
    "failed_deployment_recovery_time",
    "deployment_rework_rate",
)


def flagged(flag, **changed):
    """Return the daily values that have the flag, as metric and day after START."""
    return {(v.metric, (v.period_start - at(0).date()).days) for v in values(**changed) if v.period_kind == "day" and flag in v.quality_flags}


def test_every_flag_has_words_here_and_a_line_in_the_documentation():
    names = {value for name, value in vars(flags).items() if name.isupper() and isinstance(value, str)}
    table = PAGE.read_text().partition("## Flags")[2]
    assert names == set(flags.MEANING) == set(re.findall(r"^\| `(\w+)` \| .+ \|$", table, re.MULTILINE))
    assert all(flags.MEANING.values())


def test_plain_facts_have_no_flag():
    ten = tuple(replace(change(1), number=number) for number in range(1, 11))
    assert {flag for v in values(**one_a_day("a", "m1", "b", pull_requests=ten)) for flag in v.quality_flags} == set()


def skewed(number, sha, days, *states):
    """Return a deployment that finished one hour before it started."""
    moments = tuple(Status(state, at(days)) for state in states)
    return replace(deployment(number, sha, at(days, hours=1)), statuses=moments)


def test_a_success_that_finished_before_it_started_flags_every_value_that_it_is_in():
    assert flagged("clock_skew", deployments=(deployment(0, "a", at(0)), skewed(1, "b", 1, "success"))) == {
        (FREQUENCY, 1),
        (FAIL_RATE, 1),
        (REWORK, 1),
    }


def test_a_failed_attempt_that_finished_before_it_started_flags_the_fail_rate_and_its_recovery():
    assert flagged("clock_skew", deployments=(skewed(1, "b", 1, "failure"), deployment(2, "c", at(2)))) == {(FAIL_RATE, 1), (RECOVERY, 2)}


def test_an_impossible_date_of_a_change_flags_its_lead_time():
    strange = change(1, authored_at=(at(9),))
    assert flagged("clock_skew", **one_a_day("a", "m1", "b", pull_requests=(strange,))) == {(LEAD_TIME, 1)}


def test_an_incident_that_was_closed_before_it_was_created_flags_where_it_begins_and_ends():
    assert flagged("clock_skew", **one_a_day("a", issues=(issue(100, at(0.5), at(0.4)),))) == {(FAIL_RATE, 0), (RECOVERY, 0)}


def test_a_change_that_was_deployed_before_its_merge_flags_its_lead_time():
    assert flagged("deployed_before_merge", **one_a_day("a", "m1", pull_requests=(change(1, merged_at=at(1.5)),))) == {(LEAD_TIME, 1)}


def test_few_changes_or_recoveries_flag_their_medians():
    fallen = deployment(9, "x", at(1.5), "failure")
    changed = one_a_day("a", "m1", "b", pull_requests=(change(1),))
    assert flagged("low_n", **changed | {"deployments": (*changed["deployments"], fallen)}) == {(LEAD_TIME, 1), (RECOVERY, 2)}


def test_merged_pull_requests_that_stand_for_deployments_flag_every_value():
    both = {"settings": PULLS, "pull_requests": (pull(1), pull(2, merged_at=at(1))), "issues": (issue(100, at(0.5), at(2)),)}
    assert flagged("proxy_pr_merge", **both) == {
        *((metric, day) for metric in (FREQUENCY, LEAD_TIME, FAIL_RATE, REWORK) for day in (0, 1)),
        (RECOVERY, 2),
    }


def test_a_match_by_time_flags_its_lead_time():
    nameless = (deployment(0, "", at(0)), deployment(1, "", at(1)), deployment(2, "", at(2)))
    assert flagged("time_matched", deployments=nameless, pull_requests=(change(1),)) == {(LEAD_TIME, 1)}


def test_a_deployed_commit_that_is_gone_flags_what_its_deployment_is_in():
    gone = one_a_day("a", "gone", "b") | {"parents": line("a", "b")}
    assert flagged("unknown_sha", **gone) == {(metric, 1) for metric in (FREQUENCY, LEAD_TIME, FAIL_RATE, REWORK)}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"parents": {}}, id="no history was collected"),
        pytest.param({"deployments": (deployment(1, "", at(1)),)}, id="it names no commit"),
        pytest.param({"deployments": (deployment(1, "gone", at(1), "failure"),)}, id="it failed"),
        pytest.param({"deployments": (deployment(1, "gone", at(1), environment="staging"),)}, id="another environment's"),
    ],
)
def test_other_deployments_do_not_flag_a_commit_that_is_gone(changed):
    assert flagged("unknown_sha", **({"deployments": (deployment(1, "gone", at(1)),), "parents": line("a")} | changed)) == set()


def test_an_incident_without_a_link_flags_the_fail_rate_where_it_begins():
    two = issue(100, at(-1), at(2)), issue(101, at(0.5), at(3))
    assert flagged("unlinked_incidents", **one_a_day("a", issues=two), coverage=covering(at(-5), at(31))) == {(FAIL_RATE, -1)}


def test_outside_production_nothing_flags_an_incident_without_a_link():
    staged = (deployment(1, "a", at(0), environment="staging"),)
    assert flagged("unlinked_incidents", deployments=staged, environment="staging", issues=(issue(100, at(1)),)) == set()


def test_a_calculated_value_is_never_flagged_as_not_collected():
    coverage = covering(at(0), at(2))
    del coverage["issues"]
    assert flagged("not_collected", coverage=coverage) == set()


def test_a_bot_s_change_flags_nothing():
    bot = change(1, author_is_bot=True, authored_at=(at(9),), merged_at=at(1.5))
    assert {v.quality_flags for v in values(settings=GITHUB, **one_a_day("a", "m1", pull_requests=(bot,)))} == {()}


def test_flags_are_sorted_and_each_once():
    both = issue(100, at(0.5), at(0.4), links=links(deployment="8")), issue(101, at(0.5), at(0.4), links=links(deployment="8"))
    changed = one_a_day("a", issues=both)
    changed["deployments"] = (*changed["deployments"], deployment(8, "x", at(0), environment="staging"))
    found = next(v for v in values(**changed) if (v.metric, v.period_kind) == (FAIL_RATE, "day"))
    assert found.quality_flags == ("clock_skew", "unlinked_incidents")
