"""What is explained from the stored rows equals what is explained from the facts that the rows were derived from."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given

from dora_metrics import explain
from dora_metrics.calculators.linked_facts import LinkedFacts, link_facts
from dora_metrics.calculators.metric_values import covered_periods, metrics_of
from dora_metrics.calculators.periods import Period, collected_part, period_of_date, periods_between
from dora_metrics.derivation.derived_rows import attempt_row, delivery_row, incident_row
from dora_metrics.derivation.recompute import recompute
from dora_metrics.derivation.stored_facts import linked_facts_of
from dora_metrics.derivation.stored_links import linked_from_rows, stored_links_of
from dora_metrics.models import Attempt, Change, Delivery, Incident, Service
from tests.dora_metrics.calculators.examples import at, covering, deployment, facts, line, log_hours, logged
from tests.dora_metrics.calculators.random_facts import now, patient, services, settings
from tests.dora_metrics.example_service import EVENTFUL, NOW, a_service
from tests.dora_metrics.stored_rows import store


def stored_and_read(row):
    """Return the row as a database gives it back: JSON has lists and texts only."""
    lists = {name: json.loads(json.dumps(value)) for name, value in row.items() if isinstance(value, (list, dict))}
    return row | lists


def rebuilt(linked: LinkedFacts) -> LinkedFacts:
    """Turn the linked facts into rows and back."""
    names = (
        {one.attempt.repository for one in linked.attempts}
        | {one.repository for one in linked.changes}
        | {one.incident.repository for one in linked.incidents}
    )
    ids = {name: number for number, name in enumerate(sorted(names - {""}) or ["acme/billing"], start=1)}
    # A service has a qualifier in its keys if it has several repositories.
    is_qualified = any("#" in change.key for change in linked.changes)
    names_by_id = {number: name for name, number in ids.items()} | {None: ""} | ({99: "acme/none"} if is_qualified else {})
    deliveries = []
    for one in linked.changes:
        pull = one.pull
        plain = {name: getattr(pull, name) for name in ("number", "author", "author_is_bot", "base_branch", "head_sha", "merge_sha", "title")}
        times = {name: getattr(pull, name) for name in ("created_at", "merged_at", "closed_at")}
        change = Change(pk=pull.number, repository_id=ids.get(one.repository), url=pull.origin.url, page_id=pull.origin.page_id, **plain, **times)
        row = stored_and_read(delivery_row(one, pull.number))
        deliveries.append(Delivery(change=change, **{name: value for name, value in row.items() if name != "change_id"}))
    return linked_from_rows(
        linked.settings,
        names_by_id,
        source=linked.source,
        coverage=linked.coverage,
        attempts=[Attempt(**stored_and_read(attempt_row(one, linked, ids))) for one in reversed(linked.attempts)],
        deliveries=deliveries,
        incidents=[Incident(**stored_and_read(incident_row(one, ids))) for one in reversed(linked.incidents)],
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@patient
@given(services, settings)
def test_every_metric_has_the_same_numbers_and_members_after_the_way_through_the_rows(known, chosen):
    linked = link_facts(known, chosen, now=now)
    for metric, again in zip(metrics_of(linked), metrics_of(rebuilt(linked)), strict=True):
        if metric.coverage:
            for period in covered_periods(metric.coverage, chosen.time_zone):
                part = collected_part(period, metric.coverage, chosen.time_zone)
                assert again.measure(period, part) == metric.measure(period, part)
                assert again.members(part) == metric.members(part)


def all_periods() -> list[Period]:
    found = [period for kind in ("day", "week", "month") for period in periods_between(at(-6).date(), at(42).date(), kind)]
    return [*found, Period(at(-20).date(), at(60).date(), "range"), Period(at(3).date(), at(9).date(), "range")]


WITH_LOGS = replace(
    EVENTFUL,
    log_hours=(
        *log_hours(at(7, hours=2), *[(40, 20)] * 20, *[(40, 0)] * 20),
        *log_hours(at(10, hours=2), *[(40, 20)] * 6, source="worker"),
        *log_hours(at(38, hours=23, minutes=50), *[(40, 30)] * 30),
    ),
)
FROM_LOGS = facts(
    log_deployments=(logged(1, at(1), sha="m1"), logged(2, at(2), state="failed"), logged(3, at(3), sha="m3")),
    deployments=(deployment(1, "a", at(2), environment="staging"),),
    parents=line("a", "m1", "m3"),
    coverage=covering(at(-5), at(41)),
)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "known", [EVENTFUL, WITH_LOGS, FROM_LOGS, facts(coverage=covering(at(0), at(30)))], ids=["eventful", "logs", "from logs", "empty"]
)
@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
def test_the_stored_rows_explain_every_period_like_the_facts(known, zone, settings):
    settings.ETL_TIME_ZONE = zone
    service = a_service("billing", known)
    linked = linked_facts_of(service, environment="production", moment=NOW)
    for period in all_periods():
        stored = stored_links_of(service, [period], moment=NOW)
        expected, found = (explain.explained_values(one, period, moment=NOW) for one in (linked, stored))
        assert stored.source == linked.source
        for metric in explain.METRICS:
            assert (found[metric].measures, found[metric].members) == (expected[metric].measures, expected[metric].members), (metric, period)
            assert found[metric].arithmetic == expected[metric].arithmetic


@pytest.mark.django_db
@pytest.mark.parametrize("known", [EVENTFUL, WITH_LOGS, FROM_LOGS], ids=["eventful", "logs", "from logs"])
@pytest.mark.parametrize("source", ["auto", "github", "logs", "releases", "workflows", "pulls"])
def test_another_environment_has_the_same_values_without_the_facts_that_are_not_read(known, source):
    service = a_service("billing", known)
    staged = tuple(deployment(50 + number, sha, at(3 + number), environment="staging") for number, sha in enumerate(("a", "m1", "m2")))
    store(service, facts(deployments=staged, log_deployments=(logged(9, at(5), environment="staging", sha="m1"),), coverage={}))
    service.deployments_from = source
    service.save()
    recompute(service, moment=NOW)
    linked = linked_facts_of(service, environment="staging", moment=NOW)
    period = Period(at(-20).date(), at(60).date(), "range")
    found = explain.links_of(service, [period], environment="staging", moment=NOW)
    assert (found.source, found.coverage) == (linked.source, linked.coverage)
    expected, shown = (explain.explained_values(one, period, moment=NOW) for one in (linked, found))
    for metric in explain.METRICS:
        assert (shown[metric].measures, shown[metric].members) == (expected[metric].measures, expected[metric].members)


@pytest.mark.django_db
def test_two_periods_are_read_together():
    service = a_service("billing", WITH_LOGS)
    week, other = period_of_date(at(9).date(), "week"), period_of_date(at(38).date(), "month")
    both = stored_links_of(service, [week, other], moment=NOW)
    for period in (week, other):
        alone = explain.explained_values(stored_links_of(service, [period], moment=NOW), period, moment=NOW)
        together = explain.explained_values(both, period, moment=NOW)
        assert {name: (one.measures, one.members) for name, one in alone.items()} == {
            name: (one.measures, one.members) for name, one in together.items()
        }


@pytest.mark.django_db
def test_the_number_of_queries_does_not_grow_with_the_facts():
    service = a_service("billing", WITH_LOGS)
    period = Period(at(-20).date(), at(60).date(), "range")
    few = queries_of(service, period)
    store(service, facts(deployments=tuple(deployment(100 + number, "m7", at(40) + timedelta(minutes=number)) for number in range(50)), coverage={}))
    recompute(service, moment=NOW)
    assert queries_of(service, period) == few <= 8


def queries_of(service: Service, period: Period) -> int:
    with CaptureQueriesContext(connection) as captured:
        stored_links_of(service, [period], moment=NOW)
    return len(captured)
