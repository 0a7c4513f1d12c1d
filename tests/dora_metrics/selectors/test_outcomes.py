"""What became of a GitHub deployment: its statuses decide, by the rule that the metrics use."""

from typing import Any

import pytest

from dora_metrics.models import Deployment, Service, WorkflowRun
from dora_metrics.selectors import Outcome, outcomes_of
from tests.dora_metrics.calculators.examples import at
from tests.dora_metrics.stored_rows import repository_of

pytestmark = pytest.mark.django_db
LOG = "https://github.com/acme/billing/actions/runs/77/job/1"


@pytest.fixture
def billing() -> Service:
    return Service.objects.create(name="billing")


def deployment(service: Service, *states: str, number: int = 1, log_url: str = "") -> Deployment:
    statuses = [{"state": state, "created_at": at(0, seconds=second).isoformat(), "log_url": log_url} for second, state in enumerate(states)]
    fields: dict[str, Any] = {"service": service, "repository": repository_of(service), "run_id": 1, "page_id": 1, "created_at": at(0)}
    return Deployment.objects.create(**fields, external_id=number, environment="production", sha="a", version_at=at(0), statuses=statuses)


def run(service: Service, conclusion: str) -> None:
    times = {"created_at": at(0), "started_at": at(0), "version_at": at(0)}
    fields: dict[str, Any] = {"service": service, "repository": repository_of(service), "run_id": 1, "page_id": 1, "sha": "a", "attempt": 1}
    WorkflowRun.objects.create(**fields, **times, external_id=77, conclusion=conclusion)


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        (("in_progress", "success", "inactive"), Outcome.SUCCEEDED),
        (("failure", "success"), Outcome.SUCCEEDED),
        (("in_progress", "failure", "inactive"), Outcome.FAILED),
        (("failure", "in_progress"), Outcome.UNFINISHED),
        (("inactive",), Outcome.UNFINISHED),
        ((), Outcome.UNFINISHED),
    ],
)
def test_statuses_decide(billing: Service, states: tuple[str, ...], outcome: Outcome) -> None:
    row = deployment(billing, *states)
    assert outcomes_of([row]) == {row.pk: outcome}


@pytest.mark.parametrize(("conclusion", "outcome"), [("cancelled", Outcome.CANCELLED), ("failure", Outcome.FAILED)])
def test_a_failure_of_a_cancelled_workflow_run_does_not_count(billing: Service, conclusion: str, outcome: Outcome) -> None:
    run(billing, conclusion)
    row = deployment(billing, "failure", log_url=LOG)
    assert outcomes_of([row]) == {row.pk: outcome}


def test_many_take_one_query(billing: Service, django_assert_num_queries) -> None:
    run(billing, "cancelled")
    rows = [deployment(billing, "failure", number=number, log_url=LOG) for number in range(20)]
    with django_assert_num_queries(1):
        assert set(outcomes_of(rows).values()) == {Outcome.CANCELLED}
    with django_assert_num_queries(0):
        outcomes_of([])
