"""The last step of loading: recompute a service's metrics from its facts, and evaluate its alert rules."""

from collections.abc import Iterator
from contextlib import contextmanager

from dora_metrics.alerts import rules
from dora_metrics.derivation.recompute import hold, recompute
from dora_metrics.models import Service


@contextmanager
def updating_metrics(service: Service, *, run_id: int) -> Iterator[None]:
    """Lock the service for the block, then recompute its metrics and evaluate its alert rules. Use it inside a transaction."""
    hold(service)
    yield
    recompute(service, run_id=run_id)
    rules.evaluate(service)
