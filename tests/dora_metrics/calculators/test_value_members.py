"""The members of a value are the deployments, changes and incidents behind it. Their counts add up to the value."""

import pytest
from hypothesis import given

from dora_metrics.calculators.linked_facts import link_facts
from dora_metrics.calculators.metric_values import covered_periods, metrics_of
from dora_metrics.calculators.percentiles import mean, percentile
from dora_metrics.calculators.periods import collected_part, period_of_date
from tests.dora_metrics.calculators.examples import (
    JANUARY,
    assessed,
    at,
    change,
    covering,
    deployment,
    hotfix,
    issue,
    line,
    links,
    one_a_day,
    revert,
    value_of,
)
from tests.dora_metrics.calculators.random_facts import now, patient, services, settings

MONTH = period_of_date(JANUARY, "month")
TOLD = {
    "deployment_frequency": {"deployments"},
    "change_lead_time": {"n", "n_bots", "stages.coding.n", "stages.draft.n", "stages.pickup.n", "stages.review.n", "stages.deploy.n"},
    "change_fail_rate": {
        "deployments",
        "failed",
        "unlinked_incidents",
        *(f"reasons.{reason}" for reason in ("state", "incident", "revert", "hotfix", "rollback")),
    },
    "failed_deployment_recovery_time": {"n", "n_open", "mean_time_to_restore.n"},
    "deployment_rework_rate": {"deployments", "unplanned"},
}
# Flags that a value may have although none of its members has them.
OF_THE_PERIOD = {"low_n", "unknown_sha", "clock_skew", "impossible_cause"}


def flat(details, before=""):
    """Flatten nested numbers. Their keys become dotted names."""
    found = {}
    for name, value in details.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


def assert_they_add_up(metric, period, part):
    measured, members = metric.measure(period, part), metric.members(part)
    said = flat(measured.details) | ({"n": measured.n} if "n" in TOLD[metric.name] else {})
    summed = {name: sum(member.counts.get(name, 0) for member in members) for name in TOLD[metric.name]}
    assert summed == {name: said.get(name, 0) for name in TOLD[metric.name]}
    seconds = [member.counts["seconds"] for member in members if "seconds" in member.counts]
    assert measured.p50 == (percentile(seconds, 0.5) if metric.unit == "seconds" else None)
    restored = [counts["mean_time_to_restore.seconds"] for counts in (member.counts for member in members) if "mean_time_to_restore.n" in counts]
    assert said.get("mean_time_to_restore.mean") == mean(restored)
    assert {name for member in members for name in member.counts} <= TOLD[metric.name] | {"seconds", "mean_time_to_restore.seconds"}
    moments = [member.at for member in members]
    assert moments == sorted(moments)
    assert all(member.rules and member.kind in ("deployment", "change", "incident") for member in members)
    assert {flag for member in members for flag in member.flags} >= measured.flags - OF_THE_PERIOD


@pytest.mark.slow
@pytest.mark.timeout(600)
@patient
@given(services, settings)
def test_the_members_of_every_metric_add_up_to_what_it_says_in_every_period(facts, chosen):
    for metric in metrics_of(link_facts(facts, chosen, now=now)):
        if metric.coverage:
            for period in covered_periods(metric.coverage, chosen.time_zone):
                assert_they_add_up(metric, period, collected_part(period, metric.coverage, chosen.time_zone))


# --- one month, calculated by hand ------------------------------------------------------------------------------------

EVENTFUL = one_a_day(
    "a",
    "m1",
    "m2",
    "m3",
    "m2",
    parents=line("a", "m1", "m2", "m3"),
    pull_requests=(change(1), change(2, author_is_bot=True), revert(3, 1), hotfix(9)),
    issues=(issue(100, at(-1), at(2)), issue(101, at(2.5), at(3.5)), issue(102, at(4.5)), issue(103, at(7), links=links(deployment="9"))),
    coverage=covering(at(-5), at(31)),
)
EVENTFUL["deployments"] = (*EVENTFUL["deployments"], deployment(9, "x", at(6), "failure"))


def members_of(name, **changed):
    """Return the key of each member and what it adds to each number."""
    metric = next(metric for metric in metrics_of(assessed(**(EVENTFUL | changed))) if metric.name == name)
    return [(member.key, member.counts) for member in metric.members(MONTH)]


def test_deployment_frequency_is_its_successes():
    assert members_of("deployment_frequency") == [(key, {"deployments": 1}) for key in "01234"]


def test_change_lead_time_is_its_changes_and_bots_add_to_their_number_alone():
    person = {"n": 1, "seconds": 64800, "stages.coding.n": 1, "stages.deploy.n": 1}
    assert members_of("change_lead_time") == [("pull request 1", person), ("pull request 2", {"n_bots": 1}), ("pull request 3", person)]


def test_change_fail_rate_is_its_attempts_and_the_incidents_without_a_link():
    assert members_of("change_fail_rate", coverage=covering(at(-5), at(31)), issues=(*EVENTFUL["issues"], issue(104, at(0, hours=-1)))) == [
        ("0", {"deployments": 1}),
        ("1", {"deployments": 1, "failed": 1, "reasons.revert": 1}),
        ("2", {"deployments": 1, "failed": 1, "reasons.incident": 1}),
        ("3", {"deployments": 1, "failed": 1, "reasons.rollback": 1}),
        ("4", {"deployments": 1, "failed": 1, "reasons.incident": 1}),
        ("9", {"deployments": 1, "failed": 1, "reasons.incident": 1, "reasons.state": 1}),
    ]


def test_an_incident_without_a_link_is_a_member_of_the_period_of_its_start():
    early = {"issues": (issue(100, at(0.5)),), "deployments": (deployment(1, "a", at(1)),)}
    assert members_of("change_fail_rate", **early) == [("issue 100", {"unlinked_incidents": 1}), ("1", {"deployments": 1})]


def test_recovery_time_is_what_recovered_what_is_open_and_the_incidents_that_ended():
    restored = {"mean_time_to_restore.n": 1}
    assert members_of("failed_deployment_recovery_time") == [
        ("issue 100", restored | {"mean_time_to_restore.seconds": 3 * 86400}),
        ("1", {"n": 1, "seconds": 2 * 86400}),
        ("2", {"n": 1, "seconds": 1.5 * 86400}),
        ("issue 101", restored | {"mean_time_to_restore.seconds": 86400}),
        ("3", {"n": 1, "seconds": 86400}),
        ("4", {"n_open": 1}),
        ("9", {"n_open": 1}),
    ]


def test_rework_rate_is_its_successes():
    assert members_of("deployment_rework_rate") == [
        ("0", {"deployments": 1}),
        ("1", {"deployments": 1}),
        ("2", {"deployments": 1}),
        ("3", {"deployments": 1, "unplanned": 1}),
        ("4", {"deployments": 1, "unplanned": 1}),
    ]


@pytest.mark.parametrize(("name", "value"), [("change_fail_rate", 5 / 6), ("deployment_rework_rate", 2 / 5)])
def test_the_month_says_the_same(name, value):
    assert value_of(name, **EVENTFUL).value == value
