"""The values that are put together from stored rows equal those that the calculators compute from the facts."""

import random
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from dora_metrics.calculators.inputs import Facts
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_values import MetricValue, values_in
from dora_metrics.calculators.periods import KINDS, RANGE, Period, local_date, period_before, period_of_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.derivation.recompute import recompute
from dora_metrics.derivation.stored_facts import linked_facts_of
from dora_metrics.models import Coverage, Delivery, MetricsSummary, Service
from dora_metrics.selectors.period_values import METRICS, PeriodValue, collected_dates_of, metric_values, stored_values
from tests.dora_metrics.calculators.examples import at
from tests.dora_metrics.example_service import NOW, a_service
from tests.dora_metrics.naive.histories import history
from tests.dora_metrics.stored_rows import store

pytestmark = pytest.mark.django_db
# Zones with daylight saving time that changes at 02:00, at midnight forwards, and at midnight backwards, and zones without.
ZONES = ("UTC", "Asia/Kolkata", "America/Los_Angeles", "Europe/Madrid", "America/Santiago", "Africa/Cairo", "Asia/Beirut")
CHUNKS, SERVICES, RANGES = 28, 4, 8
RECENT = Period(date(2026, 1, 12), date(2026, 2, 11), RANGE)
JANUARY = Period(date(2026, 1, 1), date(2026, 2, 1), "month")
LENGTHS = (1, 2, 6, 7, 8, 14, 30, 31, 45, 90)


@pytest.mark.parametrize("chunk", [0, 1, *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in range(2, CHUNKS))])
def test_it_agrees_with_the_calculators_on_random_worlds_ranges_and_zones(chunk: int, settings: Any) -> None:
    rng = random.Random(f"period values of {chunk}")
    settings.ETL_TIME_ZONE = ZONES[chunk % len(ZONES)]
    worlds = [history(seed) for seed in range(chunk * SERVICES, (chunk + 1) * SERVICES)]
    now = max(moment for _, _, moment in worlds)
    linked = [linked_facts_of(a_service_with(facts, chosen, now), environment=PRODUCTION, moment=now) for facts, chosen, _ in worlds]
    begins = [span.since.date() for facts, _, _ in worlds for span in facts.coverage.values()]
    known = 0
    for _ in range(RANGES):
        start, days = rng.choice(begins) + timedelta(days=rng.randint(-10, 60)), timedelta(days=rng.choice(LENGTHS))
        known += assert_equal(linked, [Period(start, start + days, RANGE), Period(start - days, start, RANGE)], now)
        apart = start - 2 * days
        known += assert_equal(linked, [Period(apart, apart + days, RANGE), Period(start, start + days, RANGE)], now)
    for kind in KINDS:
        period = period_of_date(rng.choice(begins) + timedelta(days=rng.randint(0, 50)), kind)
        known += assert_equal(linked, [period, period_of_date(period.start - timedelta(days=1), kind)], now)
    assert known > RANGES


def test_deliveries_of_dates_that_were_not_collected_do_not_count() -> None:
    service = a_service("billing")
    summary = MetricsSummary.objects.get(service=service)
    Coverage.objects.filter(service=service).update(since=at(2.5))
    with transaction.atomic():
        recompute(service, moment=NOW)
    summary.refresh_from_db()
    linked = linked_facts_of(service, environment=PRODUCTION, moment=NOW)
    january = Period(date(2026, 1, 1), date(2026, 1, 31), RANGE)
    assert Delivery.objects.filter(deployed_at__lt=at(2), is_bots=False).exists()
    assert assert_equal([linked], [january, period_before(january)], NOW)


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("periods", [[RECENT, period_before(RECENT)], [JANUARY, period_before(JANUARY)]])
def test_it_takes_at_most_four_queries_however_many_services_there_are(count: int, periods: list[Period]) -> None:
    services = [a_service(f"service-{number}") for number in range(count)]
    collected = {summary.pk: collected_dates_of(summary.collected) for summary in MetricsSummary.objects.filter(service__in=services)}
    with CaptureQueriesContext(connection) as asked:
        found = stored_values(collected, periods, today=date(2026, 2, 11))
    assert len(found) == count
    assert len(asked) == (4 if periods[0].kind == RANGE else 1)
    for metric in METRICS:
        with CaptureQueriesContext(connection) as asked:
            metric_values(collected, periods[0], metric)
        assert len(asked) == 1


def test_the_queries_use_an_index() -> None:
    a_service("billing")
    collected = {summary.pk: collected_dates_of(summary.collected) for summary in MetricsSummary.objects.all()}
    with CaptureQueriesContext(connection) as asked:
        stored_values(collected, [RECENT, period_before(RECENT)], today=date(2026, 2, 11))
    assert len(asked) == 4
    if connection.vendor == "sqlite":  # the plans of other databases depend on how many rows there are
        with connection.cursor() as cursor:
            for query in asked.captured_queries:
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                assert [row[3] for row in cursor.fetchall() if row[3].startswith("SCAN")] == []


def a_service_with(facts: Facts, chosen: Settings, now: datetime) -> Service:
    names = ("deployments_from", "production", "workflow", "prereleases", "incident_label", "hotfix", "look_back_hours")
    service = Service.objects.create(name=f"service-{Service.objects.count()}", **{name: getattr(chosen, name) for name in names})
    store(service, storable(facts))
    with transaction.atomic():
        recompute(service, moment=now)
    return service


def storable(facts: Facts) -> Facts:
    """A stored commit of a pull request has a sha and a date. The random histories have more of one than of the other."""
    pulls = tuple(
        replace(pull, commit_shas=pull.commit_shas[: len(pull.authored_at)], authored_at=pull.authored_at[: len(pull.commit_shas)])
        for pull in facts.pull_requests
    )
    return replace(facts, pull_requests=pulls)


def assert_equal(linked: list[LinkedFacts], periods: list[Period], now: datetime) -> int:
    """Compare the values of all services in the periods. `linked`: the facts of each service. Returns how many values are known."""
    zone = linked[0].settings.time_zone
    today = local_date(now, zone)
    collected = {summary.pk: collected_dates_of(summary.collected) for summary in MetricsSummary.objects.order_by("pk")}
    stored = stored_values(collected, periods, today=today)
    for metric in METRICS:
        alone = metric_values(collected, periods[0], metric)
        assert alone == {service: stored[service][0][metric].value for service in collected}, f"{metric} in {periods[0]}"
    known = 0
    for service, facts in zip(collected, linked, strict=True):
        for period, ours in zip(periods, stored[service], strict=True):
            theirs = {value.metric: shown(value) for value in values_in(facts, period)}
            known += len(theirs)
            unknown = PeriodValue(flags=("not_begun" if period.start > today else "not_collected",))
            assert ours == {metric: theirs.get(metric, unknown) for metric in METRICS}, f"{period} of service {service} in {zone}"
    return known


def shown(value: MetricValue) -> PeriodValue:
    return PeriodValue(
        value=value.value,
        n=value.n,
        numerator=value.numerator,
        denominator=value.denominator,
        p50=value.p50,
        p75=value.p75,
        p90=value.p90,
        tier=value.tier,
        is_partial=value.is_partial,
        flags=value.quality_flags,
    )
