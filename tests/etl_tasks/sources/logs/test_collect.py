"""The adapter of log sources reads and masks one page in advance, and no more."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dora_metrics.models import Service
from etl_tasks.models import Source
from etl_tasks.sources.adapter import Job, Page
from etl_tasks.sources.logs import collect
from log_store.event import SEGMENT_BYTES

PAGES = 5


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that masked a page."""
    threads: list[str] = []
    mask = collect.mask

    def recording(body: bytes) -> bytes:
        threads.append(threading.current_thread().name)
        return mask(body)

    monkeypatch.setattr(collect, "mask", recording)
    return threads


@pytest.fixture
def source(tmp_path: Path, settings: Any, db: None) -> Source:
    settings.LOG_ROOTS = [str(tmp_path)]
    line = b'{"level": "info", "message": "a call was answered"}\n'
    (tmp_path / "calls.log").write_bytes(line * (PAGES * SEGMENT_BYTES // len(line)))
    service = Service.objects.create(name="billing")
    return Source.objects.create(name="calls", service=service, kind=Source.Kind.LOGS, path=f"{tmp_path}/*.log", log_format="json")


def test_the_next_page_is_read_and_masked_while_one_is_stored(source: Source, masked: list[str]) -> None:
    pages = collect.LogFiles().pages(Job(source, {}, {}))
    bodies = []
    for number in range(1, PAGES + 1):
        page = next(pages)
        assert isinstance(page, Page)
        bodies.append(page.body)
        waited_until = time.monotonic() + 10
        while len(masked) < min(number + 1, PAGES) and time.monotonic() < waited_until:
            time.sleep(0.01)
        assert len(masked) == min(number + 1, PAGES)
    assert b"".join(bodies) == Path(source.path.replace("*", "calls")).read_bytes()
    assert threading.current_thread().name not in masked


def test_no_thread_is_left_when_a_run_ends_before_the_last_page(source: Source, masked: list[str]) -> None:
    before = threading.active_count()
    pages = collect.LogFiles().pages(Job(source, {}, {}))
    next(pages)
    pages.close()  # type: ignore[attr-defined]  # it is a generator
    assert threading.active_count() == before
    assert len(masked) <= 2
