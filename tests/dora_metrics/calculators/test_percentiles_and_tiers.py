import pytest

from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.tiers import ONE_DAY_SECONDS, frequency_tier, lead_time_tier


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


def test_an_unknown_lead_time_has_no_tier():
    assert lead_time_tier(None) is None
