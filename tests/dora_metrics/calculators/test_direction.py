import pytest

from dora_metrics.calculators.direction import Direction, direction


@pytest.mark.parametrize(
    ("metric", "before", "after", "expected"),
    [
        ("deployment_frequency", 0.5, 0.7, Direction.HIGHER_BETTER),
        ("deployment_frequency", 0.7, 0.5, Direction.LOWER_WORSE),
        ("change_lead_time", 3600.0, 7200.0, Direction.HIGHER_WORSE),
        ("change_fail_rate", 0.4, 0.2, Direction.LOWER_BETTER),
        ("failed_deployment_recovery_time", 100.0, 104.0, Direction.SAME),
        ("deployment_rework_rate", 0.0, 0.0, Direction.SAME),
        ("deployment_rework_rate", 0.0, 0.1, Direction.HIGHER_WORSE),
        ("change_fail_rate", None, 0.1, None),
        ("change_fail_rate", 0.1, None, None),
    ],
)
def test_a_value_is_better_or_worse_than_before(metric: str, before: float | None, after: float | None, expected: Direction | None) -> None:
    assert direction(metric, before=before, after=after) is expected


def test_a_direction_says_which_value_is_higher_and_which_is_better() -> None:
    assert (Direction.HIGHER_WORSE.is_higher, Direction.HIGHER_WORSE.is_better) == (True, False)
    assert (Direction.SAME.is_higher, Direction.SAME.is_better) == (None, None)
