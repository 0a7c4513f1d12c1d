"""The overview has one row for each service, with the numbers of the report, sorted, searched and paged."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from dora_metrics.calculators.periods import RANGE, Period, period_before
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Deployment, Issue, Service
from dora_metrics.selectors import report
from dora_metrics.selectors.overview import COMPUTED_PAGE_SIZE, PAGE_SIZE, Overview, OverviewQuery, ServiceRow, overview
from dora_metrics.selectors.period_values import METRICS
from tests.dora_metrics.calculators.examples import at, covering, deployment, facts, line
from tests.dora_metrics.example_service import NOW, a_service
from tests.dora_metrics.stored_rows import repository_of

pytestmark = pytest.mark.django_db

MOST_QUERIES = 7
JANUARY = Period(date(2026, 1, 1), date(2026, 2, 1), "month")
RECENT = Period(date(2026, 1, 2), date(2026, 2, 1), RANGE)
DAILY = facts(
    deployments=tuple(deployment(day, f"c{day}", at(day)) for day in range(10, 38)),
    parents=line(*(f"c{day}" for day in range(10, 38))),
    repositories=frozenset({"acme/till"}),
    coverage=covering(at(-5), at(41)),
)


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    caches["overview"].clear()


@pytest.fixture
def services() -> list[Service]:
    """A service with some failures, one that deploys every day and never fails, and one that was never collected."""
    return [a_service("billing"), a_service("Till", DAILY), Service.objects.create(name="new-one")]


def seen(period: Period = RECENT, **chosen: Any) -> Overview:
    return overview(OverviewQuery(period, **chosen), now=NOW)


def names(found: Overview) -> list[str]:
    return [row.name for row in found.rows]


@pytest.mark.parametrize("period", [JANUARY, RECENT, Period(date(2025, 2, 12), date(2026, 2, 12), RANGE)])
def test_the_numbers_are_those_of_the_report(services: list[Service], period: Period) -> None:
    for row in seen(period).rows:
        service = Service.objects.get(name=row.name)
        assert_row_is_reported(row, service, period, row.values)
        assert_row_is_reported(row, service, period_before(period), row.earlier)


def assert_row_is_reported(row: ServiceRow, service: Service, period: Period, values: Any, environment: str = PRODUCTION) -> None:
    asked = {"start": period.start, "end": period.end, "by": period.kind, "environment": environment, "time_zone": "UTC", "now": NOW}
    [reported] = report(service, **asked)["periods"]
    for metric in METRICS:
        shown, numbers = values[metric], reported[metric]
        assert shown.value == numbers.get("value", numbers.get("p50")), f"{metric} of {row.name}"
        assert shown.tier == numbers.get("tier")
        assert (shown.numerator if "p50" not in numbers else shown.n) == numbers.get(
            {"deployment_frequency": "deployments", "change_fail_rate": "failed", "deployment_rework_rate": "unplanned"}.get(metric, "n")
        )
    assert sorted({flag for value in values.values() for flag in value.flags}) == reported["quality_flags"]
    if any(value.flags != ("not_collected",) for value in values.values()):
        assert any(value.is_partial for value in values.values()) == reported["partial"]


def test_services_are_ordered_by_name_and_found_by_a_part_of_it(services: list[Service]) -> None:
    assert sorted(names(seen())) == sorted(["billing", "Till", "new-one"])
    assert names(seen(is_descending=True)) == names(seen())[::-1]
    assert names(seen(search="il")) == [name for name in names(seen()) if name != "new-one"]
    assert names(seen(search="TILL")) == ["Till"]
    found = seen(search="nothing")
    assert (names(found), found.total, found.matching, found.page_count) == ([], 3, 0, 1)


def test_a_service_that_was_never_collected_has_unknown_values(services: list[Service]) -> None:
    [row] = seen(search="new-one").rows
    assert {(value.value, value.n, value.tier, value.flags) for value in row.values.values()} == {(None, None, None, ("not_collected",))}
    assert {tuple(trend) for trend in row.trends.values()} == {(None,) * 12}


@pytest.mark.parametrize("period", [JANUARY, RECENT])
@pytest.mark.parametrize("metric", METRICS)
def test_services_are_sorted_by_a_metric_and_those_without_a_value_are_last(services: list[Service], period: Period, metric: str) -> None:
    for is_descending in (False, True):
        rows = seen(period, sort=metric, is_descending=is_descending).rows
        values = [row.values[metric].value for row in rows]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=is_descending)
        assert values[len(known) :] == [None] * (len(values) - len(known))
    assert {row.name for row in rows} == {"billing", "Till", "new-one"}


def test_a_page_has_fifty_services_and_one_that_does_not_exist_is_the_last(services: list[Service]) -> None:
    Service.objects.bulk_create(Service(name=f"z{number:03}") for number in range(PAGE_SIZE))
    assert len(seen().rows) == PAGE_SIZE
    second = seen(page=2)
    assert (second.page, second.page_count, second.matching, len(second.rows)) == (2, 2, PAGE_SIZE + 3, 3)
    assert names(seen(page=99)) == names(second)


def test_a_service_that_is_being_deleted_is_left_out(services: list[Service]) -> None:
    Service.objects.filter(name="Till").update(deletion_began_at=NOW)
    assert "Till" not in names(seen())


@pytest.mark.parametrize("others", [0, 40])
@pytest.mark.parametrize("sort", ["name", *METRICS])
def test_it_takes_at_most_seven_queries_however_many_services_there_are_and_one_when_nothing_has_changed(
    services: list[Service], sort: str, others: int
) -> None:
    Service.objects.bulk_create(Service(name=f"z{number:03}") for number in range(others))
    with CaptureQueriesContext(connection) as asked:
        first = seen(sort=sort)
    assert len(asked) <= MOST_QUERIES
    with CaptureQueriesContext(connection) as asked:
        second = seen(sort=sort)
    assert len(asked) == 1
    assert second == first


def test_what_is_kept_is_computed_again_when_the_rows_of_a_service_change(services: list[Service]) -> None:
    before = {row.name: row.values for row in seen(sort="failed_deployment_recovery_time").rows}
    Issue.objects.filter(service__name="billing", number=100).update(closed_at=at(12))
    with transaction.atomic():
        recompute(services[0], moment=NOW)
    found = seen(sort="failed_deployment_recovery_time")
    after = {row.name: row.values for row in found.rows}
    assert after["billing"] != before["billing"]
    assert after["Till"] == before["Till"]
    for row in found.rows:
        assert_row_is_reported(row, Service.objects.get(name=row.name), RECENT, row.values)


def test_another_environment_has_the_services_that_were_deployed_there_with_computed_values(services: list[Service]) -> None:
    stage(services[0], "staging", day=3)
    found = seen(environment="staging")
    assert found.environments == [PRODUCTION, "staging"]
    [row] = found.rows
    assert row.values["deployment_frequency"].numerator == 1
    assert_row_is_reported(row, services[0], RECENT, row.values, "staging")
    assert_row_is_reported(row, services[0], period_before(RECENT), row.earlier, "staging")
    assert row.trends["deployment_frequency"][7] == 1 / 7  # the week from 29 December
    assert names(seen(environment="moon")) == []


def test_a_page_of_another_environment_is_short_and_sorted_by_name(services: list[Service]) -> None:
    for number in range(COMPUTED_PAGE_SIZE + 1):
        stage(Service.objects.create(name=f"service-{number:02}", deployments_from="github"), "staging", day=3)
    found = seen(environment="staging", sort="change_fail_rate")
    assert names(found) == [f"service-{number:02}" for number in range(COMPUTED_PAGE_SIZE)]
    assert (found.page_count, found.matching) == (2, COMPUTED_PAGE_SIZE + 1)


def stage(service: Service, environment: str, *, day: float) -> None:
    moment = at(day)
    Deployment.objects.create(
        service=service,
        repository=repository_of(service),
        external_id=5000,
        environment=environment,
        sha="m1",
        created_at=moment,
        version_at=moment,
        statuses=[{"state": "success", "created_at": moment.isoformat(), "log_url": ""}],
        run_id=1,
        page_id=1,
    )
    with transaction.atomic():
        recompute(service, moment=NOW + timedelta(seconds=1))
