"""Somebody asks for a recompute: a worker does it, from the stored facts."""

from collections.abc import Callable
from typing import Any

import pytest

from dora_metrics.models import DORAMetric, Service
from etl_tasks import pipeline, tasks
from etl_tasks.loaders.metrics import recompute_service
from tests.dora_metrics.example_service import a_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def billing() -> Service:
    service = a_service("billing")
    service.look_back_hours = 1
    service.save()
    return service


def test_the_message_has_the_id_and_the_worker_recomputes_everything(
    billing: Service, sent_messages: Callable[[], list[tuple[str, list[Any]]]], django_capture_on_commit_callbacks
) -> None:
    DORAMetric.objects.all().delete()
    with django_capture_on_commit_callbacks(execute=True):
        pipeline.send_recompute(billing)
    assert sent_messages() == [("etl.recompute", [billing.pk])]
    assert tasks.recompute(billing.pk) == DORAMetric.objects.count() > 0
    billing.refresh_from_db()
    assert not billing.needs_recompute


def test_it_is_refused_at_once_if_the_broker_cannot_be_reached(billing: Service, broker_away: None) -> None:
    with pytest.raises(pipeline.BrokerAway, match="check CELERY_BROKER_URL"):
        pipeline.send_recompute(billing)


def test_a_service_that_is_gone_is_left_alone(db: None) -> None:
    assert recompute_service(12345) == 0
