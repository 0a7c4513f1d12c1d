from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils.timezone import now
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from etl_tasks import component_states, heartbeats, pipeline
from etl_tasks.bounded_checks import BoundedCheck
from etl_tasks.doctor import Finding, Level, server_checks
from etl_tasks.models import Source

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_database", "_broker", "_log_store", "_queues"):
        monkeypatch.setattr(component_states, name, BoundedCheck())


@pytest.fixture
def served(billing: Source, sent_messages: object, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets which queues the workers take."""
    moment = now()
    PeriodicTask.objects.all().delete()
    interval = IntervalSchedule.objects.create(every=60, period="seconds")
    PeriodicTask.objects.create(name="sweep", task="etl.sweep", interval=interval, last_run_at=moment)
    heartbeats.mark_seen([heartbeats.SWEEP, *map(heartbeats.name_of_queue, component_states.needed_queues())], moment)
    return lambda *queues: monkeypatch.setattr(pipeline, "served_queues", lambda: set(queues))


def by_name(findings: object) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}  # type: ignore[attr-defined]


def test_each_queue_that_a_source_needs_must_have_a_worker(served: Callable[..., None], billing: Source) -> None:
    Source.objects.create(name="logs", service=billing.service, kind="logs", path="/var/log/x", log_format="json", host="web-1")
    served("extract", "transform", "load", "sweep")
    found = by_name(server_checks.check_queues())
    assert found["queue extract"].level is Level.OK
    alone = found["queue extract@web-1"]
    assert alone.level is Level.PROBLEM
    assert alone.action == "Start `celery -A callcentersite worker -Q extract@web-1` on web-1"


def test_a_disabled_source_needs_no_worker(served: Callable[..., None], billing: Source) -> None:
    Source.objects.create(name="logs", service=billing.service, kind="logs", path="/x", log_format="json", host="web-1", is_enabled=False)
    served("extract", "transform", "load", "sweep")
    assert {finding.level for finding in server_checks.check_queues()} == {Level.OK}


def test_without_a_broker_the_workers_cannot_be_asked(served: Callable[..., None], broker_away: None) -> None:
    [found] = server_checks.check_queues()
    assert (found.level, "broker does not work" in found.sentence) == (Level.WARNING, True)
    components = by_name(server_checks.check_components())
    assert components["broker"].level is Level.PROBLEM
    assert components["broker"].action == "Check that Redis runs, and CELERY_BROKER_URL"


def test_beat_tells_when_it_last_sent_a_task(served: Callable[..., None]) -> None:
    assert by_name(server_checks.check_components())["beat"].level is Level.OK
    PeriodicTask.objects.update(last_run_at=now() - timedelta(days=1))
    beat = by_name(server_checks.check_components())["beat"]
    assert beat.level is Level.PROBLEM
    assert beat.action == "Start `celery -A callcentersite beat`"


def test_the_database_tells_its_version() -> None:
    found = by_name(server_checks.check_database())
    assert found["database"].level is Level.OK
    if connection.vendor == "sqlite":
        assert found["database"].sentence.startswith("SQLite 3.")
    else:
        assert "utf8mb4" in found["database"].sentence
        assert found["database's clock"].level is Level.OK


@pytest.mark.parametrize(("seconds", "level", "word"), [(0, Level.OK, "agrees"), (-90, Level.PROBLEM, "ahead"), (3600, Level.PROBLEM, "behind")])
def test_a_clock_that_is_wrong_is_a_problem(seconds: int, level: Level, word: str) -> None:
    here = now()
    found = server_checks.skew_finding("GitHub's clock", here + timedelta(seconds=seconds), here)
    assert (found.level, word in found.sentence) == (level, True)


@pytest.mark.parametrize(("missing", "level"), [(0, Level.OK), (1, Level.PROBLEM), (-1, Level.PROBLEM)])
def test_the_log_stores_tables_must_be_of_this_version(monkeypatch: pytest.MonkeyPatch, missing: int, level: Level) -> None:
    class Store:
        def missing_schema_steps(self) -> int:
            return missing

    monkeypatch.setattr(server_checks, "open_log_store", Store)
    [found] = server_checks.check_log_store()
    assert found.level is level


def test_the_real_log_store_has_its_tables() -> None:
    [found] = server_checks.check_log_store()
    assert found.level is Level.OK


def test_the_schedule_says_when_the_next_night_is_due() -> None:
    [found] = server_checks.check_schedule()
    assert (found.level, "is due at" in found.sentence) == (Level.OK, True)
    PeriodicTask.objects.filter(task="etl.nightly").update(enabled=False)
    [found] = server_checks.check_schedule()
    assert (found.level, "admin" in found.action) == (Level.WARNING, True)


def test_a_schedule_that_cannot_be_used_is_a_problem() -> None:
    impossible = CrontabSchedule.objects.create(minute="0", hour="1", day_of_month="31", month_of_year="2")
    PeriodicTask.objects.filter(task="etl.nightly").update(crontab=impossible)
    [found] = server_checks.check_schedule()
    assert found.level in (Level.PROBLEM, Level.WARNING)
