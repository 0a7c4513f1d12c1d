"""Recompute a service's metrics from its facts: as the last step of loading, with its alert rules, or because somebody asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dora_metrics.alerts import rules
from dora_metrics.derivation.collected_spans import spans_for_metrics
from dora_metrics.derivation.recompute import hold, recompute, recompute_periods
from dora_metrics.models import Service
from etl_tasks.crash_points import commit


@dataclass
class Update:
    is_recomputed: bool = False


@contextmanager
def updating_metrics(service: Service, *, run_id: int, has_new_facts: bool = True) -> Iterator[Update]:
    """Lock the service for the block, then recompute its metrics and evaluate its alert rules. Use it inside a transaction.

    `has_new_facts`: if it is False, the metrics are recomputed only if they follow from more than the facts that are stored already: if the
    block has moved the collected spans to another day, or settings have changed. `is_recomputed` of the yielded Update says so after the block.
    """
    held = hold(service)
    is_outdated = has_new_facts or held.needs_recompute
    update = Update()
    before = None if is_outdated else spans_for_metrics(service)
    yield update
    if is_outdated or spans_for_metrics(service) != before:
        recompute(service, run_id=run_id, trusts_versions=True)
        update.is_recomputed = True
    rules.evaluate(service)


def recompute_service(service_id: int) -> int:
    """Recompute all periods of the service, and return how many metrics changed. A service that is gone or being deleted has none."""
    service = Service.objects.filter(pk=service_id, deletion_began_at=None).first()
    if service is None:
        return 0
    with commit("metrics.recompute"):
        return recompute_periods(service)
