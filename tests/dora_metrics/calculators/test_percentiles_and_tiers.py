import pytest

from dora_metrics.calculators.percentiles import mean, percentile
from dora_metrics.calculators.tiers import ONE_DAY_SECONDS, ONE_HOUR_SECONDS, fail_rate_tier, frequency_tier, lead_time_tier, recovery_tier


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([7], 0.9, 7),
        ([1, 2], 0.5, 1.5),
        ([1, 2], 0.9, 1.9),
        ([3, 1, 2], 0.5, 2),
        ([10, 20, 30, 40], 0.75, 32.5),
        ([10, 20, 30, 40, 50], 0.9, 46),
    ],
)
def test_a_percentile_interpolates_between_the_closest_ranks(values, share, expected):
    assert percentile(values, share) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("days", "tier"), [(5, "elite"), (4.5, "high"), (1, "high"), (0.5, "medium"), (0, "medium"), (None, None)])
def test_deploy_days_a_week_decide_the_frequency_tier(days, tier):
    assert frequency_tier(days, has_recent_deploy_day=True) == tier


def test_without_a_deploy_day_in_31_days_the_frequency_tier_is_low():
    assert frequency_tier(0, has_recent_deploy_day=False) == "low"


@pytest.mark.parametrize(("days", "tier"), [(0.999, "elite"), (1, "high"), (6.999, "high"), (7, "medium"), (29.999, "medium"), (30, "low")])
def test_the_bounds_of_lead_time_belong_to_the_slower_tier(days, tier):
    assert lead_time_tier(days * ONE_DAY_SECONDS) == tier


@pytest.mark.parametrize(
    ("hours", "tier"), [(0, "elite"), (0.999, "elite"), (1, "high"), (23.99, "high"), (24, "medium"), (167.9, "medium"), (168, "low")]
)
def test_the_bounds_of_recovery_belong_to_the_slower_tier(hours, tier):
    assert recovery_tier(hours * ONE_HOUR_SECONDS) == tier


@pytest.mark.parametrize(
    ("failed", "tier"), [(0, "elite"), (5, "elite"), (5.1, "high"), (10, "high"), (10.1, "medium"), (15, "medium"), (15.1, "low"), (100, "low")]
)
def test_the_bounds_of_the_fail_rate_belong_to_the_better_tier(failed, tier):
    assert fail_rate_tier(failed / 100) == tier


@pytest.mark.parametrize("tier_of", [lead_time_tier, recovery_tier, fail_rate_tier])
def test_an_unknown_value_has_no_tier(tier_of):
    assert tier_of(None) is None


@pytest.mark.parametrize(("values", "expected"), [([], None), ([7], 7), ([1, 2, 6], 3)])
def test_a_mean_is_the_sum_by_the_number(values, expected):
    assert mean(values) == expected


def test_a_mean_is_the_same_for_any_order():
    values = [1e16, 1.0, -1e16, 0.1]
    assert mean(values) == mean(values[::-1]) == mean(sorted(values)) == 1.1 / 4
