"""Which changes of the collected spans may change metrics although no fact has changed."""

from datetime import UTC, datetime

import pytest
from pytest_django import Settings

from dora_metrics.derivation.collected_spans import spans_for_metrics
from dora_metrics.models import Coverage, Incident, Service

pytestmark = pytest.mark.django_db
SINCE = datetime(2026, 1, 1, 8, tzinfo=UTC)


@pytest.fixture
def service(db: None) -> Service:
    found = Service.objects.create(name="billing")
    Coverage.objects.create(service=found, stream="log_events", is_of_logs=True, since=SINCE, until=datetime(2026, 3, 20, 1, tzinfo=UTC))
    return found


def changes(service: Service, **values: datetime) -> bool:
    before = spans_for_metrics(service)
    Coverage.objects.filter(service=service).update(**values)
    return spans_for_metrics(service) != before


def test_a_later_hour_of_the_same_day_changes_nothing(service: Service) -> None:
    assert not changes(service, until=datetime(2026, 3, 20, 23, 59, tzinfo=UTC))


def test_a_new_day_and_another_beginning_do(service: Service) -> None:
    assert changes(service, until=datetime(2026, 3, 21, 0, 1, tzinfo=UTC))
    assert changes(service, since=SINCE.replace(hour=9))


def test_the_day_is_that_of_the_business_s_zone(service: Service, settings: Settings) -> None:
    settings.ETL_TIME_ZONE = "Asia/Kolkata"  # there 18:30 UTC is midnight
    assert not changes(service, until=datetime(2026, 3, 20, 18, 29, tzinfo=UTC))
    assert changes(service, until=datetime(2026, 3, 20, 18, 31, tzinfo=UTC))


def test_on_the_first_day_of_a_span_every_minute_counts_because_spans_may_begin_to_overlap(service: Service) -> None:
    assert changes(service, since=datetime(2026, 3, 20, 0, 30, tzinfo=UTC), until=datetime(2026, 3, 20, 1, tzinfo=UTC))
    assert changes(service, until=datetime(2026, 3, 20, 1, 15, tzinfo=UTC))


def test_while_an_incident_of_the_logs_is_open_every_minute_counts_because_it_may_end(service: Service) -> None:
    incident = Incident.objects.create(service=service, key="logs", started_at=SINCE, page_id=1)
    assert changes(service, until=datetime(2026, 3, 20, 2, tzinfo=UTC))
    Incident.objects.filter(pk=incident.pk).update(number=7)
    assert not changes(service, until=datetime(2026, 3, 20, 3, tzinfo=UTC))


def test_a_stream_that_was_not_collected_before_changes_them(service: Service) -> None:
    before = spans_for_metrics(service)
    Coverage.objects.create(service=service, stream="log_deployments", is_of_logs=True, since=SINCE, until=SINCE)
    assert spans_for_metrics(service) != before
