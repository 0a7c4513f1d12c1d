"""The versions of Cassandra's schema. Each test has a keyspace of its own."""

import multiprocessing
import os
import traceback
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from log_store.opening import open_log_store
from log_store.store import LogStoreUnavailable
from tests.log_store.conftest import CONTACT_POINTS
from tests.log_store.log_events import events, everything

if not CONTACT_POINTS:
    pytest.skip("CASSANDRA_CONTACT_POINTS is unset: the Cassandra store is NOT TESTED here", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from log_store.cassandra import schema
    from log_store.cassandra.connection import connection

TABLES = {"log", "parts", "days", "schema_version"}
FIRST, SECOND = (f"CREATE TABLE IF NOT EXISTS {{keyspace}}.{name} (name text PRIMARY KEY)" for name in ("first", "second"))


class Killed(BaseException):
    """Simulates that the process is killed."""


class RecordingSession:
    """The real session. It records the statements that write, and raises Killed instead of executing one that contains `killed_at`."""

    def __init__(self, killed_at: str | None = None) -> None:
        self.killed_at = killed_at
        self.written: list[str] = []

    def execute(self, statement: str, *args: Any, **options: Any) -> Any:
        if self.killed_at and self.killed_at in statement:
            raise Killed
        if not statement.startswith("SELECT"):
            self.written.append(statement)
        return connection.session().execute(statement, *args, **options)


@pytest.fixture
def new_keyspace(settings: Settings) -> Iterator[str]:
    """Set the name of a keyspace that does not exist yet, and return it."""
    settings.CASSANDRA_CONTACT_POINTS = CONTACT_POINTS.split(",")
    name = settings.CASSANDRA_KEYSPACE = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    connection.session().execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)


def tables(keyspace: str) -> set[str]:
    rows = connection.session().execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (keyspace,))
    return {row.table_name for row in rows}


def test_a_new_keyspace_gets_its_tables_and_version_1(new_keyspace: str) -> None:
    open_log_store().ensure_schema()

    assert tables(new_keyspace) == TABLES
    assert schema.version(connection.session()) == 1


def test_a_second_run_writes_nothing(new_keyspace: str) -> None:
    schema.upgrade(RecordingSession())
    second = RecordingSession()

    schema.upgrade(second)

    assert second.written == []


def test_a_new_step_is_run_once_and_the_events_stay(new_keyspace: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_log_store()
    store.ensure_schema()
    written = events(source, 3)
    store.write(written)
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, (FIRST, SECOND)))
    first_run, second_run = RecordingSession(), RecordingSession()

    schema.upgrade(first_run)
    schema.upgrade(second_run)

    assert [statement.partition(" (")[0].rpartition(".")[2] for statement in first_run.written] == ["first", "second", "schema_version"]
    assert second_run.written == []
    assert tables(new_keyspace) == {*TABLES, "first", "second"}
    assert schema.version(connection.session()) == 2
    assert store.read(everything(source)).events == written[::-1]


@pytest.mark.parametrize("killed_at", [".first", ".second", "INSERT"])
def test_a_step_that_was_killed_is_finished_by_the_next_run(new_keyspace: str, monkeypatch: pytest.MonkeyPatch, killed_at: str) -> None:
    schema.upgrade(connection.session())
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, (FIRST, SECOND)))
    with pytest.raises(Killed):
        schema.upgrade(RecordingSession(killed_at))
    assert schema.version(connection.session()) == 1

    schema.upgrade(connection.session())

    assert tables(new_keyspace) == {*TABLES, "first", "second"}
    assert schema.version(connection.session()) == 2


def test_a_first_run_that_was_killed_is_finished_by_the_next_one(new_keyspace: str) -> None:
    with pytest.raises(Killed):
        schema.upgrade(RecordingSession(".days"))

    open_log_store().ensure_schema()

    assert tables(new_keyspace) == TABLES
    assert schema.version(connection.session()) == 1


def test_a_newer_version_is_refused(new_keyspace: str) -> None:
    open_log_store().ensure_schema()
    connection.session().execute(f"INSERT INTO {new_keyspace}.schema_version (name, version) VALUES ('log_store', 2)")

    with pytest.raises(LogStoreUnavailable, match=f"{new_keyspace} has version 2 .* update this installation"):
        open_log_store().ensure_schema()
    with pytest.raises(CommandError, match="update this installation") as refused:
        call_command("init_log_store")
    assert refused.value.returncode == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_several_processes_may_make_the_schema_at_once(new_keyspace: str) -> None:
    context = multiprocessing.get_context("fork")
    makers = [context.Process(target=_make_and_exit) for _ in range(4)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(60)

    assert [maker.exitcode for maker in makers] == [0, 0, 0, 0]
    assert tables(new_keyspace) == TABLES


def _make_and_exit() -> None:
    try:
        open_log_store().ensure_schema()
        os._exit(0)
    except BaseException:  # noqa: BLE001 (the child process must end here in any case)
        traceback.print_exc()
        os._exit(1)
