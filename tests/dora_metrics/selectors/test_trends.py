"""The small charts show the last twelve weeks or months."""

from datetime import date
from itertools import pairwise

import pytest

from dora_metrics.calculators.periods import RANGE, Period, period_of_date
from dora_metrics.models import DORAMetric
from dora_metrics.selectors.trends import stored_trends, trend_periods
from tests.dora_metrics.example_service import a_service


@pytest.mark.parametrize(
    ("period", "kind", "first", "last"),
    [
        (Period(date(2026, 10, 28), date(2026, 11, 27), RANGE), "week", date(2026, 9, 7), date(2026, 11, 23)),
        (Period(date(2026, 8, 29), date(2026, 11, 27), RANGE), "week", date(2026, 9, 7), date(2026, 11, 23)),
        (Period(date(2025, 11, 27), date(2026, 11, 27), RANGE), "month", date(2025, 12, 1), date(2026, 11, 1)),
        (period_of_date(date(2026, 3, 9), "month"), "week", date(2026, 1, 12), date(2026, 3, 30)),
    ],
)
def test_they_end_with_the_week_or_month_in_which_the_period_ends(period: Period, kind: str, first: date, last: date) -> None:
    found = trend_periods(period)
    assert len(found) == 12
    assert {each.kind for each in found} == {kind}
    assert (found[0].start, found[-1].start) == (first, last)
    assert all(before.end == after.start for before, after in pairwise(found))


@pytest.mark.django_db
def test_one_query_reads_those_of_several_services(django_assert_num_queries) -> None:
    services = [a_service("billing"), a_service("till")]
    periods = trend_periods(Period(date(2026, 1, 1), date(2026, 2, 12), RANGE))
    with django_assert_num_queries(1):
        found = stored_trends([service.pk for service in services], periods)
    for service in services:
        rows = DORAMetric.objects.filter(service=service, period="week", metric="deployment_frequency").values_list("period_start", "value")
        assert found[service.pk, "deployment_frequency"] == [dict(rows).get(period.start) for period in periods]
    assert found[services[0].pk, "deployment_frequency"][0] is None  # before the first collected week
    assert found[services[0].pk, "change_fail_rate"][8] is None  # a week without a deployment: nothing to divide by
