"""Whatever bytes a log file has, no exception escapes a stage, and each event is in the log store or an open letter that says what is wrong.

The bytes go the whole way: followed in a file, masked, cut into pages, read in their format, and loaded. FUZZ_EXAMPLES=3000 tries so many files.
"""

import gzip
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from etl_tasks import inline, ledger
from etl_tasks.models import DeadLetter, ETLRun, Source
from log_store.opening import open_log_store
from log_store.store import LogQuery
from tests.etl_tasks.sources.logs.formats.test_properties import PIECES, READINGS
from tests.fuzzing import ODD_TEXTS, ODD_TIMES, examples

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
ODD = st.sampled_from([text.encode("utf-8", "surrogatepass") for text in (*ODD_TEXTS, *ODD_TIMES)])
DEEP = st.sampled_from([b"[" * 3000, b'{"a":' * 3000, b'{"time": 1e400, "n": ' + b"9" * 5000 + b"}", b"\xef\xbb\xbf", b"x" * 70_000])
LINES = st.lists(st.lists(st.one_of(PIECES, PIECES, ODD, st.binary(max_size=8), DEEP), max_size=12).map(b"".join), max_size=12)


@pytest.fixture(autouse=True)
def _sql_store(settings: Any) -> None:
    settings.CASSANDRA_CONTACT_POINTS = []  # its own tests compare it with the SQL store, and rolling back is faster than deleting


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("name", READINGS)
@examples(5)
@given(lines=LINES, is_strict=st.booleans(), is_compressed=st.booleans(), ends=st.booleans())
def test_each_event_of_a_damaged_log_is_stored_or_a_letter(
    billing: Source, folder: Path, name: str, lines: list[bytes], is_strict: bool, is_compressed: bool, ends: bool
) -> None:
    reading = READINGS[name]
    with transaction.atomic():
        source = Source.objects.create(
            name="damaged",
            service=billing.service,
            kind="logs",
            path=f"{folder}/app.log*",
            log_format=reading.log_format,
            log_pattern=reading.pattern,
            log_time_zone=reading.time_zone,
            deploy_pattern=reading.deploy_pattern,
            is_strict=is_strict,
        )
        body = b"\n".join(lines) + (b"\n" if ends else b"")
        file = folder / ("app.log.1.gz" if is_compressed else "app.log")
        file.write_bytes(gzip.compress(body) if is_compressed else body)
        os.utime(file, (1_772_366_400, 1_772_366_400))
        try:
            run = night(source)
            assert night(source).extracted == 0 or run.status == "failed"
        finally:
            file.unlink()
        transaction.set_rollback(True)


def night(source: Source) -> ETLRun:
    """Run one night, and check that it has lost nothing."""
    run = ledger.open_run(source, trigger="shell")
    assert run
    with suppress(inline.StageFailed):
        inline.run_remaining_stages(run.pk)
    run.refresh_from_db()
    assert run.status in ("success", "partial") or "cannot be read: the source has changed" in run.error
    letters = list(DeadLetter.objects.filter(run=run, state="open").exclude(kind="stage"))
    if run.status != "failed":
        assert run.extracted == run.loaded + run.skipped + run.dead_lettered
        assert sum(letter.attempts for letter in letters) == run.dead_lettered
        assert open_log_store().count(source.name, FIRST, LAST) >= run.loaded
        assert all(letter.error for letter in letters)
        list(open_log_store().read(LogQuery(source.name, FIRST, LAST), limit=100).events)
    return run
