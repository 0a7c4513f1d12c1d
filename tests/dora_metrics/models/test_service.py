"""A changed setting marks a service whose stored numbers follow the former settings; recomputing all periods removes the mark."""

from datetime import date

import pytest
from django.db import transaction

from dora_metrics.derivation.recompute import recompute, recompute_periods
from dora_metrics.models import DORAMetric, Service
from dora_metrics.models.service import NOT_SETTINGS
from tests.dora_metrics.example_service import NOW, a_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def billing() -> Service:
    return a_service("billing")


def is_marked(service: Service) -> bool:
    return Service.objects.get(pk=service.pk).needs_recompute


def change(service: Service, **settings: object) -> None:
    service = Service.objects.get(pk=service.pk)
    for name, value in settings.items():
        setattr(service, name, value)
    service.save()


@pytest.mark.parametrize("settings", [{"production": "^live$"}, {"bots": ["renovate"]}, {"look_back_hours": 1}, {"log_incidents": False}])
def test_a_changed_setting_marks_the_service(billing: Service, settings: dict[str, object]) -> None:
    change(billing, **settings)
    assert is_marked(billing)


def test_a_new_name_or_the_same_settings_leave_no_mark(billing: Service) -> None:
    change(billing, name="invoices")
    assert not is_marked(billing)


def test_a_service_without_numbers_is_not_marked() -> None:
    service = Service.objects.create(name="new")
    change(service, production="^live$")
    assert not is_marked(service)


def test_every_other_column_counts_as_a_setting() -> None:
    assert {field.attname for field in Service._meta.concrete_fields} >= NOT_SETTINGS


def test_the_mark_goes_when_all_periods_are_recomputed_and_not_before(billing: Service) -> None:
    change(billing, look_back_hours=1)
    with transaction.atomic():
        recompute_periods(billing, start=date(2026, 1, 5), moment=NOW)
    assert is_marked(billing)
    with transaction.atomic():
        recompute_periods(billing, moment=NOW)
    assert not is_marked(billing)


def test_the_next_load_recomputes_all_periods_of_a_marked_service(billing: Service) -> None:
    # A value that no differing fact leads to: only measuring every period again finds it.
    DORAMetric.objects.filter(metric="change_fail_rate", period="month", period_start=date(2026, 1, 1)).update(value=0.5)
    Service.objects.filter(pk=billing.pk).update(needs_recompute=True)
    with transaction.atomic():
        assert recompute(billing, run_id=2, moment=NOW) > 0
    assert not is_marked(billing)
