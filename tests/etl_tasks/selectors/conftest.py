"""Sources and runs with chosen times and outcomes."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine

from dora_metrics.models import Service
from etl_tasks import ledger
from etl_tasks.models import ETLRun, Source

NIGHT = datetime(2026, 11, 26, 1, tzinfo=UTC)
MORNING = NIGHT + timedelta(hours=7)
AddSource = Callable[..., Source]
AddRun = Callable[..., ETLRun]


@pytest.fixture
def add_source(db: None) -> AddSource:
    def add(name: str, **columns: Any) -> Source:
        service, _ = Service.objects.get_or_create(name="shop")
        source = Source.objects.create(name=name, service=service, kind="github", repository=f"acme/{name}", **columns)
        Source.objects.filter(pk=source.pk).update(created_at=NIGHT - timedelta(days=60))
        source.refresh_from_db()
        return source

    return add


@pytest.fixture
def add_run(db: None) -> AddRun:
    """Return a function that stores a run as the ledger would have written it at that time."""

    def add(
        source: Source, status: str = "success", *, at: datetime = NIGHT, seconds: float = 60, night: date | None = None, **options: Any
    ) -> ETLRun:
        with time_machine.travel(at, tick=False) as clock:
            run = ledger.open_run(source, trigger="beat" if night else "command", logical_date=night, options=options)
            assert run
            if status == "queued":
                return run
            held = ledger.claim(run.pk, "extract", "worker")
            clock.shift(seconds)
            if status == "postponed":
                ledger.postpone(held, at + timedelta(hours=2))
            elif status != "running":
                ledger.close(run.pk, status)
        run.refresh_from_db()
        return run

    return add
