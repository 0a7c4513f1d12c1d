"""Which components work, as the operations page and /readyz see it: answers within seconds even if servers hang, and no message of a driver."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.utils.timezone import now
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from pytest_django import Settings

from etl_tasks import component_states, heartbeats, host_watch, ledger, pipeline
from etl_tasks.bounded_checks import BoundedCheck
from etl_tasks.component_states import ComponentState
from etl_tasks.models import ETLRun, Source
from log_store.cassandra import connection as cassandra_connection
from tests.etl_tasks.conftest import use_broker

pytestmark = pytest.mark.django_db
SHARED = {"transform", "load", "sweep"}


@pytest.fixture(autouse=True)
def fresh_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no check of an earlier test that still hangs answer for this test."""
    for name in ("_database", "_broker", "_log_store", "_queues"):
        monkeypatch.setattr(component_states, name, BoundedCheck())


@pytest.fixture
def hanging_port() -> Iterator[int]:
    """Yield the port of a server that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        accepted = []

        def accept() -> None:
            while True:
                try:
                    accepted.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for one in accepted:
            one.close()


@pytest.fixture
def all_is_well(billing: Source, sent_messages: object) -> None:
    moment = now()
    interval = IntervalSchedule.objects.create(every=60, period="seconds")
    PeriodicTask.objects.all().delete()
    PeriodicTask.objects.create(name="sweep", task="etl.sweep", interval=interval, last_run_at=moment)
    heartbeats.mark_seen([heartbeats.SWEEP, *map(heartbeats.name_of_queue, component_states.needed_queues())], moment)


def state(name: str) -> ComponentState:
    return {one.name: one for one in component_states.component_states()}[name]


def test_all_components_work(all_is_well: None) -> None:
    states = component_states.component_states()
    assert [one.name for one in states] == list(component_states.NAMES)
    assert [(one.name, one.sentence) for one in states if not one.is_ok] == []


def test_the_queries_do_not_grow_with_the_sources(all_is_well: None, billing: Source, django_assert_max_num_queries) -> None:
    component_states.component_states()  # reads the migrations, once
    for number in range(30):
        Source.objects.create(name=f"logs-{number}", service=billing.service, kind="logs", path="/x", log_format="json")
    with django_assert_max_num_queries(8):
        component_states.component_states()


def test_a_beat_that_sends_nothing_is_named_with_the_time(all_is_well: None, settings: Settings) -> None:
    silent_since = now() - timedelta(minutes=6)
    PeriodicTask.objects.update(last_run_at=silent_since)
    beat = state("beat")
    assert (beat.is_ok, beat.seen_at) == (False, silent_since)
    assert beat.sentence == f"it has sent no task since {silent_since:%Y-%m-%d %H:%M} UTC: start `celery -A callcentersite beat`"
    PeriodicTask.objects.update(last_run_at=None)
    assert "it has never sent a task" in state("beat").sentence
    PeriodicTask.objects.update(enabled=False)
    assert "enable an entry with an interval and the task etl.sweep" in state("beat").sentence


def test_a_slow_sweep_may_be_silent_for_longer(all_is_well: None) -> None:
    IntervalSchedule.objects.update(every=10, period="minutes")
    PeriodicTask.objects.update(last_run_at=now() - timedelta(minutes=25))
    assert state("beat").is_ok


def test_a_queue_that_no_worker_takes_is_named(all_is_well: None, billing: Source) -> None:
    Source.objects.create(name="calls", service=billing.service, kind="logs", path="/x", log_format="json", host="web2")
    workers = state("workers")
    assert not workers.is_ok
    assert workers.sentence == "no worker has taken the queue extract@web2 yet: start `celery -A callcentersite worker -Q extract@web2`"
    heartbeats.mark_seen([heartbeats.name_of_queue("extract@web2")], now())
    assert state("workers").is_ok


def test_without_a_sweep_the_worker_is_missing_or_if_beat_is_silent_unknown(all_is_well: None) -> None:
    heartbeats.mark_seen([heartbeats.SWEEP], now() - timedelta(minutes=6))
    assert (state("workers").is_ok, "-Q sweep" in state("workers").sentence) == (False, True)
    PeriodicTask.objects.update(last_run_at=now() - timedelta(minutes=6))
    assert state("workers").is_ok is None


def test_a_source_without_success_is_named(all_is_well: None, settings: Settings) -> None:
    Source.objects.update(created_at=now() - timedelta(hours=settings.ETL_OVERDUE_HOURS + 1))
    assert state("sources").sentence == "1 source has had no successful run for too long: billing"


def test_where_cron_starts_the_runs_beat_and_workers_are_not_missed(billing: Source, broker_away: None) -> None:
    PeriodicTask.objects.update(last_run_at=None)
    assert ledger.open_run(billing, trigger=ETLRun.Trigger.COMMAND)
    states = {one.name: one for one in component_states.component_states()}
    assert {name: states[name].is_ok for name in ("beat", "workers", "broker")} == {"beat": True, "workers": True, "broker": True}
    assert "commands start the runs" in states["beat"].sentence


def test_servers_that_are_away_are_named_without_what_their_drivers_say(
    all_is_well: None, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cassandra_connection.connection.drop()
    use_broker("redis://:secret-word@127.0.0.1:9/0", monkeypatch)
    settings.CASSANDRA_CONTACT_POINTS, settings.CASSANDRA_PORT = ["127.0.0.1"], 9
    states = {one.name: one for one in component_states.component_states(timeout_s=20)}
    assert (states["broker"].is_ok, states["log_store"].is_ok) == (False, False)
    assert states["broker"].sentence == "it does not work (BrokerAway): check that Redis runs, and CELERY_BROKER_URL"
    assert states["log_store"].sentence.startswith("it does not work (LogStoreUnavailable): check that Cassandra runs")
    assert "secret-word" not in f"{states} {caplog.text}"
    assert component_states.queue_lengths() is None


def test_servers_that_hang_cost_the_time_limit_and_one_thread_each(
    all_is_well: None, settings: Settings, monkeypatch: pytest.MonkeyPatch, hanging_port: int
) -> None:
    cassandra_connection.connection.drop()
    use_broker(f"redis://127.0.0.1:{hanging_port}/0", monkeypatch)
    settings.CASSANDRA_CONTACT_POINTS, settings.CASSANDRA_PORT = ["127.0.0.1"], hanging_port
    threads = threading.active_count()
    began = time.monotonic()
    for _ in range(3):
        states = {one.name: one for one in component_states.component_states(timeout_s=0.5)}
    assert time.monotonic() - began < 5
    assert states["broker"].sentence == "it has not answered within 0.5 seconds: check that Redis runs, and CELERY_BROKER_URL"
    assert not states["log_store"].is_ok
    assert states["database"].is_ok
    assert threading.active_count() - threads < 10  # Cassandra's driver has some of its own


def test_a_database_that_hangs_makes_unknown_what_is_stored_in_it(all_is_well: None, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(component_states, "_check_database", lambda: released.wait(30))
    began = time.monotonic()
    states = {one.name: one for one in component_states.component_states(timeout_s=0.2)}
    released.set()
    assert time.monotonic() - began < 3
    assert states["database"].sentence == "it has not answered within 0.2 seconds: check that the database server runs, and DATABASE_URL"
    assert {states[name].is_ok for name in ("migrations", "beat", "workers", "sources")} == {None}


def test_queues_are_counted_with_those_of_the_hosts(all_is_well: None, billing: Source, django_capture_on_commit_callbacks) -> None:
    Source.objects.create(name="calls", service=billing.service, kind="logs", path="/x", log_format="json", host="web2")
    with django_capture_on_commit_callbacks(execute=True):
        pipeline.run_source("calls")
        pipeline.run_source("billing")
    lengths = component_states.queue_lengths()
    assert lengths == {"extract": 1, "extract@web2": 1, "transform": 0, "load": 0, "sweep": 0}


def test_the_sweep_stores_which_queues_workers_take(billing: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(pipeline, "served_queues", lambda: looks.append(1) or {"extract", "load"})
    host_watch.watch()
    host_watch.watch()
    assert {"queue extract", "queue load"} <= set(heartbeats.last_seen())
    assert len(looks) == 1, "a sweep that runs every second does not ask each time"


@pytest.mark.parametrize("server", ["hangs", "is away"])
def test_a_mysql_server_that_hangs_or_is_away_is_named_in_time(
    all_is_well: None, monkeypatch: pytest.MonkeyPatch, hanging_port: int, server: str
) -> None:
    pytest.importorskip("MySQLdb")
    # The settings are those of new threads; the thread of the test keeps its connection.
    options = {"ENGINE": "django.db.backends.mysql", "HOST": "127.0.0.1", "PORT": hanging_port if server == "hangs" else 9, "USER": "etl"}
    options |= {"PASSWORD": "secret-word", "OPTIONS": {"connect_timeout": 3}}
    monkeypatch.setitem(connections.settings, "default", connections.settings["default"] | options)
    began = time.monotonic()
    database = next(one for one in component_states.component_states(timeout_s=1) if one.name == "database")
    assert time.monotonic() - began < 3
    reason = "it has not answered within 1 seconds" if server == "hangs" else "it does not work (OperationalError)"
    assert database.sentence == f"{reason}: check that the database server runs, and DATABASE_URL"


def test_tables_that_are_older_than_the_code_are_named_and_make_the_rest_unknown(all_is_well: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component_states, "_migrated_tables", set())
    MigrationRecorder.Migration.objects.filter(app="etl_tasks").delete()
    states = {one.name: one for one in component_states.component_states()}
    assert states["migrations"].sentence == "1 migration is not applied: run `manage.py migrate`"
    assert {states[name].is_ok for name in ("beat", "workers", "sources")} == {None}
