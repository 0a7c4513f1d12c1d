"""Whether a change of a metric is good or bad."""

import pytest

from dashboard.services.latest_values import direction


@pytest.mark.parametrize(
    ("metric", "value", "before", "expected"),
    [
        ("deployment_frequency", 2.0, 1.0, "better"),
        ("deployment_frequency", 1.0, 2.0, "worse"),
        ("change_lead_time", 2.0, 1.0, "worse"),
        ("change_fail_rate", 0.0, 0.1, "better"),
        ("change_fail_rate", 0.1, 0.1, "same"),
        ("change_fail_rate", None, 0.1, ""),
        ("change_fail_rate", 0.1, None, ""),
    ],
)
def test_more_deployments_are_better_and_less_of_everything_else(metric: str, value: float | None, before: float | None, expected: str) -> None:
    assert direction(metric, value, before) == expected
