"""Properties that hold for any facts."""

from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.calculators.inputs import Status
from dora_metrics.calculators.linked_facts import link_facts
from dora_metrics.calculators.metric_values import metric_values
from tests.dora_metrics.calculators.examples import assessed, at, deployment, issue, line, one_a_day, pull, value_of
from tests.dora_metrics.calculators.random_facts import now, patient, services, settings

# Hypothesis takes up to five minutes to reduce a failing example.
pytestmark = pytest.mark.timeout(600)
SHARES = ("change_fail_rate", "deployment_rework_rate")


def shuffled(items, random):
    return tuple(random.sample(items, len(items)))


def arrived_otherwise(facts, random):
    """Return the same facts in another order, including the lists inside them."""
    pulls = (
        replace(
            one,
            **{name: shuffled(getattr(one, name), random) for name in ("authored_at", "reviews", "draft_events", "labels", "commit_shas", "closes")},
        )
        for one in facts.pull_requests
    )
    deployments = (replace(one, statuses=shuffled(one.statuses, random)) for one in facts.deployments)
    issues = (replace(one, labels=shuffled(one.labels, random)) for one in facts.issues)
    return replace(
        facts,
        pull_requests=shuffled(tuple(pulls), random),
        deployments=shuffled(tuple(deployments), random),
        issues=shuffled(tuple(issues), random),
        workflow_runs=shuffled(facts.workflow_runs, random),
        releases=shuffled(facts.releases, random),
        parents={sha: shuffled(facts.parents[sha], random) for sha in shuffled(tuple(facts.parents), random)},
        coverage=dict(shuffled(tuple(facts.coverage.items()), random)),
        others=tuple(arrived_otherwise(part, random) for part in facts.others),
    )


def judgements(facts, chosen):
    """Return what was decided about every attempt, and the link of every incident."""
    found = link_facts(facts, chosen, now=now)
    return (
        [(one.attempt.ids, one.causes, one.unplanned, one.recovered_at, one.recovered_by, one.flags) for one in found.attempts],
        [(one.incident.key, one.link.how, one.link.attempt and one.link.attempt.ids) for one in found.incidents],
    )


@pytest.mark.slow
@patient
@given(services, settings, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_arrive_does_not_matter(facts, chosen, random):
    otherwise = arrived_otherwise(facts, random)
    assert judgements(otherwise, chosen) == judgements(facts, chosen)
    assert metric_values(otherwise, chosen, now=now) == metric_values(facts, chosen, now=now)


def counts(value):
    """Return the numbers of a value that can be added: their sum over all days equals their sum over all weeks and over all months."""
    details = value.details
    reasons = {f"reasons.{name}": count for name, count in details.get("reasons", {}).items()}
    plain = {name: details[name] for name in ("deployments", "failed", "unlinked_incidents", "unplanned", "n_open", "n_bots") if name in details}
    restored = {"restored": details["mean_time_to_restore"]["n"]} if "mean_time_to_restore" in details else {}
    return {"n": value.n, **reasons, **plain, **restored}


def added_up(values, kind):
    total = {}
    for value in values:
        if value.period_kind == kind:
            for name, count in counts(value).items():
                total[value.metric, name] = total.get((value.metric, name), 0) + count
    return {name: count for name, count in total.items() if count}


@pytest.mark.slow
@patient
@given(services, settings)
def test_the_counts_of_days_weeks_and_months_add_up(facts, chosen):
    values = metric_values(facts, chosen, now=now)
    by_day = added_up(values, "day")
    assert added_up(values, "week") == by_day
    assert added_up(values, "month") == by_day


def numbers(shown):
    """Return every number in a value, at any depth."""
    if isinstance(shown, dict):
        return [number for each in shown.values() for number in numbers(each)]
    return [shown] if isinstance(shown, int | float) else []


@pytest.mark.slow
@patient
@given(services, settings)
def test_no_number_is_negative_or_infinite_and_no_share_above_1(facts, chosen):
    for one in metric_values(facts, chosen, now=now):
        plain = {name: getattr(one, name) for name in ("n", "value", "numerator", "denominator", "p50", "p75", "p90")}
        assert all(isfinite(number) and number >= 0 for number in numbers(plain | one.details))
        if one.metric in SHARES:
            assert one.value is None or one.value <= 1
            assert one.numerator <= one.denominator == one.n
            assert (one.value is None) is (one.n == 0)
        assert (one.tier is None) is (one.tier_year is None)
        assert list(one.quality_flags) == sorted(set(one.quality_flags))


@pytest.mark.slow
@patient
@given(services, settings)
def test_every_period_s_reasons_are_at_least_its_failures(facts, chosen):
    for one in metric_values(facts, chosen, now=now):
        if one.metric == "change_fail_rate":
            assert one.details["failed"] <= sum(one.details["reasons"].values())
            assert all(count <= one.details["failed"] for count in one.details["reasons"].values())


@pytest.mark.slow
@patient
@given(services, settings)
def test_every_attempt_recovers_after_it_finished_and_only_if_it_failed(facts, chosen):
    for one in link_facts(facts, chosen, now=now).attempts:
        assert one.recovered_at is None or (one.is_failed and one.recovered_at >= one.attempt.finished_at)
        assert one.attempt.started_at <= one.attempt.finished_at
        assert one.attempt.is_success or "state" in {cause.rule for cause in one.causes}
        assert not one.unplanned or one.attempt.is_success


# --- contradictory facts are kept, corrected to what is possible, and flagged -----------------------------------------

seconds = st.integers(1, 10**6)


@patient
@given(seconds)
def test_a_deployment_that_finished_before_it_started_is_kept_and_flagged(early):
    one = replace(deployment(1, "a", at(5, seconds=early)), statuses=(Status("success", at(5)),))
    (found,) = assessed(deployments=(one,)).attempts
    assert (found.attempt.started_at, found.attempt.finished_at, found.flags) == (at(5), at(5), {"clock_skew"})


@patient
@given(seconds)
def test_a_pull_request_that_was_merged_before_it_was_created_is_kept_and_flagged(early):
    skewed = pull(1, created_at=at(1, seconds=early), merged_at=at(1))
    found = value_of("change_lead_time", **one_a_day("a", "m1", pull_requests=(skewed,), parents=line("a", "m1")))
    assert (found.n, found.p50, found.quality_flags) == (1, 0, ("clock_skew", "low_n"))


def test_a_pull_request_that_was_merged_and_yet_not_closed_is_kept_and_flagged():
    found = value_of("change_lead_time", **one_a_day("a", "m1", pull_requests=(pull(1, closed_at=None),)))
    assert (found.n, found.quality_flags) == (1, ("clock_skew", "low_n"))


@patient
@given(seconds)
def test_an_incident_that_was_closed_before_it_was_created_is_kept_and_flagged(early):
    changed = one_a_day("a", issues=(issue(100, at(5), at(5, seconds=-early)),))
    rate, recovery = value_of("change_fail_rate", **changed), value_of("failed_deployment_recovery_time", **changed)
    assert (rate.details["failed"], rate.quality_flags) == (1, ("clock_skew",))
    assert (recovery.n, recovery.p50, recovery.details["mean_time_to_restore"]) == (1, pytest.approx(5 * 86400), {"mean": 0, "n": 1})
    assert recovery.quality_flags == ("clock_skew", "low_n")
