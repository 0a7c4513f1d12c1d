"""The summary of a service's stored metrics follows the stored rows, and its stamp tells whether any of them has changed."""

from datetime import date

import pytest
from django.db import transaction
from django.db.models import Max, Min

from dora_metrics.derivation.recompute import recompute, recompute_periods
from dora_metrics.models import Coverage, Deployment, DORAMetric, Issue, MetricsSummary, Service
from tests.dora_metrics.calculators.examples import at
from tests.dora_metrics.example_service import NOW, a_service
from tests.dora_metrics.stored_rows import repository_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def billing() -> Service:
    return a_service("billing")


def recomputed(service: Service) -> MetricsSummary:
    with transaction.atomic():
        recompute(service, moment=NOW)
    return MetricsSummary.objects.get(service=service)


def test_it_has_the_dates_of_the_day_rows_of_each_metric(billing: Service) -> None:
    Coverage.objects.filter(stream="issues").update(since=at(-2, hours=5))
    summary = recomputed(billing)
    days = DORAMetric.objects.filter(service=billing, period="day").values("metric").annotate(first=Min("period_start"), last=Max("period_start"))
    assert {row["metric"]: (row["first"], row["last"]) for row in days} == {
        metric: (date.fromisoformat(dates["first"]), date.fromisoformat(dates["last"])) for metric, dates in summary.collected.items()
    }
    assert {metric: dates["begins_inside"] for metric, dates in summary.collected.items()} == {
        "deployment_frequency": False,
        "change_lead_time": False,
        "change_fail_rate": True,
        "failed_deployment_recovery_time": True,
        "deployment_rework_rate": True,
    }


def test_a_metric_that_was_never_collected_is_missing(billing: Service) -> None:
    Coverage.objects.filter(stream="issues").delete()
    assert set(recomputed(billing).collected) == {"deployment_frequency", "change_lead_time"}


def test_its_stamp_stays_while_no_row_changes(billing: Service) -> None:
    before = MetricsSummary.objects.get(service=billing).stamp
    assert before
    assert recomputed(billing).stamp == before


@pytest.mark.parametrize("is_all", [True, False])
def test_its_stamp_changes_with_a_late_fact(billing: Service, is_all: bool) -> None:
    before = MetricsSummary.objects.get(service=billing).stamp
    Issue.objects.filter(number=100).update(closed_at=at(5))
    with transaction.atomic():
        recompute(billing, moment=NOW) if is_all else recompute_periods(billing, start=date(2027, 1, 1), moment=NOW)
    assert MetricsSummary.objects.get(service=billing).stamp != before  # the incident has changed, even if no metric was recomputed


def test_its_stamp_changes_when_more_was_collected(billing: Service) -> None:
    before = MetricsSummary.objects.get(service=billing)
    Coverage.objects.update(since=at(-9))
    after = recomputed(billing)
    assert after.stamp != before.stamp
    assert after.collected != before.collected


def test_it_names_the_environments_that_were_deployed_to_most(billing: Service) -> None:
    times = {"staging": 12, "Staging": 2, "": 5, **{f"pull-{number:02}": 1 for number in range(30)}}
    numbered = enumerate((name for name, count in times.items() for _ in range(count)), 1000)
    repository = repository_of(billing)
    Deployment.objects.bulk_create(
        Deployment(
            service=billing,
            repository=repository,
            external_id=number,
            environment=name,
            sha="a",
            created_at=at(0),
            version_at=at(0),
            run_id=1,
            page_id=1,
        )
        for number, name in numbered
    )
    found = recomputed(billing).environments
    assert found[:3] == ["staging", "production", "Staging"]
    assert len(found) == 20
