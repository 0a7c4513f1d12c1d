"""The disk of the database is full while a run stages its pages. Nothing is half-written, and the next night succeeds once there is room."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import Sum

from dora_metrics.models import Service
from etl_tasks.models import ETLRun, Source, StagedPage
from log_store.opening import open_log_store
from tests.etl_tasks.test_stages import stored
from tests.etl_tasks.test_waiting_events import night

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
EVENTS = 300
TABLE = StagedPage._meta.db_table
ROOM_BYTES = 4 << 20  # of the ten megabytes that the run would stage


@pytest.fixture
def logs(tmp_path: Path) -> Source:
    """A log source of ten megabytes, which cannot be compressed to less than six."""
    open_log_store().ensure_schema()
    source = random.Random(7)
    file = tmp_path / "app.log"
    with file.open("w") as log:
        for number in range(EVENTS):
            noise = source.randbytes(17_000).hex()
            log.write(f'{{"time": "2026-03-19T10:00:{number % 60:02}Z", "level": "info", "message": "line {number}", "noise": "{noise}"}}\n')
    service = Service.objects.create(name="shop")
    return Source.objects.create(name=f"logs-{os.urandom(4).hex()}", service=service, kind="logs", path=str(file), log_format="json")


@pytest.fixture
def make_room(logs: Source) -> Iterator[Callable[[], None]]:
    """Leave little room for staged pages. Return a function that makes room."""
    with _little_room_in_sqlite() if connection.vendor == "sqlite" else _little_room_in_mariadb() as make_room:
        yield make_room


@contextmanager
def _little_room_in_sqlite() -> Iterator[Callable[[], None]]:
    """Limit the size of the file: SQLite then reports the same error as on a full disk."""

    def limit(pages: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA max_page_count = {pages}")

    with connection.cursor() as cursor:
        page_bytes, page_count = (cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count"))
    limit(page_count + ROOM_BYTES // page_bytes)
    yield lambda: limit(2**32 - 2)
    limit(2**32 - 2)


@contextmanager
def _little_room_in_mariadb() -> Iterator[Callable[[], None]]:
    """Answer as the server does that cannot extend a table, from the fifth page on.

    A MariaDB 10.11 on a small file system that was really full ended itself while it extended the table. That is the outage of a server; this
    is the case in which it goes on and refuses.
    """
    is_full = True
    staged = 0

    def execute(go_on: Callable[..., Any], sql: str, *rest: Any) -> Any:
        nonlocal staged
        if is_full and f"INSERT INTO `{TABLE}`" in sql:
            staged += 1
            if staged > 4:
                raise OperationalError(1114, f"The table '{TABLE}' is full")
        return go_on(sql, *rest)

    def make_room() -> None:
        nonlocal is_full
        is_full = False

    with connection.execute_wrapper(execute):
        yield make_room


def test_a_full_disk_is_reported_and_the_next_night_succeeds_once_there_is_room(logs: Source, make_room: Callable[[], None]) -> None:
    with pytest.raises(CommandError, match="no room on the disk of the database") as failure:
        call_command("etl_extract")
    assert failure.value.returncode == 1
    run = ETLRun.objects.get()
    assert 0 < run.pages.count() < 10
    assert run.extracted == run.pages.aggregate(count=Sum("record_count"))["count"] < EVENTS
    [position] = run.progress.values_list("cursor__offset", flat=True)
    last = run.pages.order_by("-number").first()
    assert last
    assert position >= last.context["start"] + len(last.content)
    assert night().startswith("etl_extract 1: "), "there is still no room"
    make_room()
    assert night() == ""
    assert set(ETLRun.objects.exclude(status="failed").values_list("status", flat=True)) == {"success"}
    assert stored(logs) == sorted(f"line {number}" for number in range(EVENTS))
