"""Cursors move forward only, together with the spans of time that are collected."""

import threading
from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from dora_metrics.models import Coverage
from etl_tasks import cursors, ledger
from etl_tasks.models import Cursor, ETLRun, Source
from tests.conftest import END

SPAN = {"collected_from": "2026-01-01T00:00:00+00:00", "collected_until": END.isoformat()}


def stored(source: Source) -> dict[str, tuple[object, int]]:
    rows = Cursor.objects.filter(source=source).values_list("stream", "position", "version")
    return {stream: (position, version) for stream, position, version in rows}


@pytest.mark.django_db
def test_only_a_cursor_with_the_version_at_which_the_run_began_moves(billing: Source) -> None:
    began_at = {"issues": 0, "commits": 0}
    assert cursors.move(billing, {"issues": {"top": 1}, "commits": {"top": 1}}, began_at=began_at).keys() == began_at.keys()
    late = cursors.move(billing, {"issues": {"top": 2}, "commits": {"top": 2}}, began_at={"issues": 0, "commits": 1})
    assert late == {"commits": {"top": 2}}
    assert stored(billing) == {"issues": ({"top": 1}, 1), "commits": ({"top": 2}, 2)}


@pytest.mark.django_db
def test_a_cursor_with_a_span_stores_it_and_moves_it_later(billing: Source) -> None:
    cursors.move(billing, {"issues": SPAN, "commits": {"top": 1}}, began_at={"issues": 0, "commits": 0})
    later = {**SPAN, "collected_until": "2026-12-01T00:00:00+00:00"}
    cursors.move(billing, {"issues": later}, began_at={"issues": 1})
    (row,) = Coverage.objects.filter(service=billing.service)
    assert (row.stream, row.since.isoformat(), row.until.isoformat()) == ("issues", *later.values())


@pytest.fixture
def opener(billing: Source) -> Iterator[threading.Thread]:
    """A thread that opens a run of the source, as a person does while another run ends."""
    found: list[object] = []

    def open_run() -> None:
        try:
            found.append(ledger.open_run(billing, trigger="shell"))
        except Exception as exc:  # noqa: BLE001
            found.append(exc)
        finally:
            connection.close()

    thread = threading.Thread(target=open_run)
    thread.found = found  # type: ignore[attr-defined]
    yield thread
    thread.join()


@pytest.mark.skipif(connection.vendor != "mysql", reason="SQLite locks the whole database")
@pytest.mark.django_db(transaction=True)
def test_whoever_opens_a_run_while_another_ends_waits_and_is_in_no_deadlock(billing: Source, opener: threading.Thread) -> None:
    """Failed before: error 1213, in the process of the person or in the stage."""
    with transaction.atomic():
        cursors.move(billing, {"a new stream": {"top": 1}}, began_at={"a new stream": 0})
        opener.start()
        waits = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        with connection.cursor() as cursor:
            for _ in range(100):
                cursor.execute(waits)
                if cursor.fetchone()[0] or not opener.is_alive():
                    break
                opener.join(0.1)
        Source.objects.filter(pk=billing.pk).update(is_private=True)
    opener.join()
    (run,) = opener.found  # type: ignore[attr-defined]
    assert isinstance(run, ETLRun)
