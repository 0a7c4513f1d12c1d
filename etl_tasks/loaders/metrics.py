"""Recompute a service's metrics from its facts: as the last step of loading, with its alert rules, or because somebody asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from dora_metrics.alerts import rules
from dora_metrics.derivation.recompute import hold, recompute, recompute_periods
from dora_metrics.models import Service


@contextmanager
def updating_metrics(service: Service, *, run_id: int) -> Iterator[None]:
    """Lock the service for the block, then recompute its metrics and evaluate its alert rules. Use it inside a transaction."""
    hold(service)
    yield
    recompute(service, run_id=run_id)
    rules.evaluate(service)


def recompute_service(service_id: int) -> int:
    """Recompute all periods of the service, and return how many metrics changed. A service that is gone or being deleted has none."""
    service = Service.objects.filter(pk=service_id, deletion_began_at=None).first()
    if service is None:
        return 0
    with transaction.atomic():
        return recompute_periods(service)
