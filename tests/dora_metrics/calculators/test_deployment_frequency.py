from datetime import UTC, date, datetime
from functools import partial

import pytest

from dora_metrics.calculators.metric_values import metric_values
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import GITHUB, PULLS, at, covering, deployment, facts, pull, value_of

frequency = partial(value_of, "deployment_frequency")


def on(*days):
    return tuple(deployment(number, f"s{number}", at(day, hours=12)) for number, day in enumerate(days))


def test_it_is_successful_deployments_by_days_of_the_period():
    value = frequency("month", date(2026, 1, 1), deployments=on(0, 0, 5, 30))
    assert (value.value, value.numerator, value.denominator, value.n, value.unit) == (4 / 31, 4, 31, 4, "deployments/day")
    assert (value.details["deployments"], value.details["deploy_days"]) == (4, 3)
    assert not value.is_partial


def test_failed_attempts_are_no_deployments():
    value = frequency("day", date(2026, 1, 1), deployments=(deployment(1, "a", at(0)), deployment(2, "b", at(0), "failure")))
    assert value.value == 1


def test_redeploying_the_same_sha_counts():
    assert frequency("day", date(2026, 1, 1), deployments=(deployment(1, "a", at(0)), deployment(2, "a", at(0, hours=1)))).value == 2


def test_a_collected_period_without_deployments_has_a_true_frequency_of_0():
    value = frequency("month", date(2026, 1, 1))
    assert (value.value, value.denominator, value.details["deploy_days_per_week"]) == (0, 31, 0)
    assert value.tier == "low"


def test_a_period_that_was_not_collected_has_no_value():
    assert metric_values(facts(coverage={}), GITHUB, now=at(9)) == []
    months = {v.period_start for v in metric_values(facts(coverage=covering(at(0), at(30))), GITHUB, now=at(400)) if v.period_kind == "month"}
    assert months == {date(2026, 1, 1)}


def test_the_other_source_s_coverage_does_not_stand_in():
    only_runs = {"workflow_runs": covering(at(0), at(9))["workflow_runs"]}
    assert metric_values(facts(coverage=only_runs), GITHUB, now=at(9)) == []


def test_a_running_period_is_divided_by_the_days_begun_today_included():
    value = frequency("month", date(2026, 1, 1), deployments=on(0, 1), coverage=covering(at(0), at(3, hours=1)))
    assert (value.value, value.denominator, value.is_partial) == (2 / 4, 4, True)


def test_now_bounds_what_was_collected():
    assert frequency("month", date(2026, 1, 1), deployments=on(0), now=at(1, hours=1)).denominator == 2


def test_a_period_in_which_collection_began_counts_only_collected_days_and_their_deployments():
    value = frequency("month", date(2026, 1, 1), deployments=on(3, 20), coverage=covering(at(16, hours=9), at(40)))
    assert (value.numerator, value.denominator, value.details["deploy_days"], value.is_partial) == (1, 15, 1, True)


def test_deploy_days_a_week_are_the_median_over_weeks_whose_sunday_is_in_the_period():
    # The Sundays of February 2026 are 1, 8, 15 and 22. Their weeks have 2, 1, 0 and 3 deploy days. Monday the 23rd is in a week of March.
    dates = [(1, 26), (2, 1), (2, 3), (2, 3), (2, 16), (2, 17), (2, 22), (2, 23)]
    deployments = tuple(deployment(n, "a", datetime(2026, month, day, 12, tzinfo=UTC)) for n, (month, day) in enumerate(dates))
    value = frequency("month", date(2026, 2, 1), deployments=deployments, coverage=covering(at(0), at(90)))
    assert value.details["deploy_days_per_week"] == 1.5
    assert (value.tier, value.tier_year) == ("high", 2023)


def test_a_day_has_no_deploy_days_a_week_and_no_tier():
    value = frequency("day", date(2026, 1, 1), deployments=on(0))
    assert (value.details["deploy_days_per_week"], value.tier, value.tier_year) == (None, None, None)


def test_an_incomplete_week_is_left_out_of_the_median():
    # Facts were collected from Thursday the 1st to Wednesday the 14th, so only the week from Monday the 5th is complete.
    value = frequency("month", date(2026, 1, 1), deployments=on(0, 1, 2, 4, 12, 13), coverage=covering(at(0), at(13, hours=13)))
    assert value.details["deploy_days_per_week"] == 1


def test_a_running_week_has_no_deploy_days_a_week():
    value = frequency("week", date(2026, 1, 5), deployments=on(4), coverage=covering(at(-9), at(6)))
    assert (value.details["deploy_days_per_week"], value.tier) == (None, None)


def test_a_deploy_day_in_the_31_days_to_the_period_s_end_is_medium_at_least():
    week = date(2026, 2, 23)  # this week ends on 1 March, so the 31 days begin on 30 January
    span = covering(at(0), at(90))
    assert frequency("week", week, deployments=(deployment(1, "a", datetime(2026, 1, 30, tzinfo=UTC)),), coverage=span).tier == "medium"
    assert frequency("week", week, deployments=(deployment(1, "a", datetime(2026, 1, 29, 23, tzinfo=UTC)),), coverage=span).tier == "low"


def test_of_a_running_month_the_31_days_end_today():
    # Today is 21 January, so the 31 days begin on 22 December. The last deploy day is in a week whose Sunday is not in January.
    changed = {"coverage": covering(at(-40), at(20, hours=9))}
    assert frequency("month", date(2026, 1, 1), deployments=on(-10), **changed).tier == "medium"
    assert frequency("month", date(2026, 1, 1), deployments=on(-11), **changed).tier == "low"


def test_five_deploy_days_a_week_are_elite():
    span = covering(at(-3), at(31))
    assert frequency("week", date(2026, 1, 5), deployments=on(4, 5, 6, 7, 8), coverage=span).tier == "elite"
    assert frequency("week", date(2026, 1, 5), deployments=on(4, 5, 6, 7), coverage=span).tier == "high"


@pytest.mark.parametrize(
    ("zone", "day"), [("Asia/Kolkata", date(2026, 2, 1)), ("America/Los_Angeles", date(2026, 1, 31)), ("UTC", date(2026, 1, 31))]
)
def test_a_deployment_at_a_month_s_edge_belongs_to_its_local_date(zone, day):
    late = (deployment(1, "a", datetime(2026, 1, 31, 20, tzinfo=UTC)),)
    settings = Settings(deployments_from="github", time_zone=zone)
    span = covering(at(-40), at(90))
    assert frequency("day", day, settings=settings, deployments=late, coverage=span).numerator == 1
    assert frequency("month", day.replace(day=1), settings=settings, deployments=late, coverage=span).numerator == 1


def test_a_week_with_a_daylight_saving_change_has_seven_days():
    settings = Settings(deployments_from="github", time_zone="Europe/Berlin")
    value = frequency("week", date(2026, 3, 23), settings=settings, coverage=covering(at(0), at(120)))
    assert (value.denominator, value.is_partial) == (7, False)


def test_merged_pull_requests_as_deployments_are_flagged():
    value = frequency("day", date(2026, 1, 1), settings=PULLS, pull_requests=(pull(1),))
    assert (value.value, value.quality_flags) == (1, ("proxy_pr_merge",))


def test_a_deployed_sha_that_is_gone_is_flagged_in_its_period_only():
    changed = {"deployments": (deployment(1, "gone", at(0)), deployment(2, "a", at(1))), "parents": {"a": ()}}
    assert frequency("day", date(2026, 1, 1), **changed).quality_flags == ("unknown_sha",)
    assert frequency("day", date(2026, 1, 2), **changed).quality_flags == ()


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        frequency("day", date(2026, 1, 1), deployments=(deployment(1, "a", datetime(2026, 1, 1)),))
